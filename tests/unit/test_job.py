"""Jobs and their journal records."""

import json

from firmware.clip import Clip
from firmware.growth import Growth
from firmware.job import (
    FAILED,
    LONGEST_NAME,
    RECORDING,
    RUNNING,
    WAITING,
    Job,
    from_record,
    to_record,
)
from firmware.trigger import HIGH, HISTORICAL, MOTION, URGENT
from harness import eq, raises
from journal_codec import MOST_BYTES
from protocol_error import ProtocolError

PATH = "/sdcard/recordings/m0000042.ts"
MD5 = bytes(range(16))
CLIP = Clip(PATH, 123456, MD5, MOTION, HIGH, 1691234562, 12345, 300, 1920, 1080, 25, 4960, 40044, 0)


def finished():
    job = Job(PATH, 0, HIGH, MOTION, state=RECORDING, started_unix=1691234567)
    job.order, job.clock = 7, "ntp"
    job.finish(CLIP)
    return job


def test_a_job_comes_back_as_it_was():
    job = finished()
    job.upload_id, job.part_size, job.parts_done = "VXBsb2Fk", 5242880, 3
    job.cloud_path, job.attempts, job.state = "CAM/2023/08/05/112247_m0000042.ts", 2, FAILED
    back, totals = from_record(to_record(job, [1, 2, 3]))
    eq(totals, [1, 2, 3])
    for name in ("path", "size_bytes", "priority", "trigger", "md5", "duration_ms", "height"):
        eq(getattr(back, name), getattr(job, name), name)
    for name in ("fps", "frames", "pre_roll_ms", "poster_bytes", "clock"):
        eq(getattr(back, name), getattr(job, name), name)
    for name in ("started_unix", "attempts", "state", "order", "is_recovered"):
        eq(getattr(back, name), getattr(job, name), name)
    for name in ("upload_id", "part_size", "parts_done", "cloud_path"):
        eq(getattr(back, name), getattr(job, name), name)


def test_a_recording_began_before_its_trigger():
    eq(finished().started_unix, 1691234562)
    job = Job(PATH, 0, HIGH, MOTION, state=RECORDING, started_unix=1691234567)
    job.growth = Growth()  # it is on its way: perhaps a name was asked for, and its answer lost
    job.finish(CLIP)
    eq((job.started_unix, job.pre_roll_ms, job.growth.is_done), (1691234567, 4960, True))
    job = Job(PATH, 0, HIGH, MOTION, state=RECORDING)
    job.growth = Growth()  # without a clock there was no name either
    job.finish(CLIP)
    eq(job.started_unix, 1691234562)


def test_a_recording_that_broke_off():
    job = Job(PATH, 0, HIGH, MOTION, state=RECORDING)
    job.cut(18800)
    back, _ = from_record(to_record(job, []))
    eq((back.state, back.size_bytes, back.is_recovered, back.md5), (WAITING, 18800, True, None))


def test_a_reset_ends_what_was_running():
    job = finished()
    job.state = RUNNING
    eq(from_record(to_record(job, []))[0].state, WAITING)


def test_a_place_without_a_job_keeps_the_totals():
    eq(from_record(to_record(None, [9])), (None, [9]))


def test_names_below_the_root_are_kept_without_it():
    record = to_record(finished(), [], "/sdcard/recordings/")
    eq(json.loads(record)["p"], "m0000042.ts")
    eq(from_record(record, "/sd/recordings/")[0].path, "/sd/recordings/m0000042.ts")
    eq(from_record(to_record(finished(), [], "/else/"), "/sd/")[0].path, PATH)


def test_the_largest_job_fits_a_record():
    job = finished()
    job.path = "/" + "p" * (LONGEST_NAME - 1)
    job.size_bytes = job.part_size = job.order = job.duration_ms = 2**31 - 1
    job.upload_id, job.parts_done, job.attempts = "u" * 80, 10000, 1000
    totals = [2**40] * 5
    back, _ = from_record(to_record(job, totals, most_bytes=MOST_BYTES))
    eq(back.upload_id, job.upload_id)
    job.upload_id, job.cloud_path = "u" * 200, "o" * 500
    record = to_record(job, totals, most_bytes=MOST_BYTES)
    assert len(record) <= MOST_BYTES, len(record)
    back, _ = from_record(record)
    eq((back.upload_id, back.parts_done, back.cloud_path), (None, 0, None))
    eq(back.size_bytes, job.size_bytes)
    job.path += "x"
    raises(ProtocolError, to_record, job, [])


def with_parts(id_bytes, device_id_bytes):
    """The largest there may be of a clip that goes in parts."""
    job = Job(PATH[:-11] + "h0000042.ts", 0, URGENT, HISTORICAL)
    job.finish(CLIP)
    job.size_bytes, job.duration_ms, job.frames = 2**31 - 1, 3600000, 90000
    job.clock, job.order, job.attempts = "ntp", 12345678, 10
    job.upload_id, job.part_size, job.parts_done = "u" * id_bytes, 8388608, 255
    job.cloud_path = "d" * device_id_bytes + "/2026/10/04/211247_h0000042.ts"
    return job


def test_an_upload_in_parts_goes_on_after_a_retry():
    totals = [200000, 2000, 9000, 10**12, 10**9]
    for id_bytes, device_id_bytes, lost in (
        (32, 64, ""),  # OSS
        (124, 12, ""),  # MinIO
        (124, 64, "fclbk"),
        (200, 32, "fclbkdh"),  # the longest id that is taken
        (200, 48, "fclbkdhz"),
        (200, 64, "fclbkdhzoin"),
    ):
        case, job = "%d, %d" % (id_bytes, device_id_bytes), with_parts(id_bytes, device_id_bytes)
        whole = json.loads(to_record(job, totals, "/sdcard/recordings/"))
        record = to_record(job, totals, "/sdcard/recordings/", MOST_BYTES)
        assert len(record) <= MOST_BYTES, (case, len(record))
        left = json.loads(record)
        eq(sorted(short for short in whole if short not in left), sorted(lost), case)
        back, _ = from_record(record, "/sdcard/recordings/")
        eq((back.path, back.size_bytes, back.md5), (job.path, job.size_bytes, MD5), case)
        if "i" not in lost:
            eq((back.upload_id, back.cloud_path), (job.upload_id, job.cloud_path), case)
            eq((back.parts_done, back.attempts), (255, 10), case)


def test_records_of_a_later_firmware_are_read():
    fields = json.loads(to_record(finished(), [1]))
    fields["new"] = {"whatever": 1}
    eq(from_record(json.dumps(fields).encode())[0].size_bytes, 123456)


def test_what_is_no_record_is_said_to_be_none():
    for wrong in (b"", b"{", b"[]", b"{}", b'{"g": 1}', b'{"g": [], "p": "x"}', b'{"g": ["x"]}'):
        raises(ProtocolError, from_record, wrong)
