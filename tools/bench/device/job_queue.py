"""The queue of uploads on a card image: `job_queue.py WORK IMAGE PLACES JOBS`. Prints counts.

fill: a journal of so many places gets so many jobs, each with its clip on the card; what they take of
    the heap. change: some of them fail, are delivered, are removed; what that writes. recover: the
    camera's start with what is there. idle: as recover, without it.
"""

import gc
import json
import os
import sys
from time import ticks_add, ticks_diff, ticks_us

import vfs

from firmware.clip_store import ClipStore
from firmware.intake import Intake
from firmware.job import DELIVERED, WAITING, Job
from firmware.upload_journal import UploadJournal
from firmware.upload_queue import UploadQueue
from firmware.upload_statistics import UploadStatistics
from slot_journal import SlotJournal

CARD = "/card"
SECTOR_BYTES = 512
SYNC, COUNT, SIZE = 3, 4, 5
CLIP_BYTES = 188
CHANGES = 100  # jobs that go through three changes each
CONFIG = {
    "enable_cloud_upload": True,
    "auto_upload_motion_recordings": True,
    "auto_upload_new_recordings": True,
    "delete_after_upload": True,
}


class CountedCard:
    """An image as a block device that counts sectors, and those that are records of the journal."""

    def __init__(self, path):
        self._file = open(path, "r+b")
        self._sectors = self._file.seek(0, 2) // SECTOR_BYTES
        self.clear()

    def clear(self):
        self.read = self.written = self.records = 0

    def readblocks(self, first, buf):
        self._file.seek(first * SECTOR_BYTES)
        self._file.readinto(buf)
        self.read += len(buf) // SECTOR_BYTES

    def writeblocks(self, first, buf):
        self._file.seek(first * SECTOR_BYTES)
        self._file.write(buf)
        self.written += len(buf) // SECTOR_BYTES
        self.records += buf[0] == 0x4A and buf[1] == 0x52  # "JR"

    def ioctl(self, op, argument):
        if op == SYNC:
            self._file.flush()
        return {COUNT: self._sectors, SIZE: SECTOR_BYTES}.get(op, 0)


def complain(*words):
    raise ValueError(words)


class Camera:
    """What of the camera keeps jobs."""

    def __init__(self, places):
        self.store = ClipStore(CARD + "/recordings", complain)
        self.journal = UploadJournal(
            SlotJournal(
                [CARD + "/queue_a", CARD + "/queue_b"],
                slots=places,
                buffer=bytearray(8192),
                log=complain,
            ),
            UploadQueue(most=places, ticks_add=ticks_add, ticks_diff=ticks_diff),
            root=self.store.directory,
            totals=UploadStatistics(),
            log=complain,
        )
        self.intake = Intake(
            None,
            self.journal,
            self.store,
            config=CONFIG,
            live_from_bytes=None,
            unix_time=lambda: 1763856000,
            clock_quality=lambda: "rtc",
            to_unix=int,
            on_failed=complain,
            log=complain,
        )


def used_bytes():
    gc.collect()
    return gc.mem_alloc()


def clip(camera):
    path = camera.store.new_path("motion_detection")
    with open(path, "wb") as file:
        file.write(bytes(CLIP_BYTES))
    job = Job(path, CLIP_BYTES, 2, "motion_detection", started_unix=1763856000)
    job.md5 = os.urandom(16)
    return job


def fill(card, camera, jobs):
    camera.intake.open()
    camera.journal.add(clip(camera))  # what the first one takes is no job's
    before = used_bytes()
    for _ in range(jobs - 1):
        camera.journal.add(clip(camera))
    return {"heap_bytes": used_bytes() - before, "jobs": jobs - 1}


def change(card, camera, jobs):
    camera.intake.open()
    changes = 0
    card.clear()
    for row in list(camera.journal.queue.rows_in((WAITING,)))[:CHANGES]:
        job = camera.journal.load(row)
        job.attempts = 1
        camera.journal.save(job)
        job.state = DELIVERED
        camera.journal.save(job)
        camera.journal.remove(job)
        changes += 3
    return {"changes": changes, "records": card.records, "written": card.written}


def recover(card, camera, jobs):
    card.clear()
    began_us = ticks_us()
    camera.intake.open()
    took_us = ticks_diff(ticks_us(), began_us)
    if len(camera.journal.queue) != jobs:
        raise ValueError("%d jobs, not %d" % (len(camera.journal.queue), jobs))
    return {"us": took_us, "read": card.read, "written": card.written}


def idle(card, camera, jobs):
    return {}


WORK = {"fill": fill, "change": change, "recover": recover, "idle": idle}


def main(work, image, places, jobs):
    card = CountedCard(image)
    vfs.mount(vfs.VfsFat(card), CARD)
    found = WORK[work](card, Camera(int(places)), int(jobs))
    vfs.umount(CARD)
    print(json.dumps(found))


main(*sys.argv[1:])
