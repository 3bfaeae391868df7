"""Appending part after part: the store checks each against the MD5 that the camera read before."""

from firmware.oss_uploader import Outcome
from firmware.upload_error import NEVER, RENEW, RETRY, SUSPEND, UploadError
from harness import eq
from tasks.camera_upload import clip, file_md5
from tasks.parts_cloud import Parts, cut, forget_answer, refuse

PART_BYTES = 20000
SIZE_BYTES = 90000


def rig_for(**options):
    rig = Parts(PART_BYTES, mode="append", **options)
    rig.upload_id = "append"
    return rig


async def delivered(rig, job):
    outcome = await rig.upload(job)
    assert isinstance(outcome, Outcome), outcome
    with open(job.path, "rb") as file:
        assert rig.object() == file.read(), "the object is not the file"
    return outcome


async def test_appended_parts_are_the_file():
    rig, job = rig_for(), clip(SIZE_BYTES)
    job.md5 = file_md5(job.path)
    outcome = await delivered(rig, job)
    eq((outcome.md5, outcome.sent_bytes), (job.md5, SIZE_BYTES))
    eq((rig.requests, rig.store.connections, len(rig.asked)), (5, 1, 6))
    assert all(exchange.head.startswith(b"POST ") for exchange in rig.store.exchanges)
    eq([fields["resume"]["part_size"] for fields in rig.asked[1:]], 4 * [20000] + [10000])
    eq(rig.completed[0]["upload_id"], "append")
    eq(rig.camera.kept[-1], ("append", PART_BYTES, 5))


async def test_append_whose_answer_was_lost():
    """The store has the part: the cloud says so, and it is not appended twice."""
    rig, job = rig_for(), clip(SIZE_BYTES)
    rig.faults[3] = forget_answer
    outcome = await delivered(rig, job)  # the connection was kept: the part goes again, is refused
    eq((rig.requests, outcome.sent_bytes), (6, 70000))
    rig, job = rig_for(), clip(SIZE_BYTES)
    rig.faults[1] = forget_answer
    error = await rig.upload(job)
    eq((error.code, error.retry, job.parts_done), ("CONNECTION_LOST", RETRY, 0))
    eq((await delivered(rig, job)).sent_bytes, 70000)


async def test_a_resumed_upload_appends_what_is_missing():
    rig, job = rig_for(), clip(SIZE_BYTES)
    rig.faults[3] = rig.faults[4] = cut(9000)
    error = await rig.upload(job)
    eq((error.code, job.parts_done, job.upload_id), ("CONNECTION_LOST", 2, "append"))
    outcome = await delivered(rig, job)
    eq(outcome.sent_bytes, 50000)


async def test_positions_that_never_agree():
    rig, job = rig_for(), clip(SIZE_BYTES)
    conflict = refuse(b"409 Conflict", b"PositionNotEqualToLength")
    for request in range(2, 9):
        rig.faults[request] = conflict
    error = await rig.upload(job)
    eq((error.code, error.retry), ("POSITION_CONFLICT", RENEW))
    eq(rig.requests, 4)


async def test_store_that_finds_other_bytes():
    rig, job = rig_for(), clip(SIZE_BYTES)
    rig.faults[2] = refuse(b"400 Bad Request", b"InvalidDigest")
    error = await rig.upload(job)
    eq((error.code, rig.reported[-1]["outcome"], job.upload_id), ("INTEGRITY", "aborted", None))


async def test_corrupt_file_is_found_before_its_last_part():
    rig, job = rig_for(), clip(SIZE_BYTES, md5=16 * b"\0")
    error = await rig.upload(job)
    eq((error.code, error.retry, rig.requests), ("LOCAL_CORRUPT", NEVER, 4))
    eq(rig.completed, [])


async def test_gives_way_at_the_end_of_a_part():
    rig, job = rig_for(must_suspend=lambda job: job.parts_done == 2), clip(SIZE_BYTES)
    error = await rig.upload(job)
    eq((error.retry, job.parts_done), (SUSPEND, 2))
    rig.options["must_suspend"] = lambda job: False
    eq((await delivered(rig, job)).sent_bytes, 50000)


async def test_a_cloud_that_signs_another_md5():
    rig, job = rig_for(), clip(SIZE_BYTES)

    async def take_blindly(exchange, rig):
        await exchange.read_all()
        await exchange.answer(etag="")

    rig.faults[1] = take_blindly
    rig.grants[2] = {"extra_headers": (("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="),)}
    error = await rig.upload(job)
    assert isinstance(error, UploadError), error
    eq((error.code, job.parts_done), ("INTEGRITY", 0))
