"""What keeps a source going: limits of a start and of a silence, waits between starts, cancelling."""

import asyncio
from errno import EIO

from firmware import source_keeper
from firmware.source_keeper import SourceKeeper
from harness import eq, raises_async
from protocol_error import ProtocolError

STALL_MS = 10000
SETTLED = 20  # turns of the loop after which nobody has anything to do without the clock


class Clock:
    """Stands in for asyncio: time passes only when a test says so."""

    def __init__(self):
        for name in ("Event", "create_task", "gather", "CancelledError", "TimeoutError"):
            setattr(self, name, getattr(asyncio, name))
        self.now_ms = 0
        self.naps = []
        self._sleepers = []

    async def sleep_ms(self, duration_ms):
        self.naps.append(duration_ms)
        woken = asyncio.Event()
        self._sleepers.append((self.now_ms + duration_ms, woken))
        await woken.wait()

    async def advance(self, by_ms, settled=SETTLED):
        """Wake the sleepers one after the other; the last one gets `settled` turns of the loop."""
        end_ms = self.now_ms + by_ms
        await turns(SETTLED)
        while True:
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= end_ms]
            if not due:
                break
            first_ms = min([due_ms for due_ms, _ in due])
            self.now_ms = first_ms
            for sleeper in [sleeper for sleeper in due if sleeper[0] == first_ms]:
                self._sleepers.remove(sleeper)
                sleeper[1].set()
            await turns(settled if first_ms == end_ms else SETTLED)
            if first_ms == end_ms:
                return
        self.now_ms = end_ms


async def turns(count):
    for _ in range(count):
        await asyncio.sleep_ms(0)


class Rig:
    """A run is (steps of the start, steps after it): waits in ms, errors, and pictures, "ok" or "bad"."""

    def __init__(self, *runs, **limits):
        self.clock = source_keeper.asyncio = Clock()
        self.runs = list(runs)
        self.told, self.begun_ms, self.taken = [], [], []
        self.stops = 0
        self.can_play = False
        self.keeper = SourceKeeper(
            self,
            started=self._started,
            take=self._take,
            failed=self._failed,
            can_play=lambda: self.can_play,
            on_source=lambda error: self.told.append(error and type(error).__name__),
            stall_ms=STALL_MS,
            randbits=lambda count: (1 << count) - 1,  # the longest wait
            **limits,
        )

    async def start(self):
        self.begun_ms.append(self.clock.now_ms)
        begin, self.steps = self.runs.pop(0) if self.runs else ((), ())
        self.steps = iter(self.steps)
        for step in begin:
            await self._pass(step)

    async def next(self):
        for step in self.steps:
            if isinstance(step, str):
                return step.encode(), 0, True
            await self._pass(step)
        return None

    def stop(self):
        self.stops += 1

    async def _pass(self, step):
        if isinstance(step, BaseException):
            raise step
        await self.clock.sleep_ms(step)

    def _started(self):
        self.can_play = False

    async def _take(self, unit, pts_90k, is_key):
        self.taken.append(unit)
        self.can_play = self.can_play or unit == b"ok"
        return unit == b"ok"

    async def _failed(self):
        eq(len(self.begun_ms), self.stops, "stopped before")

    def run(self):
        self.task = asyncio.create_task(self.keeper.run())
        return self.clock


FOR_EVER = 1 << 60


async def test_a_start_that_takes_a_minute_is_no_stall():
    rig = Rig(((60000,), ("ok", 1000, "ok")))
    await rig.run().advance(61000)
    await rig.task
    eq((rig.begun_ms, rig.told, rig.taken), ([0], [], [b"ok", b"ok"]))


async def test_a_start_that_hangs_is_given_up_and_tried_again():
    rig = Rig(((FOR_EVER,), ()), ((), ("ok",)))
    await rig.run().advance(75000)
    eq((rig.told, rig.stops), ([], 0))
    await rig.clock.advance(2500)  # the next look
    eq((rig.told, rig.stops), (["TimeoutError"], 1))
    await rig.clock.advance(500)
    await rig.task
    eq((rig.told, rig.taken, len(rig.begun_ms)), (["TimeoutError", None], [b"ok"], 2))


