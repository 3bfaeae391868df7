"""The clock is set from an answer that is believed, and asked for again in time."""

import asyncio
import struct

from firmware import clock_keeper
from firmware.clock_keeper import ClockKeeper
from harness import eq

UNIX = 1763856000
RETRY_MS, REFRESH_MS = 10 * 1000, 6 * 3600 * 1000


class Ended(Exception):
    """The story's last sleep is over."""


class Naps:
    """In place of asyncio in clock_keeper: notes each sleep; the last one of the story ends it."""

    TimeoutError = asyncio.TimeoutError

    def __init__(self, count):
        self.lengths_ms = []
        self._count = count

    async def sleep_ms(self, duration_ms):
        self.lengths_ms.append(duration_ms)
        if len(self.lengths_ms) == self._count:
            raise Ended


class Rig:
    """A keeper whose server gives these answers: functions of the request, or exceptions."""

    def __init__(self, *answers, is_set=False, is_network_up=True):
        self.answers = list(answers)
        self.requests, self.timeouts, self.log = [], [], []
        self.time_unix = UNIX - 5 if is_set else None
        self._nonces = iter((b"nonce--%d" % n for n in range(9)))
        self.keeper = ClockKeeper(
            self._exchange,
            is_network_up=lambda: is_network_up,
            unix_time=lambda: self.time_unix,
            set_unix_time=self._set,
            random_bytes=self._random,
            log=self.log.append,
        )

    async def sleeps(self, count):
        """Run until the `count`th sleep; the lengths of all."""
        naps = clock_keeper.asyncio = Naps(count)
        try:
            await self.keeper.run()
        except Ended:
            return naps.lengths_ms
        raise AssertionError("the keeper has stopped")

    async def _exchange(self, request, timeout_ms):
        self.requests.append(bytes(request))
        self.timeouts.append(timeout_ms)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request)

    def _set(self, unix):
        self.time_unix = unix

    def _random(self, count):
        nonce = next(self._nonces)
        eq(count, len(nonce))
        return nonce


def right(request):
    """What a server in order answers: the request's time stamp is the answer's origin."""
    seconds = struct.pack("!II", UNIX + 2208988800, 0)
    return b"\x24\x02" + bytes(22) + request[40:48] + bytes(8) + seconds


def foreign(request):
    return right(bytes(48))


def unsynchronized(request):
    return b"\xe4" + right(request)[1:]


def short(request):
    return right(request)[:40]


async def test_the_clock_is_set_and_asked_for_again_after_hours():
    rig = Rig(right, right)
    eq(await rig.sleeps(2), [REFRESH_MS, REFRESH_MS])
    eq((rig.time_unix, rig.log), (UNIX, []))
    eq(rig.timeouts, [3000, 3000])


async def test_every_request_has_a_nonce_of_its_own():
    rig = Rig(right, right, right)
    await rig.sleeps(3)
    eq([request[40:] for request in rig.requests], [b"nonce--0", b"nonce--1", b"nonce--2"])


async def test_a_clock_that_is_set_is_left_for_a_while():
    rig = Rig(right, is_set=True)
    eq(await rig.sleeps(1), [REFRESH_MS])
    eq((rig.requests, rig.time_unix), ([], UNIX - 5))
    eq(await rig.sleeps(2), [REFRESH_MS, REFRESH_MS])
    eq(rig.time_unix, UNIX)


async def test_without_an_answer_it_asks_again_soon():
    for failure in (
        OSError(-2, "no address"),
        OSError(113, "no route"),
        asyncio.TimeoutError(),
        foreign,
        unsynchronized,
        short,
    ):
        rig = Rig(failure, right)
        eq(await rig.sleeps(1), [RETRY_MS], repr(failure))
        eq((rig.time_unix, len(rig.log)), (None, 1), repr(failure))
        assert "NTP" in rig.log[0], rig.log
        eq(await rig.sleeps(1), [REFRESH_MS])
        eq(rig.time_unix, UNIX)


async def test_without_a_network_nobody_is_asked():
    rig = Rig(is_network_up=False)
    eq(await rig.sleeps(3), [RETRY_MS] * 3)
    eq((rig.requests, rig.log), ([], []))


async def test_a_wrong_answer_does_not_spoil_a_clock_that_is_right():
    rig = Rig(foreign, is_set=True)
    eq(await rig.sleeps(2), [REFRESH_MS, RETRY_MS])
    eq(rig.time_unix, UNIX - 5)


async def test_where_the_time_is_from():
    rig = Rig(right)
    eq(rig.keeper.quality, None)
    await rig.sleeps(1)
    eq(rig.keeper.quality, "ntp")
    eq(Rig(is_set=True).keeper.quality, "rtc")
