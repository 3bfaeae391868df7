"""Every command the README shows is run here, word for word but for ports and file names."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tools.desk import DEVICE_ID, camera_config, desk, make_card
from tools.material import ROOT, footage
from tools.services import CloudService, Mosquitto, mosquitto, seaweedfs
from tools.virtual_board import VirtualBoard, card

README = (ROOT / "README.md").read_text()
PORT = "/dev/ttyACM0"
# A newcomer's shell: a make that runs these tests would have the makes below announce their folder.
SHELL = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
LAST_LINE = re.compile(r"demo: (\d+) delivered, (\d+) verified, 0 failed")


def shown() -> list[str]:
    """The commands in the README's sh blocks, continued lines joined."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", README, re.M | re.S)
    text = "".join(blocks).replace("\\\n", " ")
    in_blocks = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    in_text = re.findall(r"`(make [a-z]+)`", README)
    return list(dict.fromkeys(in_blocks + in_text))


def words(command: str, **replaced: str) -> list[str]:
    """The command for subprocess, some of its words replaced: `words(c, port=...)`."""
    return [replaced.get(word, word) for word in shlex.split(command)]


def ci_runs(command: str, folder: Path) -> None:
    assert f"make --no-print-directory {command.split()[1]}\n" in (ROOT / ".ci" / "run").read_text()


# Of the benchmark one row, for figures are no business of a test; of the faults some on one card.
PARTS = {"make bench": ["ARGS=P9"], "make faults": ["ARGS=--sample --image fat16-4k"]}


def run_target(command: str, folder: Path) -> None:
    given = [*words(command), *PARTS.get(command, [])]
    subprocess.run(given, cwd=ROOT, check=True, stdout=subprocess.PIPE)


def run_demo(command: str, folder: Path) -> None:
    done = subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env=SHELL,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert done.returncode == 0, done.stdout
    last = LAST_LINE.fullmatch(done.stdout.splitlines()[-1])
    wanted = re.search(r"DEMO_CLIPS=(\d+)", command)
    count = wanted[1] if wanted else "1"
    assert last and last.groups() == (count, count)
    summary = json.loads((ROOT / "build" / "demo" / "summary.json").read_text())
    store = re.search(r"STORE=(\w+)", command)
    assert summary["store"] == (store[1] if store else "seaweedfs")
    for clip in summary["clips"]:
        stored = ROOT / "build" / "demo" / clip["name"]
        assert stored.stat().st_size == clip["bytes"]
        assert stored.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def convert(command: str, folder: Path) -> None:
    footage("bikes")  # brings the clip
    film = ROOT / "build" / "material" / "clips" / "bikes.mp4"
    made = folder / "footage.h264"
    given = words(command, **{"video.mp4": str(film), "footage.h264": str(made)})
    subprocess.run(given, cwd=ROOT, check=True)
    assert made.read_bytes()[:4] == b"\x00\x00\x00\x01"


def put_on_board(command: str, folder: Path) -> None:
    image = folder / "card.img"
    card.create(image)
    with VirtualBoard(image, workdir=folder) as board:
        subprocess.run(words(command, **{PORT: board.port}), cwd=ROOT, check=True)
        board.wait_for("camera not started: /sdcard/config.json is missing", 20)


def watch_console(command: str, folder: Path) -> None:
    """mpremote's own terminal: what the camera says, Ctrl-C to its REPL, Ctrl-X to leave."""
    image, film = folder / "card.img", footage("bikes")
    with mosquitto() as broker:
        make_card(image, camera_config(broker, film), film)
        with VirtualBoard(image, workdir=folder) as board:
            copy = next(c for c in shown() if "fs cp" in c)
            subprocess.run(words(copy, **{PORT: board.port}), cwd=ROOT, check=True)
            board.wait_for("MQTT link up", 20)
            terminal, inner = pty.openpty()
            console = subprocess.Popen(
                words(command, **{PORT: board.port}), cwd=ROOT, stdin=inner, stdout=inner
            )
            try:
                os.read(terminal, 1000)
                os.write(terminal, b"\x03")
                board.wait_for("camera stopped", 20)
                board.wait_for(">>>", 20)
                os.write(terminal, b"\x18")
                assert console.wait(10) == 0
            finally:
                console.kill()
                os.close(inner)
                os.close(terminal)


