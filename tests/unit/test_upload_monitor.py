"""What the camera's owner is told of uploads, and that his callbacks break nothing."""

from collections import namedtuple

from firmware.job import Job
from firmware.retention_policy import Evicted
from firmware.upload_error import UploadError
from firmware.upload_monitor import UploadMonitor
from firmware.upload_statistics import UploadStatistics
from harness import eq

Grant = namedtuple("Grant", "cloud_file_path")
Outcome = namedtuple("Outcome", "cloud_url")

GRANT = Grant("CAM/2025/m.ts")
URL = "https://store.example/CAM/m.ts"
DONE = Outcome(URL)
LOST = UploadError("CONNECTION_LOST", "the store hung up")
IDLE = {
    "progress_percentage": 0,
    "bytes_uploaded": 0,
    "total_bytes": 0,
    "upload_speed_kbps": 0,
    "estimated_time_remaining_sec": 0,
    "uploads": [],
}


class Rig:
    def __init__(self):
        self.log = []
        self.totals = UploadStatistics()
        self.monitor = UploadMonitor(self.totals, lambda *line: self.log.append(line))
        self.told, self.ended = [], []
        self.monitor.set_progress_callback(self.told.append)
        self.monitor.set_completion_callback(lambda *args: self.ended.append(args))

    def current(self):
        return self.monitor.get_current_upload_progress()


def a_job(path="/sdcard/recordings/m0000042.ts", size_bytes=1000000):
    return Job(path, size_bytes, 2, "motion_detection")


def test_nothing_goes_on():
    rig = Rig()
    eq(rig.current(), IDLE)
    eq(rig.monitor.get_upload_statistics()["active_uploads"], 0)


def test_an_upload_from_its_start_to_its_end():
    rig, job = Rig(), a_job()
    rig.monitor.started(job, GRANT)
    eq(rig.current()["progress_percentage"], 0)
    eq(rig.current()["total_bytes"], 1000000)
    rig.monitor.progress(job, 250000, 1000000, 500000)
    expected = {
        "file_path": job.path,
        "progress_percentage": 25,
        "bytes_uploaded": 250000,
        "total_bytes": 1000000,
        "upload_speed_kbps": 500,
        "estimated_time_remaining_sec": 1,
    }
    eq(rig.told, [expected])
    eq(rig.current()["uploads"], [expected])
    eq(rig.monitor.get_upload_statistics()["active_uploads"], 1)
    rig.monitor.completed(job, DONE)
    eq(rig.current(), IDLE)
    eq(rig.ended, [(job.path, True, URL)])


def test_two_uploads_are_told_together_and_each_by_itself():
    rig, first, second = Rig(), a_job("/a.ts", 1000000), a_job("/b.ts", 3000000)
    rig.monitor.started(first, GRANT)
    rig.monitor.started(second, GRANT)
    rig.monitor.progress(first, 500000, 1000000, 500000)
    rig.monitor.progress(second, 1500000, 3000000, 1500000)
    found = rig.current()
    eq([one["file_path"] for one in found.pop("uploads")], ["/a.ts", "/b.ts"])
    eq(
        found,
        {
            "progress_percentage": 50,
            "bytes_uploaded": 2000000,
            "total_bytes": 4000000,
            "upload_speed_kbps": 2000,
            "estimated_time_remaining_sec": 1,
        },
    )
    rig.monitor.completed(first, DONE)
    eq([one["file_path"] for one in rig.current()["uploads"]], ["/b.ts"])


def test_what_an_earlier_attempt_stored_counts_from_the_beginning():
    rig, job = Rig(), a_job()
    job.part_size, job.parts_done = 200000, 2
    rig.monitor.started(job, GRANT)
    eq(rig.current()["bytes_uploaded"], 400000)
    eq(rig.current()["progress_percentage"], 40)


def test_only_the_end_of_a_file_is_told_as_such():
    rig, job = Rig(), a_job()
    rig.monitor.started(job, GRANT)
    rig.monitor.failed(job, LOST, True)
    eq((rig.ended, rig.current()), ([], IDLE))
    rig.monitor.started(job, GRANT)
    rig.monitor.suspended(job)
    eq((rig.ended, rig.current()), ([], IDLE))
    rig.monitor.failed(job, LOST, False)
    eq(rig.ended, [(job.path, False, "")])


def test_a_new_url_begins_the_same_upload_anew():
    rig, job = Rig(), a_job()
    rig.monitor.started(job, GRANT)
    rig.monitor.progress(job, 500000, 1000000, 1000)
    rig.monitor.started(job, GRANT)
    eq(len(rig.current()["uploads"]), 1)
    eq(rig.current()["bytes_uploaded"], 0)


def test_events_of_unknown_uploads_are_no_harm():
    rig, job = Rig(), a_job()
    rig.monitor.progress(job, 1, 2, 3)
    rig.monitor.suspended(job)
    rig.monitor.failed(job, LOST, True)
    eq((rig.told, rig.ended, rig.current()), ([], [], IDLE))


def test_the_totals_are_the_statistics():
    rig = Rig()
    rig.totals.delivered(1000000, 2000)
    found = rig.monitor.get_upload_statistics()
    eq((found["successful_uploads"], found["average_speed_kbps"]), (1, 500))


def test_a_callback_that_raises_is_logged_and_kept():
    rig, job, error = Rig(), a_job(), ZeroDivisionError("owner's own")
    calls = []

    def raising(*args):
        calls.append(args)
        raise error

    rig.monitor.set_progress_callback(raising)
    rig.monitor.set_completion_callback(raising)
    for _ in range(2):
        rig.monitor.started(job, GRANT)
        rig.monitor.progress(job, 1000, 1000000, 10)
        rig.monitor.completed(job, DONE)
    eq(len(calls), 4)
    eq([line[1] for line in rig.log], [error] * 4)
    eq(rig.current(), IDLE)


def test_nobody_need_listen():
    rig, job = Rig(), a_job()
    rig.monitor.set_progress_callback(None)
    rig.monitor.set_completion_callback(None)
    rig.monitor.started(job, GRANT)
    rig.monitor.progress(job, 1000, 1000000, 10)
    rig.monitor.failed(job, LOST, False)
    eq((rig.told, rig.ended, rig.log), ([], [], []))


def test_a_file_that_had_to_make_room_is_told_of_once():
    rig, path = Rig(), "/sdcard/recordings/r0000001.ts"
    for is_uploaded in (True, False):
        rig.monitor.evicted(Evicted(path, 1000, 1, "manual_recording", is_uploaded, "reserve"))
    eq(rig.ended, [(path, False, "")])
