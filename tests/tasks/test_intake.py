"""Which recordings become uploads, and with what priority."""

from collections import namedtuple

from firmware.intake import Intake
from harness import eq, raises, tmp_dir

Clip = namedtuple("Clip", "path size_bytes priority trigger md5 started_unix duration_ms height")


class Rig:
    def __init__(self, **changes):
        config = {
            "enable_cloud_upload": True,
            "auto_upload_motion_recordings": True,
            "auto_upload_new_recordings": True,
            "delete_after_upload": True,
        }
        config.update(changes)
        self.directory = tmp_dir()
        self.jobs = []
        self.accepts = True
        self.recording = None
        self.intake = Intake(
            self.add,
            directory=self.directory,
            config=config,
            is_recording=lambda path: path == self.recording,
            to_unix=lambda changed: 1700000000,
            log=lambda text: None,
        )

    def add(self, job, at_once=False):
        self.jobs.append((job.path, job.priority, job.trigger, job.started_unix, at_once))
        return self.accepts

    def file(self, name, size_bytes=5):
        path = self.directory + "/" + name
        with open(path, "wb") as file:
            file.write(bytes(size_bytes))
        return path


def clip(trigger):
    return Clip("/card/x.ts", 7, 3, trigger, b"m" * 16, 1691234567, 2000, 720)


def test_a_clip_goes_by_the_switch_of_its_kind():
    for changes, motion, others in (
        ({}, 1, 1),
        ({"auto_upload_motion_recordings": False}, 0, 1),
        ({"auto_upload_new_recordings": False}, 1, 0),
        ({"enable_cloud_upload": False}, 0, 0),
    ):
        rig = Rig(**changes)
        rig.intake.clip(clip("motion_detection"))
        eq(len(rig.jobs), motion, changes)
        rig.intake.clip(clip("security_alert"))
        eq(len(rig.jobs), motion + others, changes)


def test_a_clip_keeps_what_the_recorder_knows():
    rig = Rig()
    rig.intake.clip(clip("manual_recording"))
    eq(rig.jobs, [("/card/x.ts", 3, "manual_recording", 1691234567, False)])


def test_found_clips_go_at_once_at_their_trigger_s_priority():
    rig = Rig()
    path = rig.file("s0000003.ts")
    rig.intake.adopt([(path, "security_alert")])
    eq(rig.jobs, [(path, 3, "security_alert", 1700000000, True)])


def test_an_empty_file_of_a_power_cut_is_no_clip():
    rig = Rig()
    rig.intake.adopt([(rig.file("m0000001.ts", 0), "motion_detection")])
    eq(rig.jobs, [])


def test_a_file_that_is_being_recorded_is_refused():
    rig = Rig()
    rig.recording = rig.file("m0000001.ts")
    for path in ("m0000001.ts", rig.recording):
        assert "being recorded" in str(raises(ValueError, rig.intake.file, path, 3))
    eq(rig.jobs, [])
    rig.recording = None
    rig.intake.file("m0000001.ts", 3)
    eq(len(rig.jobs), 1)


def test_found_clips_stay_where_delivered_ones_do():
    rig = Rig(delete_after_upload=False)
    rig.intake.adopt([(rig.file("s0000003.ts"), "security_alert")])
    eq(rig.jobs, [])


def test_a_file_by_hand_in_the_directory_only():
    rig = Rig()
    path = rig.file("m0000001.ts")
    rig.intake.file(path, 0)
    rig.intake.file("m0000001.ts", 1)
    eq([job[:3] for job in rig.jobs], [(path, n, "motion_detection") for n in (0, 1)])
    for wrong in ("/etc/passwd", rig.directory + "/../x.ts", "../x.ts", rig.directory + "/", ""):
        raises(ValueError, rig.intake.file, wrong, 0)
    raises(OSError, rig.intake.file, "m0000009.ts", 0)
    rig.accepts = False
    raises(ValueError, rig.intake.file, path, 0)
