"""What becomes of a camera whose card is taken out, swapped, or takes no more writes."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tools.demo.footage_check import decode_errors
from tools.desk import CameraEvents, Desk, camera_config, desk, make_card
from tools.material import footage
from tools.services import mosquitto
from tools.virtual_board import VirtualBoard, card
from tools.virtual_board.deploy import flash

PACKET_BYTES = 188
FLASH_FOOTAGE = "/footage.h264"


@contextmanager
def desk_with_footage_on_flash(folder: Path, **upload: object) -> Iterator[Desk]:
    """The picture does not come from the card, so that any card will do."""
    blank = folder / "blank.img"
    card.create(blank)
    with VirtualBoard(blank, flash=folder / "flash.img") as board:
        copy = ["fs", "cp", str(footage("bikes").h264), ":" + FLASH_FOOTAGE]
        mpremote = [sys.executable, "-m", "mpremote", "connect", board.port]
        subprocess.run([*mpremote, *copy], check=True, capture_output=True, timeout=60)
    changes = {"source": {"path": FLASH_FOOTAGE}, "upload": upload}
    with desk(folder, changes=changes) as table:
        yield table


def wait_until(is_so: Callable[[], bool], timeout_sec: float) -> None:
    deadline = time.monotonic() + timeout_sec
    while not is_so():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.1)


def wait_for_answer(table: Desk, command_id: str) -> dict[str, Any]:
    while True:
        event = table.events.next(10)
        if event["topic"].endswith("/response") and event.get("command_id") == command_id:
            return event


def on_card(table: Desk, path: str) -> bytes:
    try:
        return card.get(table.board.card, path.removeprefix("/sdcard/"))
    except FileNotFoundError:
        return b""


def find(table: Desk, name: str, timeout_sec: float, **fields: object) -> dict[str, Any]:
    """An event that has come, or will."""
    for event in table.events.seen:
        if event.get("event") == name and fields.items() <= event.items():
            return event
    return table.events.wait(name, timeout_sec, **fields)


def record(table: Desk, duration_sec: int) -> dict[str, Any]:
    table.events.command("trigger", duration_sec=duration_sec, trigger="security_alert")
    return table.events.wait("recording_started", 10)


def delivered(table: Desk, path: str, timeout_sec: float = 40) -> bytes:
    """What the store has of a clip once the camera says that it was delivered."""
    started = find(table, "upload_started", timeout_sec, file_path=path)
    find(table, "upload_completed", timeout_sec, file_path=path)
    return table.object_bytes(started["cloud_path"])


def test_a_card_that_is_taken_out_in_a_clip_stops_nothing_else(tmp_path: Path) -> None:
    with desk_with_footage_on_flash(tmp_path, upload_delay_sec=2) as table:
        broken = record(table, 40)["file_path"]
        wait_until(lambda: len(on_card(table, broken)) >= 131072, 30)
        table.board.eject_card()
        table.events.wait("recording_failed", 10, file_path=broken)
        table.events.wait("card_gone", 10)
        table.events.command("requeue_failed", command_id="without a card")
        assert wait_for_answer(table, "without a card")["success"]
        held = on_card(table, broken)
        assert held

        table.board.insert_card()
        table.events.wait("card_back", 20)
        resumed = table.events.wait("recording_started", 20)["file_path"]
        assert delivered(table, broken) == held[: len(held) - len(held) % PACKET_BYTES]
        table.events.wait("recording_completed", 60, file_path=resumed)
        held = on_card(table, resumed)
        content = delivered(table, resumed)
        assert content == held
        copy = tmp_path / "copy.ts"
        copy.write_bytes(content)
        assert decode_errors(copy) == ""
        assert table.recordings() == []
        said = table.board.serial_log.read_text(errors="replace")
        assert "MQTT link down" not in said and " died" not in said and "Guru" not in said
        assert said.count("rst:") == said.split("MQTT link up")[0].count("rst:"), "no reset"


def test_another_card_serves_and_the_first_one_keeps_its_promises(tmp_path: Path) -> None:
    with desk_with_footage_on_flash(tmp_path, upload_delay_sec=10) as table:
        first = record(table, 2)["file_path"]
        table.events.wait("recording_completed", 20, file_path=first)
        table.board.eject_card()
        held = on_card(table, first)
        table.events.wait("card_gone", 20)

        image, kept = table.board.card, tmp_path / "first.img"
        shutil.copyfile(image, kept)
        shutil.copyfile(tmp_path / "blank.img", image)
        table.board.insert_card()
        table.events.wait("card_back", 30)
        second = record(table, 2)["file_path"]
        table.events.wait("recording_completed", 20, file_path=second)
        held_second = on_card(table, second)
        assert delivered(table, second) == held_second
        assert table.recordings() == []
        assert "config.json" not in card.listdir(image)

        table.board.eject_card()
        table.events.wait("card_gone", 20)
        shutil.copyfile(kept, image)
        table.board.insert_card()
        table.events.wait("card_back", 30)
        assert delivered(table, first) == held
        assert table.recordings() == []


def test_a_card_that_takes_no_writes_for_a_while(tmp_path: Path) -> None:
    with desk_with_footage_on_flash(tmp_path, upload_delay_sec=6) as table:
        done = record(table, 2)["file_path"]
        table.events.wait("recording_completed", 20, file_path=done)
        held = on_card(table, done)
        table.board.protect_card(True)
        record(table, 60)
        table.events.wait("card_failing", 20)
        assert delivered(table, done) == held, "reading goes on"
        assert on_card(table, done) == held, "and nothing is deleted that was not kept as delivered"

        table.board.protect_card(False)
        table.events.wait("card_back", 30)
        table.events.wait("recording_started", 30)
        wait_until(lambda: on_card(table, done) == b"", 30)


def test_a_camera_waits_for_its_card(tmp_path: Path) -> None:
    image = tmp_path / "card.img"
    with mosquitto() as broker:
        film = footage("bikes")
        make_card(image, camera_config(broker, film), film)
        with VirtualBoard(image, workdir=tmp_path) as board:
            flash(board.port)
            board.wait_for("MQTT link up", 20)
            board.eject_card()
            board.power_cut()
            board.power_on()
            board.wait_for("camera not started: the SD card cannot be mounted", 20)
            board.insert_card()
            board.wait_for("MQTT link up", 30)


def test_over_wi_fi_a_card_comes_back_by_a_reset(tmp_path: Path) -> None:
    """No card can be initialised while Wi-Fi is up: the camera says so, and then does it first."""
    image = tmp_path / "card.img"
    with mosquitto() as broker, closing(CameraEvents(broker)) as events:
        film = footage("bikes")
        network = {"interface": "wlan", "ssid": "home", "password": "secret"}
        make_card(image, camera_config(broker, film, {"network": network}), film)
        with VirtualBoard(image, workdir=tmp_path) as board:
            flash(board.port)
            board.wait_for("MQTT link up", 20)
            board.eject_card()
            events.wait("card_gone", 20)
            board.insert_card()
            board.wait_for("resetting: while Wi-Fi is up no card can be mounted", 100)
            board.wait_for("MQTT link up", 20)
