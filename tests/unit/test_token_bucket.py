"""The rate holds over any long run, for one sender or several, whatever the ticks do."""

import micropython

from harness import eq, raises
from token_bucket import MOST_BYTES_PER_SEC, TokenBucket

_PERIOD = 1 << 30
_CHUNK = 8192


def ticks_add(ticks, delta):
    return (ticks + delta) % _PERIOD


def ticks_diff(end, start):
    return (end - start + _PERIOD // 2) % _PERIOD - _PERIOD // 2


def bucket(rate, burst_bytes=0):
    return TokenBucket(rate, burst_bytes, ticks_diff)


def run(one, chunks, duration_ms, first_tick=0, late_ms=0):
    """Senders of such chunks that wait as told and then send; what each sent in that time.

    Each wakes up `late_ms` later than it wanted.
    """
    sent, due = [0] * len(chunks), [0] * len(chunks)
    held = [0] * len(chunks)  # what a sender took and has not sent
    while True:
        who = min(range(len(chunks)), key=lambda i: due[i])
        now = due[who]
        if now > duration_ms:
            return sent
        sent[who] += held[who]
        wait_ms = one.take(chunks[who], ticks_add(first_tick, now))
        held[who] = chunks[who]
        due[who] = now + wait_ms + (late_ms if wait_ms else 0)


def assert_within_1_percent(actual, expected, note=""):
    assert abs(actual - expected) * 100 <= expected, "%s: %d, not %d" % (note, actual, expected)


def test_the_first_burst_costs_no_wait_and_then_time_does():
    one = bucket(1000, 3000)
    eq([one.take(1000, 0) for _ in range(5)], [0, 0, 0, 1000, 2000])
    eq(one.take(500, 2000), 500, "the debt of 2 s is paid off")


def test_no_more_is_saved_up_than_the_burst():
    one = bucket(1000, 3000)
    one.take(3000, 0)
    eq([one.take(1000, 100000) for _ in range(4)], [0, 0, 0, 1000])


def test_the_rate_holds_within_1_percent_whatever_it_is():
    for rate in (1000, 3333, 70001, 500000, 12345678, 999999999):
        duration_ms = max(1000, 400 * _CHUNK * 1000 // rate)
        (sent,) = run(bucket(rate, _CHUNK), (_CHUNK,), duration_ms)
        assert_within_1_percent(sent, rate * duration_ms // 1000, rate)


def test_what_is_less_than_a_millisecond_is_not_lost():
    one = bucket(1000000)
    for _ in range(100000):  # 1 byte takes a thousandth of a millisecond
        wait_ms = one.take(1, 0)
    eq(wait_ms, 100)
    one = bucket(7)
    waits = [one.take(1, 0) for _ in range(7000)]
    eq(waits[-1], 1000000)


def test_a_sender_that_wakes_late_loses_nothing_within_the_burst():
    for late_ms in (1, 20, 50):
        (sent,) = run(bucket(500000, 2 * _CHUNK + 50 * 500), (_CHUNK,), 100000, late_ms=late_ms)
        assert_within_1_percent(sent, 500000 * 100, late_ms)


def test_senders_share_the_rate_evenly():
    for senders in (2, 3, 4):
        sent = run(bucket(250000, _CHUNK), (_CHUNK,) * senders, 60000)
        assert_within_1_percent(sum(sent), 250000 * 60, senders)
        for each in sent:
            assert_within_1_percent(each, sum(sent) // senders, "of %d" % senders)


def test_a_sender_of_larger_chunks_does_not_starve_the_other():
    small, large = run(bucket(250000, _CHUNK), (_CHUNK, 4 * _CHUNK), 60000)
    assert_within_1_percent(small + large, 250000 * 60)
    assert_within_1_percent(large, 4 * small, "in proportion to what each takes")


def test_ticks_may_wrap_while_it_runs():
    for first_tick in (0, _PERIOD // 2 - 5000, _PERIOD - 5000):
        (sent,) = run(bucket(100000, _CHUNK), (_CHUNK,), 60000, first_tick)
        assert_within_1_percent(sent, 100000 * 60, first_tick)


def test_time_goes_on_over_the_wrap():
    one = bucket(1000)
    eq(one.take(1000, _PERIOD - 400), 1000)
    eq(one.take(1000, 500), 1100, "900 ms later")


def test_after_any_rest_nobody_waits_longer_than_was_owed():
    for rest_ms in (10**6, _PERIOD // 2 - 1, _PERIOD // 2, _PERIOD - 90000, _PERIOD - 1, _PERIOD):
        one = bucket(1000, 0)
        owed_ms = one.take(5000, 77)
        wait_ms = one.take(1000, ticks_add(77, rest_ms))
        assert wait_ms <= owed_ms + 1000, "after %d ms of rest a wait of %d" % (rest_ms, wait_ms)
        eq(one.take(1000, ticks_add(77, rest_ms + 60000)), 1000, "and it goes on as ever")


def test_looks_at_the_clock_that_cross_give_no_time_twice():
    one, honest = bucket(1000), bucket(1000)
    for now_ms in range(0, 100000, 1000):
        one.take(1000, now_ms)
        one.take(1000, now_ms - 3)  # looked before the other, takes after it
        honest.take(2000, now_ms)
    eq(one.take(0, 100000), honest.take(0, 100000))


def test_a_rate_that_is_none():
    for rate in (0, -1, MOST_BYTES_PER_SEC + 1):
        error = raises(ValueError, bucket, rate)
        assert "1..1000000000" in str(error), error


def test_taking_allocates_nothing():
    one = bucket(MOST_BYTES_PER_SEC, _CHUNK)
    take, now_ms = one.take, _PERIOD - 10
    take(1, now_ms)
    micropython.heap_lock()
    try:
        for step in range(20):
            take(65535, (now_ms + step) % _PERIOD)
    finally:
        micropython.heap_unlock()


def test_numbers_fit_a_small_board():
    """31 bits are a number without allocation there; the heap lock cannot show it on a 64-bit host."""
    seen = []

    class Watched(TokenBucket):
        def take(self, n_bytes, now_ms):
            seen.append(n_bytes * 1000 + self._rest)
            return super().take(n_bytes, now_ms)

    one = Watched(MOST_BYTES_PER_SEC, 0, ticks_diff)
    for _ in range(3000):
        one.take(65536, 0)
    assert max(seen) < 1 << 30, max(seen)
