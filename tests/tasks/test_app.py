"""The verbs that a program of the camera's owner has."""

import json
import os

from firmware.app import Camera
from firmware.config import parse
from harness import eq, raises, tmp_dir
from live.camera_device import FolderBoard


def camera(**upload):
    """A camera that is built and has its card, but does not run; and its recordings directory."""
    root = tmp_dir()
    with open(root + "/footage.h264", "wb") as file:
        file.write(b"")
    upload["allow_insecure_upload"] = True
    config = {
        "device_id": "CAM",
        "mqtt": {"host": "127.0.0.1"},
        "source": {"path": root + "/footage.h264", "largest_unit_kb": 16},
        "recorder": {"pre_roll_kb": 0},
        "upload": upload,
    }
    built = Camera(FolderBoard(root), parse(json.dumps(config)))
    built.open()
    return built, root + "/recordings"


def test_figures_of_a_new_camera():
    built, _ = camera()
    eq(built.get_upload_statistics()["total_uploads"], 0)
    eq(built.get_current_upload_progress()["uploads"], [])


def test_a_file_is_queued_by_hand():
    built, directory = camera()
    with open(directory + "/camera.log", "w") as file:
        file.write("something happened\n")
    built.upload_file_to_cloud(directory + "/camera.log", "URGENT")
    assert "already" in str(raises(ValueError, built.upload_file_to_cloud, "camera.log"))
    assert "allowed" in str(raises(ValueError, built.upload_file_to_cloud, "camera.log", "SOON"))
    raises(OSError, built.upload_file_to_cloud, "other.log")


def test_the_cloud_is_switched_off_and_on():
    built, directory = camera()
    built.enable_cloud_upload(False)
    with open(directory + "/m0000001.ts", "wb") as file:
        file.write(bytes(188))
    assert "off" in str(raises(ValueError, built.upload_file_to_cloud, "m0000001.ts"))
    built.enable_cloud_upload(True)
    assert "already" in str(raises(ValueError, built.upload_file_to_cloud, "m0000001.ts"))


def test_a_camera_that_was_off_adopts_nothing():
    built, directory = camera(enable_cloud_upload=False)
    with open(directory + "/m0000001.ts", "wb") as file:
        file.write(bytes(188))
    built.open()
    eq(os.listdir(directory), ["m0000001.ts"])
    built.enable_cloud_upload(True)
    assert "already" in str(raises(ValueError, built.upload_file_to_cloud, "m0000001.ts"))


def test_a_card_that_fails_once_is_opened_again():
    built, directory = camera()
    whole, calls = built._uploads.open, []

    def fail_once():
        calls.append(1)
        if len(calls) == 1:
            raise OSError(5, "card")
        whole()

    built._uploads.open = fail_once
    built.open()
    eq(len(calls), 2)
    built._uploads.open = lambda: fail(5)
    built.open()
    eq(built._has_card(), False, "it is looked for again")


def fail(number):
    raise OSError(number, "card")