async def test_the_limit_of_a_start_is_not_that_of_a_silence():
    for limits, begin_ms in (({}, 61000), ({"start_ms": 3000}, 1000)):
        rig = Rig(((begin_ms,), ("ok", FOR_EVER)), ((FOR_EVER,), ()), **limits)
        await rig.run().advance(begin_ms + STALL_MS)
        eq((rig.told, rig.taken), ([], [b"ok"]))
        await rig.clock.advance(STALL_MS // 4)
        eq((rig.told, rig.stops), (["TimeoutError"], 1))
        rig.task.cancel()
        await raises_async(asyncio.CancelledError, rig.task)


async def test_waits_grow_while_no_start_succeeds_however_slow_it_fails():
    gone = OSError(EIO, "gone")
    for after_ms in (0, 20000):
        rig = Rig(((), ("ok", gone)), *[((after_ms, gone), ())] * 5)
        await rig.run().advance(8 * 30000)
        await rig.task
        begun_ms, waits = rig.begun_ms, []
        for number in range(1, 7):
            failed_ms = begun_ms[number - 1] + (after_ms if number > 1 else 0)
            waits.append(begun_ms[number] - failed_ms)
        eq(waits, [500, 1000, 2000, 4000, 8000, 16000])


async def test_waits_begin_anew_after_a_run_that_could_be_played():
    gone = OSError(EIO, "gone")
    for shown, waits in (("ok", [500, 1000, 500]), ("bad", [500, 1000, 2000])):
        rig = Rig(((gone,), ()), ((gone,), ()), ((), (shown, 6000, gone)))
        await rig.run().advance(30000)
        await rig.task
        eq([nap for nap in rig.clock.naps if nap in (500, 1000, 2000)], waits)


async def test_what_sources_may_raise_does_not_end_it():
    for error in (
        OSError(EIO, "gone"),
        EOFError("gone"),
        asyncio.TimeoutError("late"),
        ProtocolError("nonsense"),
        MemoryError("no room"),
    ):
        rig = Rig(((error,), ()), ((), ("ok", error)), ((), ("ok",)))
        await rig.run().advance(1500)
        await rig.task
        name = type(error).__name__
        eq((rig.told, rig.taken, rig.stops), ([name, None, name, None], [b"ok"] * 2, 2))


async def test_faults_of_ours_end_it():
    for error in (ValueError("a fault"), RuntimeError("a fault"), IndexError("a fault")):
        for run in (((error,), ()), ((), ("ok", error))):
            rig = Rig(run)
            rig.run()
            await raises_async(type(error), rig.task)
            eq(rig.told, [])


async def test_a_cancel_in_the_moment_of_a_stall_is_one():
    for begin, shown, stalled_ms in (((), ("ok", FOR_EVER), 12500), ((FOR_EVER,), (), 77500)):
        for settled in range(SETTLED):
            rig = Rig((begin, shown))
            await rig.run().advance(stalled_ms, settled)
            rig.task.cancel()
            await turns(SETTLED)
            assert rig.task.done(), "cancelled %d turns after the look, and it goes on" % settled
            await raises_async(asyncio.CancelledError, rig.task)
            eq(len(rig.begun_ms), 1)


async def test_it_can_be_cancelled_at_any_time_and_leaves_nothing_behind():
    gone = OSError(EIO, "gone")
    for at_ms in (0, 500, 1500, 4000, 4250, 4600):
        rig = Rig(((1000,), ("ok", 2000, "ok", 1000, gone)), ((), ("ok", FOR_EVER)))
        await rig.run().advance(at_ms)
        rig.task.cancel()
        await raises_async(asyncio.CancelledError, rig.task)
        begun, taken, told = len(rig.begun_ms), len(rig.taken), list(rig.told)
        await rig.clock.advance(100000)
        eq((len(rig.begun_ms), len(rig.taken), rig.told), (begun, taken, told))
