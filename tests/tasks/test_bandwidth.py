"""A bandwidth limit: every byte of a body is taken from it before it goes, and waiting is no delay of the store."""

import asyncio

from firmware.oss_uploader import Outcome
from harness import eq
from tasks.camera_upload import CHUNK_BYTES, Camera, clip, file_md5, grant, try_upload
from tasks.fake_store import FakeStore
from tasks.parts_cloud import Parts


class Limiter:
    """Says how long to wait, from a list that starts over; keeps what was taken."""

    def __init__(self, *waits_ms):
        self.waits_ms = waits_ms
        self.taken = []

    def take(self, n_bytes, now_ms):
        self.taken.append(n_bytes)
        return self.waits_ms[len(self.taken) % len(self.waits_ms)]


async def accept(exchange):
    await exchange.accept()


async def test_every_byte_is_taken():
    for size_bytes in (0, 1, CHUNK_BYTES, 5 * CHUNK_BYTES + 7):
        limiter, job = Limiter(0), clip(size_bytes)
        outcome, _, _ = await try_upload(accept, job, limiter=limiter)
        assert isinstance(outcome, Outcome), outcome
        eq(sum(limiter.taken), size_bytes)
        assert max(limiter.taken) <= CHUNK_BYTES, limiter.taken
        eq(outcome.md5, file_md5(job.path))


async def test_parts_and_slots_share_it():
    limiter = Limiter(0)
    rig, job = Parts(20000, limiter=limiter), clip(50000)
    outcome = await rig.upload(job)
    assert isinstance(outcome, Outcome), outcome
    eq(sum(limiter.taken), 50000)
    store = await FakeStore(accept).start()
    camera = Camera(grant(store.port), slots=2, limiter=limiter)
    await asyncio.gather(*[camera.uploader.upload(clip(10000), slot) for slot in (0, 1)])
    await store.stop()
    eq(sum(limiter.taken), 70000)


async def test_others_run_while_it_waits():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep_ms(1)

    counter = asyncio.create_task(count())
    outcome, _, _ = await try_upload(accept, clip(4 * CHUNK_BYTES), limiter=Limiter(20))
    counter.cancel()
    assert isinstance(outcome, Outcome), outcome
    assert turns > 4, turns


async def test_waiting_does_not_count_as_time_of_the_upload():
    outcome, _, _ = await try_upload(
        accept, clip(4 * CHUNK_BYTES), limiter=Limiter(400), timeout_ms=1000
    )
    assert isinstance(outcome, Outcome), outcome


async def test_a_store_that_does_nothing_still_meets_the_deadline():
    async def stall(exchange):
        await exchange.read_body(100)
        await asyncio.sleep_ms(1500)

    error, _, _ = await try_upload(
        stall, clip(10 * CHUNK_BYTES), limiter=Limiter(20), timeout_ms=300
    )
    eq(error.code, "TIMEOUT")
