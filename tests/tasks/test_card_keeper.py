"""Stories of a card: what is told of it, and when it is mounted, taken up and mended.

Time is the keeper's own waits: it passes by nothing else.
"""

import asyncio

from firmware import card_keeper
from firmware.card_keeper import BACK, FAILING, GONE, CardKeeper
from harness import eq, raises_async

EIO = 5


class Over(Exception):
    """The story has ended."""


class Story:
    """`steps`: (at ms, function of the story) in order; the story ends at `end_ms`."""

    Event = asyncio.Event
    TimeoutError = asyncio.TimeoutError

    def __init__(self, *steps, end_ms=60000):
        self._steps, self._end_ms = list(steps), end_ms
        self.now_ms = 0
        self.events, self.lines = [], []
        self.is_in, self.is_writable, self.has_failed = True, True, False
        self.may_mount = True
        self.in_use = False
        self.mount_errors = []
        self.keeper = CardKeeper(
            probe=self.probe,
            mount=self.mount,
            may_mount=lambda: self.may_mount,
            is_in_use=lambda: self.in_use,
            let_go=lambda: self.note("let go"),
            take_up=self.take_up,
            mend=self.mend,
            on_change=lambda event, text: self.note(event),
            reset=lambda: self.note("reset"),
            log=self.lines.append,
        )

    async def tell(self):
        """Let it happen; the events are (ms, what)."""
        card_keeper.asyncio = self
        try:
            await raises_async(Over, self.keeper.run())
        finally:
            card_keeper.asyncio = asyncio
        return self.events

    def note(self, event):
        self.events.append((self.now_ms, event))

    # The card

    def out(self):
        self.is_in = False

    def back(self):
        self.is_in = True

    def probe(self):
        if not self.is_in:
            raise OSError(EIO, "no answer")
        had_failed, self.has_failed = self.has_failed, False
        return had_failed

    def mount(self):
        self.note("mount")
        if not self.is_in:
            raise OSError(19, "ENODEV")

    async def take_up(self):
        self.note("take up")
        if self.mount_errors:
            raise self.mount_errors.pop(0)

    async def mend(self):
        self.note("mend")
        if not self.is_writable:
            raise OSError(30, "EROFS")

    # In place of asyncio

    async def sleep_ms(self, ms):
        end_ms = self.now_ms + ms
        while self._steps and self._steps[0][0] <= end_ms:
            at_ms, step = self._steps.pop(0)
            self.now_ms = max(self.now_ms, at_ms)
            step(self)
        self.now_ms = end_ms
        if self.now_ms >= self._end_ms:
            raise Over
        await asyncio.sleep_ms(0)

    async def wait_for_ms(self, awaitable, ms):
        if not self.keeper._wake.is_set():
            await self.sleep_ms(ms)
        return await asyncio.wait_for_ms(awaitable, 0)


def names(events):
    return [name for _, name in events]


async def test_a_card_that_works_is_left_alone():
    eq(await Story().tell(), [])


async def test_a_card_that_is_taken_out_is_missed_and_taken_up_when_it_is_back():
    story = Story((5000, Story.out), (30000, Story.back))
    events = await story.tell()
    eq(events[0], (6000, GONE))
    back = names(events).index(BACK)
    eq(names(events)[1:back], ["let go", "mount"] * 6 + ["take up", "mend"])
    mounts = [at_ms for at_ms, name in events if name == "mount"]
    eq([b - a for a, b in zip(mounts, mounts[1:])], [1000, 2000, 4000, 8000, 10000])
    eq(events[back:], [(31000, BACK)])
    eq(len([line for line in story.lines if line.startswith("no card")]), 1)


async def test_nothing_is_begun_from_gone_to_back():
    seen = []

    def look(story):
        seen.append(story.keeper.is_there)

    steps = (1000, look), (1500, Story.out), (2500, look), (15000, look), (16000, Story.back)
    await Story(*steps, (40000, look)).tell()
    eq(seen, [True, False, False, True])


async def test_who_has_a_file_open_is_waited_for():
    def hold(story):
        story.in_use = True

    def drop(story):
        story.in_use = False

    story = Story((500, hold), (1000, Story.out), (5000, Story.back), (9000, drop))
    events = await story.tell()
    eq(events[0], (2000, GONE))
    eq(names(events[1:]), ["let go", "mount", "take up", "mend", BACK])
    eq(events[1][0], 9000)


async def test_a_card_that_takes_records_again_is_well_while_a_file_is_open():
    def hold(story):
        story.in_use = True
        lock(story)

    seen = []
    steps = (1000, hold), (7000, unlock), (20000, lambda story: seen.append(story.keeper.is_there))
    events = await Story(*steps).tell()
    eq(seen, [True])
    told = [(at_ms, name) for at_ms, name in events if name != "mend"]
    eq(told, [(2000, FAILING), (8000, BACK)], "and is not mounted")


