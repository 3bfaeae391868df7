"""Files on the card that no record knows: found, judged, queued. A part of intake.py.

In a full directory a clip costs some hundred sectors to be found, and the last of thousands as
many again: everything here is done in steps, between which others have their turns.
"""

from micropython import const

from firmware.clip_store import file_facts, readable_bytes, sound_bytes
from firmware.job import Job
from firmware.messages import base_name
from firmware.trigger import HISTORICAL, NAMES, clip_name, default_priority, parse_clip_name
from mpegts import PACKET_BYTES

_NAMES_A_STEP = const(32)


class Adoption:
    def __init__(self, journal, store, *, add, is_wanted, to_unix, log):
        """add(job) -> bool queues one; is_wanted(trigger) -> bool."""
        self._journal = journal
        self._store = store
        self._add = add
        self._is_wanted = is_wanted
        self._to_unix = to_unix
        self._log = log
        self.has_left_out = False  # something that may be adopted later

    def again(self, busy):
        """As look_through, on a card that was looked through before; what fails is done later."""
        self.has_left_out = False
        try:
            yield from self.look_through(bytearray(self._journal.most), busy)
        except OSError as error:
            self.has_left_out = True
            self._log("recordings cannot be looked through", error)

    def look_through(self, marks, busy):
        """Adopt what no record knows but the path `busy`, oldest first; set `marks[row]` of the others.

        In steps: of some names, which yield 0, or of one clip, which yield 1. Raises OSError.
        """
        unknown, seen = [], 0  # as numbers: there may be as many as the journal has rows
        for name in self._store.entries():
            seen += 1
            if not seen % _NAMES_A_STEP:
                yield 0
            path = self._store.directory + "/" + name
            if self._journal.mark(path, marks) or path == busy:
                continue
            parsed = parse_clip_name(name)
            if parsed is None:
                self._log("not a clip, left alone: " + path)
            elif self._is_wanted(parsed[0]):
                if len(unknown) < self._journal.most:
                    unknown.append(parsed[1] * len(NAMES) + NAMES.index(parsed[0]))
                else:
                    self.has_left_out = True
        unknown.sort()
        for packed in unknown:
            trigger = NAMES[packed % len(NAMES)]
            path = self._store.directory + "/" + clip_name(trigger, packed // len(NAMES))
            if self._journal.mark(path, marks):  # somebody was faster
                continue
            if not self._adopt(path, trigger, marks):
                break
            yield 1

    def _adopt(self, path, trigger, marks):
        """Queue a clip that no record knows; False when there is room for no more."""
        try:
            job = self.found(path, default_priority(trigger))
        except OSError as error:
            self._log("left for later: " + path, error)
            return True
        if not job.size_bytes:  # the power went before its first flush
            self._log("found on the card, empty: " + path)
            return True
        if not self._add(job):
            return False
        self._log("found on the card: " + path)
        self._journal.mark(path, marks)
        return True

    def found(self, path, priority):
        """The job for a file, as far as it can be read. Raises OSError."""
        size_bytes, changed = file_facts(path)
        parsed = parse_clip_name(base_name(path))
        trigger = parsed[0] if parsed else HISTORICAL
        job = Job(path, size_bytes, priority, trigger, started_unix=self._to_unix(changed))
        if parsed:
            # Only what is no whole number of packets was broken off for certain.
            look = sound_bytes if size_bytes % PACKET_BYTES else readable_bytes
            job.size_bytes = look(path, size_bytes)
            job.size_bytes -= job.size_bytes % PACKET_BYTES
            job.is_recovered = job.size_bytes < size_bytes
        return job
