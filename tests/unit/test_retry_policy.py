"""What becomes of a job by the class of its failure and the attempts it has spent."""

from firmware.job import FAILED, HOPELESS, WAITING
from firmware.retry_policy import RetryPolicy
from firmware.upload_error import UploadError
from harness import eq


def policy(delay_ms=60000, most=3, dice=1.0):
    """`dice`: from 0 to 1, what every draw gives of its range."""
    return RetryPolicy(
        retry_delay_ms=delay_ms,
        max_attempts=most,
        randbits=lambda bits: int(((1 << bits) - 1) * dice),
    )


def failure(code, retry_after_sec=0):
    return UploadError(code, "as told", None, retry_after_sec)


def test_attempts_are_spent_and_the_wait_doubles():
    judge = policy(most=4).judge
    eq(judge(failure("TIMEOUT"), 0), (WAITING, 1, 60000))
    eq(judge(failure("TIMEOUT"), 1), (WAITING, 2, 120000))
    eq(judge(failure("TIMEOUT"), 2), (WAITING, 3, 240000))
    eq(judge(failure("TIMEOUT"), 3), (FAILED, 4, 0))


def test_the_wait_is_drawn_and_capped():
    eq(policy(dice=0).judge(failure("TIMEOUT"), 0), (WAITING, 1, 0))
    eq(policy(dice=0.5).judge(failure("TIMEOUT"), 1), (WAITING, 2, 60000))
    eq(policy(most=99).judge(failure("TIMEOUT"), 20), (WAITING, 21, 3600000))


def test_a_store_that_asks_for_patience_gets_it():
    eq(policy(dice=0).judge(failure("RATE_LIMITED", 120), 0), (WAITING, 1, 120000))
    eq(policy(dice=1).judge(failure("RATE_LIMITED", 5), 0), (WAITING, 1, 60000))


def test_time_without_a_network_costs_no_attempt():
    eq(policy().judge(failure("NETWORK_DOWN"), 2), (WAITING, 2, 60000))
    eq(policy(delay_ms=0).judge(failure("NETWORK_DOWN"), 2), (WAITING, 2, 1000))
    eq(policy().judge(failure("STORE_FULL", 600), 0), (WAITING, 0, 600000))


def test_giving_way_costs_nothing():
    eq(policy().judge(failure("SUSPENDED"), 1), (WAITING, 1, 0))


def test_what_cannot_be_mended_is_hopeless():
    eq(policy().judge(failure("ACCESS_DENIED"), 0), (HOPELESS, 1, 0))


def test_wrong_bytes_in_the_store_are_sent_once_more():
    judge = policy(most=10).judge
    eq(judge(failure("INTEGRITY"), 0)[:2], (WAITING, 1))
    eq(judge(failure("INTEGRITY"), 1), (FAILED, 2, 0))
    eq(policy(most=1).judge(failure("INTEGRITY"), 0), (FAILED, 1, 0))


def test_cameras_come_back_within_ten_seconds():
    eq(policy().spread_ms(), 10000)
    eq(policy(dice=0).spread_ms(), 0)
    eq(policy(delay_ms=300).spread_ms(), 300)