async def test_a_failing_card_that_is_gone_before_the_last_file_is_closed():
    def hold(story):
        story.in_use = True
        lock(story)

    def drop(story):
        story.in_use = False
        unlock(story)
        story.is_in = True

    events = await Story((1000, hold), (5000, Story.out), (9000, drop)).tell()
    told = [name for name in names(events) if name != "mend"]
    eq(told, [FAILING, GONE, "let go", "mount", "take up", BACK])


async def test_a_card_that_was_only_out_between_two_looks_is_mounted_anew():
    """It answers no more before it is initialised: the driver's fake stays out until mounted."""
    story = Story((2500, Story.out))
    whole = story.mount

    def mount():
        story.is_in = True
        whole()

    story.keeper._mount = mount
    eq(names(await story.tell()), [GONE, "let go", "mount", "take up", "mend", BACK])


async def test_one_bad_request_is_said_and_mended():
    def complain(story):
        story.keeper.failed(OSError(EIO, "write"))

    def unseen(story):
        story.has_failed = True

    for bad in (complain, unseen):
        story = Story((2000, bad))
        eq(names(await story.tell()), ["mend"], "nobody is alarmed")
        assert "but it answers" in story.lines[0], story.lines


async def test_what_a_working_card_says_is_no_complaint():
    def say(story):
        for number in (2, 1, 13, 17, 28):
            story.keeper.failed(OSError(number, "no"))

    eq(await Story((2000, say)).tell(), [])


def lock(story):
    story.is_writable = False
    story.keeper.failed(OSError(30, "EROFS"))


def unlock(story):
    story.is_writable = True


async def test_a_card_that_takes_no_writes_is_read_on_until_it_does():
    seen = []

    def look(story):
        seen.append((story.keeper.is_there, story.keeper.is_readable))

    steps = (1000, look), (2000, lock), (3500, look), (20000, unlock), (40000, look)
    story = Story(*steps)
    events = await story.tell()
    taken = ["mend", FAILING, "let go", "mount", "take up"]
    eq(names(events), taken + ["mend"] * 6 + [BACK])
    mends = [at_ms for at_ms, name in events if name == "mend"][1:]
    eq([b - a for a, b in zip(mends, mends[1:])], [1000, 2000, 4000, 8000, 10000])
    eq(seen, [(True, True), (False, True), (True, True)])


async def test_a_file_that_cannot_be_read_stops_nothing():
    """What fails while the rest is mended is no reason to stop: the card takes records."""
    story = Story((2000, lambda story: story.keeper.failed(OSError(EIO, "read"))))
    whole = story.mend

    async def mend():
        await whole()
        story.has_failed = True
        story.keeper.failed(OSError(EIO, "read"))

    story.keeper._mend = mend
    eq(names(await story.tell()), ["mend"])


async def test_a_failing_card_may_be_taken_out():
    story = Story((1000, lock), (4500, Story.out), (8000, unlock), (20000, Story.back))
    events = names(await story.tell())
    eq([name for name in events if name in (GONE, FAILING, BACK)], [FAILING, GONE, BACK])


async def test_a_failing_card_that_cannot_be_mounted_is_gone():
    story = Story((2000, lock), (2000, lambda story: story.mount_errors.append(OSError(EIO, "x"))))
    events = [name for name in names(await story.tell()) if name in (GONE, FAILING, BACK)]
    eq(events, [FAILING, GONE])
    eq(story.keeper.is_readable, True)


async def test_a_card_whose_content_cannot_be_read_is_not_back():
    story = Story()
    story.keeper.lost(OSError(EIO, "journal"))
    story.keeper.lost(OSError(EIO, "journal"))
    story.mount_errors = [OSError(EIO, "journal"), OSError(EIO, "journal")]
    eq(names(await story.tell()), [GONE] + ["let go", "mount", "take up"] * 3 + ["mend", BACK])


async def test_over_wi_fi_nothing_is_mounted_and_the_camera_is_reset_in_the_end():
    def over_wi_fi(story):
        story.may_mount = False

    story = Story((0, over_wi_fi), (1000, Story.out), end_ms=90000)
    events = await story.tell()
    assert "mount" not in names(events)
    first = [at_ms for at_ms, name in events if name == "reset"][0]
    assert 55000 <= first <= 75000, first


async def test_over_wi_fi_a_card_that_answers_again_is_taken_up_as_it_is():
    story = Story((1000, Story.out), (20000, Story.back))
    story.may_mount = False
    events = names(await story.tell())
    eq(("mount" in events, "reset" in events), (False, False))
    eq(events[-3:], ["take up", "mend", BACK])
