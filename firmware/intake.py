"""Which recordings become uploads: new clips, what an earlier run left, what somebody asks for.

A clip has its journal record from its first moment, so that a power cut in the
middle of it is known for what it is: at the next start the file is cut to whole
packets and goes out as recovered. Files that no record knows are adopted. The same is
done with whatever card comes after one that was taken out.
"""

import asyncio

from micropython import const

from firmware.adoption import Adoption
from firmware.growth import Growth
from firmware.job import DELIVERED, FAILED, HOPELESS, RECORDING, WAITING, Job
from firmware.messages import base_name
from firmware.settling import Settling
from firmware.trigger import MOTION
from mpegts import PACKET_BYTES
from protocol_error import ProtocolError

_AT_ONCE = const(8)  # adopted in one turn


class Intake:
    def __init__(
        self,
        scheduler,
        journal,
        store,
        *,
        config,
        live_from_bytes,
        unix_time,
        clock_quality,
        to_unix,
        on_failed,
        log,
    ):
        """`scheduler` has add, finish, grow and delete_delivered; `config` is the section `upload`.

        `live_from_bytes`: from which size on a clip goes out while it is recorded,
        None for never. on_failed(job, error, will_retry) is told of files that are gone.
        """
        self._scheduler = scheduler
        self._journal = journal
        self._store = store
        self.is_on = config["enable_cloud_upload"]
        self._takes_motion = config["auto_upload_motion_recordings"]
        self._takes_others = config["auto_upload_new_recordings"]
        self._live_from_bytes = live_from_bytes
        self._unix_time, self._clock_quality = unix_time, clock_quality
        self._log = log
        self._settling = Settling(
            scheduler,
            journal,
            deletes=config["delete_after_upload"],
            on_failed=on_failed,
            log=log,
        )
        self._adoption = Adoption(
            journal,
            store,
            add=lambda job: self._add(job, at_once=True),
            is_wanted=self._is_wanted,
            to_unix=to_unix,
            log=log,
        )
        self._path = None  # of the recording that goes on
        self._job = None  # its job, if it has one
        self._is_open = False

    def started(self, path, trigger, priority):
        """A recording began: keep its job before anybody hears of it."""
        self._path, self._job = path, None
        if not self._is_wanted(trigger):
            return
        job = Job(path, 0, priority, trigger, state=RECORDING, started_unix=self._unix_time())
        job.clock = self._clock_quality()
        if self._add(job):
            self._job = job

    def raised(self, path, trigger, priority):
        """The recording is more than it was when it began."""
        job = self._job
        if job is None:
            return self.started(path, trigger, priority)
        job.trigger, job.priority = trigger, priority
        self._journal.keep(job)

    def grown(self, size_bytes):
        """So much of the recording is on the card for good."""
        job = self._job
        if job is None or self._live_from_bytes is None or size_bytes < self._live_from_bytes:
            return
        job.size_bytes = size_bytes
        if job.growth:
            return job.growth.reach(size_bytes)
        job.growth = Growth()
        job.growth.reach(size_bytes)
        self._scheduler.grow(job)

    def clip(self, clip):
        """The recording ended: its job may go; whether that is kept, if it is wanted."""
        job, self._job, self._path = self._job, None, None
        if job:
            job.finish(clip)
            return self._scheduler.finish(job)
        if not self._is_wanted(clip.trigger):
            return True
        job = Job(clip.path, 0, clip.priority, clip.trigger, started_unix=clip.started_unix)
        job.finish(clip)
        return self._add(job)

    def broken(self):
        """The recording failed: what is on the card of it goes out, now or after the next start."""
        job, self._job, self._path = self._job, None, None
        if job:
            try:
                self._settling.recover(job)
            except OSError as error:
                self._log("left for later: " + job.path, error)
                if job.growth:  # who uploads it waits for more
                    job.cut(job.size_bytes - job.size_bytes % PACKET_BYTES)
                    self._scheduler.finish(job)

    def open(self):
        """Take up what earlier runs left: jobs and files. Raises OSError."""
        for _ in self._opening():
            pass

    async def reopen(self):
        """As open(), in steps, on the card that is there now. Nothing is recorded or uploaded yet."""
        for _ in self._opening():
            await asyncio.sleep_ms(0)

    def close(self):
        """The card is gone."""
        self._is_open = self._adoption.has_left_out = False
        self._scheduler.forget()
        self._journal.close()

    async def mend(self):
        """Do what a failing card did not take, in steps; OSError while it takes no record."""
        self._journal.touch()
        queue = self._journal.queue
        for row in queue.rows_in((RECORDING, DELIVERED)):
            if self._job is None or row != self._job.row:
                self._settling.settle(row)
                await asyncio.sleep_ms(0)
        if self._adoption.has_left_out:
            for _ in self._adoption.again(self._path):
                await asyncio.sleep_ms(0)

    def _opening(self):
        yield from self._journal.opening()
        self._store.open()
        marks, queue = bytearray(self._journal.most), self._journal.queue
        yield from self._adoption.look_through(marks, self._path)
        self._is_open = True
        unsettled = (RECORDING, DELIVERED) if self._settling.deletes else (RECORDING,)
        for row in queue.rows_in((RECORDING, WAITING, FAILED, HOPELESS, DELIVERED)):
            if not marks[row] or queue.state(row) in unsettled:
                self._settling.settle(row, marks[row])
                yield

    def look_again(self, anyway=False):
        """Adopt what there was no room for, if there was such and there is room for many.

        Looking takes a while on a full card, so it is not done for every row that gets free,
        and few are adopted at a time.
        """
        if not self._is_open:  # it is looked through when it is opened
            return
        adoption = self._adoption
        if (adoption.has_left_out and self._journal.queue.has_room()) or anyway:
            left = _AT_ONCE
            for adopted in adoption.again(self._path):
                left -= adopted
                if not left:
                    adoption.has_left_out = True
                    break

    def file(self, path, priority):
        """Queue a recording by hand; ValueError for a path that is none, OSError if it is gone."""
        name, directory = base_name(path), self._store.directory + "/"
        if path not in (name, directory + name) or not name:
            raise ValueError("path: allowed are files in " + directory)
        if not self.is_on:
            raise ValueError("path: upload.enable_cloud_upload is off")
        if not self._is_open:
            raise ValueError("path: there is no card")
        if directory + name == self._path:
            # It would be delivered in part, and then deleted under the recorder's hands.
            raise ValueError("path: is being recorded; allowed are finished files")
        if self._journal.find(directory + name) is not None:
            raise ValueError("path: is in the queue already")
        try:
            job = self._adoption.found(directory + name, priority)
            if not self._scheduler.add(job, at_once=True):
                raise ValueError("path: the queue is full")
        except ProtocolError as error:
            raise ValueError(str(error))

    def _add(self, job, at_once=False):
        """Whether the job is kept; if not, its file is looked for again later."""
        try:
            if self._scheduler.add(job, at_once=at_once):
                return True
            self._log("queue is full, left for later: " + job.path)
        except (OSError, ProtocolError) as error:
            self._log("cannot be queued, left for later: " + job.path, error)
        self._adoption.has_left_out = True
        return False

    def _is_wanted(self, trigger):
        return self.is_on and (self._takes_motion if trigger == MOTION else self._takes_others)
