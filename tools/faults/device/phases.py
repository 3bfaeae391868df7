"""The lives that are cut: a camera's first start on a new card, and days on a card in use."""

import hashlib
import os
from binascii import hexlify

import film
import script
from cuts import GARBAGE, LATER, LOST, Cuts
from fat_layout import Layout
from fsck import Fsck
from history import History, World
from judge import judge, judge_card, judge_footage
from life import Boot
from ramcard import READ, WRITE, Image, Trouble
from screening import Screening

_FOLDER = "build/faults/"
NEW, DAY, LIVE, KEEPING, RECORDING = "new", "day", "live", "keeping", "recording"

# (kind of request, how many are refused, whether the card is gone then)
IO_MODES = {
    "once": (WRITE, 1, False),
    "stays": (WRITE, None, False),
    "gone": (WRITE, None, True),
    "read": (READ, 1, False),
}
_EARLY_MS, _LATE_MS = 5, 1500
_NOTHING = World({}, [], [])
_screenings = []  # one, if any: what it saw once it need not see again


def make(image_name, name):
    """A phase on a card of its own."""
    image = Image(_FOLDER + image_name + ".sectors")
    changes, day, recovery = {
        NEW: ({}, None, script.recovery),
        DAY: ({}, script.day, script.recovery),
        LIVE: (script.LIVE, script.live_day, script.recovery),
        KEEPING: (script.KEEPING, script.day, script.keeping_recovery),
        RECORDING: (script.RECORDING, script.recording_day, script.recovery),
    }[name]
    script.format_card(image, changes)
    lives = [(script.first_start, ())]
    if day:
        # A card in use: clips were delivered, places in directory and journal are free again.
        lives += [(day, script.DAY_TROUBLES), (recovery, ()), (day, script.DAY_TROUBLES)]
    film_of = film.real_film if name == RECORDING else film.film
    for number, (live, troubles) in enumerate(lives):
        phase = Phase(image, number, live, troubles, recovery, film_of)
        if number + 1 < len(lives):
            image.sectors.update(phase.cuts.final().sectors)
    if name == RECORDING:
        folder = os.getenv("FAULTS_SCRATCH")
        if not _screenings:
            _screenings.append(Screening(folder))
        phase.look_closely(Fsck(image, folder), _screenings[0])
    return phase


class Phase:
    """Boot `number` on an image, recorded once, and all that can befall it."""

    def __init__(self, image, number, live, troubles, recovery, film_of):
        self.image = image
        self._number = number
        self._live = live
        self._troubles = troubles
        self._recovery = recovery
        self._film_of = film_of
        self._fsck = self._screening = None
        self.history = History()
        self.boot = self.boot_again(self.history)
        self.boot.run(live)
        self.cuts = Cuts(_NOTHING, self.history)
        sectors, below = self.cuts.final().sectors, image.sectors
        self.layout = Layout(lambda n: sectors.get(n) or below.get(n) or bytes(512))

    def look_closely(self, fsck, screening):
        """Have the card examined and what came back seen, too."""
        self._fsck, self._screening = fsck, screening

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
            film_of=self._film_of,
        )

    def _recover(self, world, case, more=1, history=None):
        """Start again; every other case is off line until the next clip is recorded."""
        up_ms = _LATE_MS if case % 2 else _EARLY_MS
        boot = Boot(
            self.image,
            world,
            self._number + more,
            history,
            link_up_ms=up_ms,
            film_of=self._film_of,
        )
        boot.run(self._recovery)
        return boot

    def _verdict(self, world, boot, mode, number):
        is_hit = mode == GARBAGE and self.kind(number) != "data"
        return self.examine(world, boot, mode in (LOST, LATER, GARBAGE), is_hit)

    def examine(self, world, boot, has_holes=False, may_lose=False):
        """The verdict on a boot that began in `world`; see judge.judge for the rest."""
        verdict = judge(world, boot, has_holes=has_holes, may_lose=may_lose)
        if self._fsck:
            for own, when in ((world.sectors, "after the cut"), (boot.own, "after the recovery")):
                judge_card(verdict, self._fsck.findings(own), when, has_holes, may_lose)
            judge_footage(verdict, self._screening)
        return verdict
