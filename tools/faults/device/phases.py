"""The lives that are cut: a camera's first start on a new card, and days on a card in use."""

import hashlib
from binascii import hexlify

import script
from cuts import GARBAGE, LATER, LOST, Cuts
from fat_layout import Layout
from history import History, World
from judge import judge
from life import Boot
from ramcard import READ, WRITE, Image, Trouble

_FOLDER = "build/faults/"
NEW, DAY, LIVE, KEEPING = "new", "day", "live", "keeping"

# (kind of request, how many are refused, whether the card is gone then)
IO_MODES = {
    "once": (WRITE, 1, False),
    "stays": (WRITE, None, False),
    "gone": (WRITE, None, True),
    "read": (READ, 1, False),
}
_EARLY_MS, _LATE_MS = 5, 1500
_NOTHING = World({}, [], [])


def make(image_name, name):
    """A phase on a card of its own."""
    image = Image(_FOLDER + image_name + ".sectors")
    changes, day, recovery = {
        NEW: ({}, None, script.recovery),
        DAY: ({}, script.day, script.recovery),
        LIVE: (script.LIVE, script.live_day, script.recovery),
        KEEPING: (script.KEEPING, script.day, script.keeping_recovery),
    }[name]
    script.format_card(image, changes)
    lives = [(script.first_start, ())]
    if day:
        # A card in use: clips were delivered, places in directory and journal are free again.
        lives += [(day, script.DAY_TROUBLES), (recovery, ()), (day, script.DAY_TROUBLES)]
    for number, (live, troubles) in enumerate(lives):
        phase = Phase(image, number, live, troubles, recovery)
        if number + 1 < len(lives):
            image.sectors.update(phase.cuts.final().sectors)
    return phase


class Phase:
    """Boot `number` on an image, recorded once, and all that can befall it."""

    def __init__(self, image, number, live, troubles, recovery):
        self.image = image
        self._number = number
        self._live = live
        self._troubles = troubles
        self._recovery = recovery
        self.history = History()
        self.boot = self.boot_again(self.history)
        self.boot.run(live)
        self.cuts = Cuts(_NOTHING, self.history)
        sectors, below = self.cuts.final().sectors, image.sectors
        self.layout = Layout(lambda n: sectors.get(n) or below.get(n) or bytes(512))

    def digest(self):
        """By this, two processes know that they speak of the same writes."""
        total = hashlib.sha256()
        for sector, _ in self.history.writes:
            total.update(b"%d " % sector)
        return hexlify(total.digest()).decode()

    def kind(self, write):
        """What the sector of that write is for."""
        return self.layout.kind(self.history.writes[write][0])

    def cut(self, mode, number):
        """The power goes, the camera starts again: the verdict."""
        world = self.cuts.world(mode, number)
        return self._verdict(world, self._recover(world, number), mode, number)

    def recovery_cuts(self, mode, number):
        """The cuts of the recovery from a cut."""
        world, history = self.cuts.world(mode, number), History()
        self._recover(world, number, 1, history)
        return Cuts(world, history)

    def recut(self, recovery_cuts, mode, number, then):
        """The power goes in the recovery, too: the verdict on the next."""
        world = recovery_cuts.world("clean", then)
        return self._verdict(world, self._recover(world, then, 2), mode, number)

    def io(self, trouble, number):
        """The card refuses request `number`, and after the phase the camera starts with a sound card."""
        kind, count, takes_all = trouble
        history = History()
        hurt = self.boot_again(history, Trouble(kind, number, count, takes_all))
        hurt.run(self._live)
        world = Cuts(_NOTHING, history).final()
        verdict = judge(world, self._recover(world, number), may_forget="io_forgotten")
        for kind, text in hurt.faults:
            verdict.add(kind if kind not in ("deaths", "resets") else "io_" + kind, text)
        verdict.add("io_not_started", count=int(hurt.refusal is not None))
        return verdict

    def boot_again(self, history, trouble=None):
        """The boot that the phase is about, not yet run."""
        return Boot(
            self.image,
            _NOTHING,
            self._number,
            history,
            trouble=trouble,
            troubles=self._troubles,
            pace=script.DAY_PACE,
        )

    def _recover(self, world, case, more=1, history=None):
        """Start again; every other case is off line until the next clip is recorded."""
        up_ms = _LATE_MS if case % 2 else _EARLY_MS
        boot = Boot(self.image, world, self._number + more, history, link_up_ms=up_ms)
        boot.run(self._recovery)
        return boot

    def _verdict(self, world, boot, mode, number):
        is_hit = mode == GARBAGE and self.kind(number) != "data"
        has_holes = mode in (LOST, LATER, GARBAGE)
        return judge(world, boot, has_holes=has_holes, may_lose=is_hit)
