"""The whole camera on the virtual board, put there by mpremote: what the product promises."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.demo.footage_check import decode_errors, frame_count
from tools.desk import DEVICE_ID, PIR_GPIO, camera_config, desk, make_card
from tools.material import Footage, footage
from tools.services import Mosquitto, mosquitto
from tools.virtual_board import VirtualBoard, card
from tools.virtual_board.deploy import flash


def test_from_the_pir_to_the_bucket_in_a_small_heap(tmp_path: Path) -> None:
    changes = {"upload": {"upload_delay_sec": 2}}
    with desk(tmp_path, changes=changes, heap="512k") as table:
        table.board.set_pin(PIR_GPIO, 1)
        table.events.wait("recording_started", 10, trigger="motion_detection")
        table.board.set_pin(PIR_GPIO, 0)
        clip = table.events.wait("recording_completed", 20)
        held = card.get(table.board.card, clip["file_path"].removeprefix("/sdcard/"))
        started = table.events.wait("upload_started", 20)
        table.events.wait("upload_completed", 20)
        content = table.object_bytes(started["cloud_path"])
        assert hashlib.sha256(content).digest() == hashlib.sha256(held).digest()
        copy = tmp_path / "copy.ts"
        copy.write_bytes(content)
        assert decode_errors(copy) == ""
        assert frame_count(copy) == clip["frames"]
        assert table.recordings() == []


def test_clips_survive_a_power_cut(tmp_path: Path) -> None:
    changes = {"upload": {"upload_delay_sec": 3}}
    with desk(tmp_path, changes=changes) as table:
        table.events.command("trigger", duration_sec=1, trigger="security_alert")
        clip = table.events.wait("recording_completed", 20)
        held = card.get(table.board.card, clip["file_path"].removeprefix("/sdcard/"))
        table.board.power_cut()
        table.board.power_on()
        started = table.events.wait("upload_started", 30, priority=3)
        table.events.wait("upload_completed", 30)
        assert table.object_bytes(started["cloud_path"]) == held
        assert table.recordings() == []


class Bench:
    """A flashed board whose card can be swapped while the power is off."""

    def __init__(self, folder: Path, broker: Mosquitto, film: Footage) -> None:
        self.folder, self.film = folder, film
        self.config = camera_config(broker, film)

    def start(self, image: Path) -> VirtualBoard:
        flashed = self.folder / "flash.img"
        return VirtualBoard(image, flash=flashed, workdir=self.folder)

    def card_with(self, config: dict[str, Any] | None) -> Path:
        image = self.folder / "card.img"
        make_card(image, config, self.film)
        return image


@pytest.fixture(scope="module")
def flashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash image with the firmware on it."""
    folder = tmp_path_factory.mktemp("flash")
    image = folder / "card.img"
    card.create(image)
    with VirtualBoard(image, flash=folder / "flash.img", workdir=folder) as board:
        flash(board.port)
    return folder / "flash.img"


@pytest.fixture
def bench(tmp_path: Path, flashed: Path) -> Iterator[Bench]:
    shutil.copy(flashed, tmp_path / "flash.img")
    with mosquitto() as broker:
        yield Bench(tmp_path, broker, footage("bikes"))


def console_after(board: VirtualBoard, text: str) -> str:
    """Everything the board says up to a moment after `text`: no second try, no traceback."""
    board.wait_for(text, 20)
    time.sleep(1)
    said = board.serial_log.read_text(errors="replace")
    assert "Traceback" not in said
    assert said.count(text) == 1, "it says so once and does not start over"
    return said


def test_a_missing_configuration_is_named(bench: Bench) -> None:
    with bench.start(bench.card_with(None)) as board:
        said = console_after(board, "/sdcard/config.json is missing")
        assert ">>>" in said, "the console is there"


def test_every_fault_of_a_configuration_is_named(bench: Bench) -> None:
    bench.config["mqtt"]["port"] = 99999
    bench.config["upload"]["retries"] = 3
    del bench.config["source"]["path"]
    with bench.start(bench.card_with(bench.config)) as board:
        said = console_after(board, "source.path is missing")
    assert "mqtt.port is 99999: allowed is a whole number from 1 to 65535" in said
    assert "upload.retries is not a known key: allowed are enable_cloud_upload" in said


def test_a_configuration_that_is_not_json_is_named(bench: Bench) -> None:
    image = bench.card_with(None)
    broken = bench.folder / "broken.json"
    broken.write_text(json.dumps(bench.config, indent=1).replace('"port": ', "port: "))
    card.put(image, broken, "config.json")
    with bench.start(image) as board:
        said = console_after(board, "not valid JSON near line")
    assert f"near line {broken.read_text().split('port: ')[0].count(chr(10)) + 1}" in said


def test_missing_footage_is_named(bench: Bench) -> None:
    bench.config["source"]["path"] = "/sdcard/nothing.h264"
    with bench.start(bench.card_with(bench.config)) as board:
        console_after(board, "source.path: /sdcard/nothing.h264 is not there")


def test_a_card_that_is_not_fat_is_named(bench: Bench) -> None:
    image = bench.folder / "card.img"
    image.write_bytes(bytes(8 * 1024 * 1024))
    with bench.start(image) as board:
        console_after(board, "the SD card cannot be mounted")


def test_no_card_is_named_and_a_card_put_in_later_works_after_a_reset(bench: Bench) -> None:
    image = bench.card_with(bench.config)
    with bench.start(image) as board:
        board.wait_for("MQTT link up", 20)
        board.eject_card()
        board.power_cut()
        board.power_on()
        board.wait_for("the SD card cannot be mounted", 20)
        board.insert_card()
        board.power_cut()
        board.power_on()
        board.wait_for("MQTT link up", 20)


def test_the_console_is_left_in_peace_by_the_watchdog(bench: Bench) -> None:
    bench.config["system"] = {"watchdog_sec": 1}
    with bench.start(bench.card_with(bench.config)) as board:
        board.wait_for("MQTT link up", 20)
        asked = [sys.executable, "-m", "mpremote", "connect", board.port]
        subprocess.run([*asked, "exec", "import time; time.sleep(3)"], check=True)
        said = board.serial_log.read_text(errors="replace")
        assert "camera stopped" in said
        assert "rst:WDT" not in said


def test_the_camera_says_whether_it_is_there(tmp_path: Path) -> None:
    with desk(tmp_path, changes={"mqtt": {"keepalive_sec": 2}}) as table:
        table.board.power_cut()
        assert table.events.wait_status("offline", 10)["topic"] == f"devices/{DEVICE_ID}/status"
