"""Clips that go out while they are being recorded: parts as they fill, the rest when it is known."""

import asyncio
import os

from firmware.growth import Growth
from firmware.oss_uploader import Outcome
from firmware.upload_error import NEVER, SUSPEND, UploadError
from harness import eq, tmp_dir
from tasks.camera_upload import ack, file_md5, job_for
from tasks.parts_cloud import Parts, cut

PART_BYTES = 20000


class Recording:
    """A clip that grows: its job, and what the recorder does."""

    def __init__(self, size_bytes=0):
        self.job = job_for(tmp_dir() + "/m0000001.ts", 0)
        open(self.job.path, "wb").close()
        self.job.growth = Growth()
        self.grow(size_bytes)

    def grow(self, size_bytes):
        with open(self.job.path, "ab") as file:
            file.write(os.urandom(size_bytes))
        self.job.size_bytes += size_bytes
        self.job.growth.reach(self.job.size_bytes)

    def finish(self, md5=None):
        self.job.md5 = md5 or file_md5(self.job.path)
        self.job.growth.finish(self.job.size_bytes)


async def until(condition):
    while not condition():
        await asyncio.sleep_ms(1)


def check(rig, recording, outcome):
    assert isinstance(outcome, Outcome), outcome
    with open(recording.job.path, "rb") as file:
        assert rig.object() == file.read(), "the object is not the file"
    eq((outcome.size_bytes, outcome.md5), (recording.job.size_bytes, recording.job.md5))


async def record(rig, recording, sizes, last):
    """Upload while the clip grows; each size is added once what is whole of the others is stored."""
    job = recording.job
    task = asyncio.create_task(rig.upload(job))
    await until(lambda: rig.asked)
    for size_bytes in sizes:
        recording.grow(size_bytes)
        # A part that the file could end with waits until that is known.
        await until(lambda: len(rig.stored) >= max(0, job.size_bytes - 1) // PART_BYTES)
    recording.grow(last)
    recording.finish()
    return await task


async def test_parts_go_as_they_fill():
    for sizes, last in (
        ((10000, 15000, 30000, 5000), 3333),
        ((20000, 20000, 20000), 20000),
        ((50000,), 0),
        ((20000, 20000), 0),
        ((5, 40000), 1),
    ):
        rig, recording = Parts(PART_BYTES, batch=2), Recording(100)
        outcome = await record(rig, recording, sizes, last)
        check(rig, recording, outcome)
        eq((rig.asked[0]["live"], rig.asked[0]["capabilities"][1]), (True, "multipart"))
        eq(rig.completed[0]["file_size"], recording.job.size_bytes)
        assert rig.requests == len(rig.stored), rig.requests


async def test_recording_that_ends_within_its_first_part():
    rig, recording = Parts(PART_BYTES), Recording(100)
    check(rig, recording, await record(rig, recording, (50,), 100))
    eq(rig.requests, 1)


async def test_appended_while_it_grows():
    rig, recording = Parts(PART_BYTES, mode="append"), Recording(100)
    rig.upload_id = "append"
    check(rig, recording, await record(rig, recording, (30000, 30000), 5000))


async def test_connection_that_dies_while_the_next_part_fills():
    rig, recording = Parts(PART_BYTES), Recording(100)
    rig.faults[2] = cut()
    check(rig, recording, await record(rig, recording, (20000, 20000), 5000))
    eq(rig.store.connections, 2)


async def test_resumed_while_it_grows():
    rig, recording = Parts(PART_BYTES), Recording(50000)
    rig.faults[2] = rig.faults[3] = cut(5000)
    error = await rig.upload(recording.job)
    eq((error.code, recording.job.parts_done), ("CONNECTION_LOST", 1))
    check(rig, recording, await record(rig, recording, (20000,), 7000))
    eq(rig.requests, 3 + 3)


async def test_recording_and_card_disagree():
    rig, recording = Parts(PART_BYTES), Recording(50000)
    task = asyncio.create_task(rig.upload(recording.job))
    await until(lambda: len(rig.stored) == 2)
    recording.finish(md5=16 * b"\0")
    error = await task
    eq((error.code, error.retry), ("LOCAL_CORRUPT", NEVER))
    eq((rig.reported[-1]["outcome"], rig.completed), ("aborted", []))


async def test_gives_way_while_it_waits_for_the_recording():
    rig, recording = Parts(PART_BYTES), Recording(30000)
    urgent = []
    rig.options["must_suspend"] = lambda job: bool(urgent)
    task = asyncio.create_task(rig.upload(recording.job))
    await until(lambda: len(rig.stored) == 1)
    urgent.append(1)
    recording.grow(10)
    error = await task
    eq((error.retry, recording.job.parts_done), (SUSPEND, 1))


async def test_recording_that_breaks_off_shorter_than_what_is_stored():
    rig, recording = Parts(PART_BYTES), Recording(50000)
    task = asyncio.create_task(rig.upload(recording.job))
    await until(lambda: len(rig.stored) == 2)
    job = recording.job
    job.size_bytes, job.is_recovered = 15000, True
    rig.upload_id, rig.stored = "u-2", {}  # what the cloud makes of the abort
    job.growth.finish(15000)
    outcome = await task
    assert isinstance(outcome, Outcome), outcome
    with open(job.path, "rb") as file:
        eq(rig.object() == file.read(15000), True)
    eq(rig.reported[0]["outcome"], "aborted")


async def test_cloud_that_has_more_than_there_is_yet():
    rig, recording = Parts(PART_BYTES), Recording(30000)
    rig.grants[1] = {"parts_done": 2}
    check(rig, recording, await record(rig, recording, (20000,), 7000))
    eq(rig.reported[0]["outcome"], "aborted")


async def test_cloud_that_wants_it_in_one_piece():
    """Then it waits for the end of the recording, and asks again."""
    rig, recording = Parts(PART_BYTES, multipart_bytes=1 << 30), Recording(30000)

    async def take_whole(exchange, rig):
        rig.stored[1] = (await exchange.read_all(), b"")
        await exchange.answer()

    put = {"mode": "put", "upload_id": "", "part_size": 0, "parts": (), "parts_done": 0}
    rig.grants = {1: put, 2: put}
    rig.faults[1], rig.acks = take_whole, [ack()]
    task = asyncio.create_task(rig.upload(recording.job))
    await until(lambda: rig.asked)
    recording.grow(5000)
    recording.finish()
    check(rig, recording, await task)
    eq(["live" in fields for fields in rig.asked], [True, False])
    eq(rig.requests, 1)


async def test_waiting_in_one_piece_gives_way():
    rig, recording = Parts(PART_BYTES), Recording(30000)
    rig.options["must_suspend"] = lambda job: True
    rig.grants[1] = {"mode": "put", "upload_id": "", "part_size": 0, "parts": ()}
    task = asyncio.create_task(rig.upload(recording.job))
    await until(lambda: rig.asked)
    recording.grow(5000)
    error = await task
    assert isinstance(error, UploadError), error
    eq((error.retry, rig.requests), (SUSPEND, 0))