def run_cloud_service(command: str, folder: Path) -> None:
    with mosquitto() as broker, seaweedfs() as store:
        service = CloudService(broker, store, [DEVICE_ID])
        with service:
            given = words(command, **{"service.toml": str(service.directory / "config.toml")})
            second = subprocess.Popen(given, cwd=ROOT, stderr=subprocess.PIPE, text=True)
            try:
                assert second.stderr
                said = second.stderr.readline()
                assert second.poll() is None, said
            finally:
                second.send_signal(signal.SIGTERM)
                assert second.wait(10) == 0


def make_virtual_card(command: str, folder: Path) -> None:
    subprocess.run(words(command), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    assert card.listdir(ROOT / "build" / "card.img") == ["config.example.json"]


def run_virtual_board(command: str, folder: Path) -> None:
    make_virtual_card(next(c for c in shown() if "virtual_board.card" in c), folder)
    board = subprocess.Popen(
        words(command), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert board.stdout and board.stdin
        port = next(word for word in board.stdout.readline().split() if word.startswith("/dev/"))
        asked = [sys.executable, "-m", "mpremote", "connect", port, "exec", "print(6 * 7)"]
        done = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True)
        assert done.stdout.strip() == "42"
        board.stdin.write("quit\n")
        board.stdin.flush()
        assert board.wait(10) == 0
    finally:
        board.kill()


def publish(command: str, folder: Path) -> None:
    with mosquitto() as broker:
        received = listen(broker, f"devices/{DEVICE_ID}/command")
        given = words(command)
        given[1:1] = ["-h", broker.host, "-p", str(broker.port)]
        subprocess.run(given, check=True)
        deadline = time.monotonic() + 10
        while not received and time.monotonic() < deadline:
            time.sleep(0.05)
    assert json.loads(received[0])["command"] == "trigger"


def listen(broker: Mosquitto, topic: str) -> list[bytes]:
    received: list[bytes] = []
    ready: list[object] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: received.append(message.payload)
    client.on_subscribe = lambda *_: ready.append(True)
    client.connect(broker.host, broker.port)
    client.subscribe(topic, qos=1)
    client.loop_start()
    while not ready:
        time.sleep(0.01)
    return received


# The first pattern that a command matches tells how it is run.
RUNNERS: list[tuple[str, Callable[[str, Path], None]]] = [
    (r"make (test|check)", ci_runs),
    (r"make (help|bench|faults)", run_target),
    (r"([A-Z_]+=\w+ )*make demo", run_demo),
    (r"\S+ -m tools\.material convert .*", convert),
    (r"\S+mpremote connect \S+ fs cp .*", put_on_board),
    (r"\S+mpremote connect \S+ repl", watch_console),
    (r"\S+ -m tools\.cloud_service \S+", run_cloud_service),
    (r"\S+ -m tools\.virtual_board\.card .*", make_virtual_card),
    (r"\S+ -m tools\.virtual_board .*", run_virtual_board),
    (r"mosquitto_pub .*", publish),
]


@pytest.mark.parametrize("command", shown())
def test_a_command_of_the_readme(command: str, tmp_path: Path) -> None:
    runner = next((run for pattern, run in RUNNERS if re.fullmatch(pattern, command)), None)
    assert runner, f"nothing here runs {command!r}"
    runner(command, tmp_path)


def test_the_main_py_of_the_readme(tmp_path: Path) -> None:
    """A program of the owner's own on the board, listening in on an upload."""
    program = re.search(r"^```python\n(.*?)^```", README, re.M | re.S)
    assert program
    (tmp_path / "main.py").write_text(program[1])
    with desk(tmp_path / "desk") as table:
        mpremote = [sys.executable, "-m", "mpremote", "connect", table.board.port]
        copy = ["fs", "cp", str(tmp_path / "main.py"), ":main.py", "+", "reset"]
        subprocess.run([*mpremote, *copy], check=True)
        table.events.wait_status("offline", 20)
        table.events.wait_status("online", 20)
        table.events.command("trigger", duration_sec=2)
        clip = table.events.wait("recording_completed", 30)
        table.events.wait("upload_completed", 30)
        table.board.wait_for("100.0", 10)
        table.board.wait_for(f"{clip['file_path']} True", 10)
