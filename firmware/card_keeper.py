"""Whether there is a card that works, and what is done when there is none.

    well ──a request failed, the card answers──▶ takes a record? ──yes──▶ well
     │                                                 │ no: "failing"
     │ does not answer: "gone"                         │
     ▼                                                 ▼
    nobody has a file open ──▶ mounted anew, what is on it is taken up ──▶ readable
                                                                              │
    well ◀──"back": it takes a record, what was left is done ────────────────┘

From a card that takes no writes uploads go on; it has to be mounted anew for that, for FAT
first wants to write what it has not written, whatever it is asked. If it takes a record before
the last file is closed, it is well as it is. Nothing is recorded before the card is back, which
may be another one. Where a card must not be mounted while the network
is up (Board.remounts_card), the camera is reset after a while and waits for the card before it
starts the network.
"""

import asyncio
from errno import EACCES, EEXIST, EIO, ENOENT, EPERM

from micropython import const

from backoff import ceiling_ms

GONE, FAILING, BACK = "card_gone", "card_failing", "card_back"

_LOOK_MS = const(2000)  # reading one sector takes a millisecond
_IN_USE_MS = const(100)
_IN_USE_LOOKS = const(20)  # between two tries to write meanwhile
_PAUSE_MS = const(1000)
_LONGEST_PAUSE_MS = const(10000)
_TRIES_BEFORE_RESET = const(9)  # about a minute, for the alarm to go out
_ENOSPC = const(28)
# What a card says that works: that is for whoever asked.
_ANSWERS = (ENOENT, EACCES, EEXIST, EPERM, _ENOSPC)


class CardKeeper:
    def __init__(
        self, *, probe, mount, may_mount, is_in_use, let_go, take_up, mend, on_change, reset, log
    ):
        """`probe()` and `mount()` as Board.probe_card and mount_card; may_mount(), is_in_use() -> bool.

        let_go() closes what is kept open on the card, `await take_up()` reads what is on
        a card that was mounted, `await mend()` does what a failing card did not take:
        both raise OSError. on_change(event, text): GONE, FAILING or BACK, and why.
        """
        self._probe = probe
        self._mount = mount
        self._may_mount = may_mount
        self._is_in_use = is_in_use
        self._let_go = let_go
        self._take_up = take_up
        self._mend = mend
        self._on_change = on_change
        self._reset = reset
        self._log = log
        self._wake = asyncio.Event()
        self._error = self._said = None
        self._told = BACK
        self.is_there = self.is_readable = True  # is_there: and takes writes

    def failed(self, error):
        """Somebody had this OSError from the card: it is looked at soon."""
        if self.is_there and error.errno not in _ANSWERS:
            self._error = error
            self._wake.set()

    def lost(self, error):
        """The card cannot be used: nothing is begun before one is back."""
        self.is_there = self.is_readable = False
        self._tell(GONE, str(error))

    def refused(self, error):
        """The card takes no record: it is only read until it does."""
        self.is_there = False
        self._tell(FAILING, str(error))

    async def run(self):
        """Look at the card now and then, and when somebody had an error; for ever."""
        while True:
            try:
                if not self.is_readable:
                    await self._bring_back()
                if not self.is_there:
                    await self._win_back()
                await self._listen()
                error = self._complaint()
                if error:
                    await self._nurse(error)
            except OSError as error:
                self.lost(error)

    async def _listen(self):
        """Wait until somebody complains, or for a while: a card may go unnoticed."""
        try:
            await asyncio.wait_for_ms(self._wake.wait(), _LOOK_MS)
        except asyncio.TimeoutError:
            pass  # nobody complains
        self._wake.clear()

    def _complaint(self):
        """What went wrong since the last look, or None; OSError when the card is gone."""
        has_failed = self._probe()
        error, self._error = self._error, None
        if has_failed and not error:
            error = OSError(EIO, "a request failed")
        return error

    async def _nurse(self, error):
        """The card answers and yet something failed."""
        self._log("card: %s, but it answers" % error)
        error = await self._mended()
        if error:
            self.is_there = self.is_readable = False
            self._tell(FAILING, str(error))

    async def _mended(self):
        """None once the card takes a record and what was left is done; OSError when it is gone."""
        error = None
        try:
            await self._mend()
        except OSError as failure:
            error = failure
        self._complaint()  # whatever else failed meanwhile concerns one file
        return error

    async def _bring_back(self):
        """Try until there is a card whose content is known; wait for those who have a file open."""
        if await self._is_well_in_use():
            self.is_readable = True
            return
        tries = 0
        while not await self._is_mounted():
            tries += 1
            if tries >= _TRIES_BEFORE_RESET and not self._may_mount():
                self._log("resetting: while Wi-Fi is up no card can be mounted")
                self._reset()
            await _pause(tries)
        self._said = None
        self.is_readable = True

    async def _is_well_in_use(self):
        """Wait while a file is open; whether a card that was never gone takes writes again first."""
        looks = 0
        while self._is_in_use():
            await asyncio.sleep_ms(_IN_USE_MS)
            looks += 1
            if looks % _IN_USE_LOOKS == 0 and self._told == FAILING:
                self._probe()
                if not await self._mended():
                    return True
        return False

    async def _is_mounted(self):
        try:
            self._let_go()
            if self._may_mount():
                self._mount()
            else:
                self._probe()
            await self._take_up()
        except OSError as error:
            self._tell(GONE, str(error))
            if str(error) != self._said:
                self._said = str(error)
                self._log("no card: " + self._said)
            return False
        return True

    async def _win_back(self):
        """Try until the card takes what is written."""
        tries = 0
        while await self._mended():
            tries += 1
            await _pause(tries)
        self.is_there = True
        self._tell(BACK, "it is mounted and takes what is written")

    def _tell(self, event, text):
        if event != self._told:
            self._told = event
            self._on_change(event, text)


async def _pause(tries):
    await asyncio.sleep_ms(ceiling_ms(_PAUSE_MS, _LONGEST_PAUSE_MS, tries - 1))
