"""The verbs that a program of the camera's owner has; what becomes of the camera and its card."""

import asyncio
import json
import os

from firmware import app, start_up
from firmware.app import Camera
from firmware.card_keeper import FAILING
from firmware.config import parse
from firmware.job import FAILED, WAITING
from harness import eq, raises, raises_async, tmp_dir
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


def hand_in(built, directory, content="something happened\n" * 100):
    """A log that is queued by hand; its row."""
    with open(directory + "/camera.log", "w") as file:
        file.write(content)
    built.upload_file_to_cloud("camera.log")
    return built._uploads.journal.find(directory + "/camera.log")


async def until(is_so):
    while not is_so():
        await asyncio.sleep_ms(1)


async def test_what_failed_is_tried_again_when_the_card_is_back_and_not_for_each_failure():
    built, directory = camera()
    row = hand_in(built, directory)
    queue = built._uploads.journal.queue
    queue.set_state(row, FAILED)
    mended, whole = [], built._uploads.intake.mend

    async def mend():
        await whole()
        mended.append(1)

    built._uploads.intake.mend = mend
    keeper = asyncio.create_task(built._card.run())
    try:
        built._card.failed(OSError(5, "one file"))
        await until(lambda: mended)
        await asyncio.sleep_ms(0)
        eq(queue.state(row), FAILED)
        built._card.lost(OSError(5, "card"))
        await until(built._has_card)
        eq(queue.state(row), WAITING)
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


def test_a_card_that_takes_no_record_at_the_start_is_only_read():
    built, directory = camera(compress="gzip")
    hand_in(built, directory)
    built._uploads.journal.touch = lambda: fail(30)
    told = []
    built._card._on_change = lambda event, text: told.append(event)
    built.open()
    eq((built._card.is_there, built._card.is_readable, told), (False, True, [FAILING]))
    assert built._uploads._has_card(), "uploads go on"
    eq(built._recording._may_record(3), False)


async def test_while_the_card_takes_no_record_files_go_as_they_are():
    built, directory = camera(compress="gzip")
    row = hand_in(built, directory)
    sent = []

    async def upload(job, slot):
        sent.append((job.content_encoding, "work" in os.listdir(built._board.card_root)))

    compression = built._uploads._compression
    compression._upload = upload
    job = built._uploads.journal.load(row)
    built._card.refused(OSError(30, "EROFS"))
    await compression.upload(job, 0)
    built._card.is_there = True
    await compression.upload(job, 0)
    eq(sent, [(None, False), ("gzip", True)])


def test_an_upload_gives_way_when_the_card_cannot_be_read():
    built, directory = camera()
    job = built._uploads.journal.load(hand_in(built, directory))
    eq(built._uploads._must_suspend(job), built._uploads.scheduler.must_suspend(job))
    built._card.lost(OSError(5, "card"))
    eq(built._uploads._must_suspend(job), True)


class Stopped(Exception):
    """The camera got as far as the network."""


class FailingBoard(FolderBoard):
    mounts = 0

    def mount_card(self):
        self.mounts += 1

    def start_network(self, **_):
        raise Stopped


async def test_a_card_that_fails_behind_its_configuration_is_waited_for():
    root = tmp_dir()
    with open(root + "/footage.h264", "wb") as file:
        file.write(b"")
    config = {
        "device_id": "CAM",
        "mqtt": {"host": "127.0.0.1"},
        "source": {"path": root + "/footage.h264", "largest_unit_kb": 16},
        "recorder": {"pre_roll_kb": 0},
        "upload": {"allow_insecure_upload": True},
    }
    with open(root + "/config.json", "w") as file:
        json.dump(config, file)
    board, whole, failures = FailingBoard(root), start_up.twice, [OSError(5, "EIO")] * 2

    def twice(ask, *arguments):
        if arguments == (root + "/footage.h264",) and failures:
            raise failures.pop()
        return whole(ask, *arguments)

    waits = []

    class Clock:
        @staticmethod
        async def sleep_ms(ms):
            waits.append(ms)

    start_up.twice, start_up.asyncio = twice, Clock
    try:
        await raises_async(Stopped, app.main(board))
    finally:
        start_up.twice, start_up.asyncio = whole, asyncio
    eq((waits, board.mounts), ([1000, 2000], 3), "mounted anew for each try")
