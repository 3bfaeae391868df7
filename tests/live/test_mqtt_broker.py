"""The MQTT link on both interpreters against Mosquitto: restarts, freezes, and the last will."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tools.interpreters import micropython
from tools.services import Mosquitto, mosquitto

ROOT = Path(__file__).resolve().parents[2]
KEEPALIVE_SEC = 2
PATIENCE_SEC = 10.0
MAX_PACKET_BYTES = 512


class Device:
    """tests/live/mqtt_device.py in a process of its own, and the lines it printed."""

    def __init__(self, interpreter: Path, port: int) -> None:
        self.name = f"cam-{uuid.uuid4().hex[:8]}"
        self.lines: list[str] = []
        self._news: queue.Queue[str] = queue.Queue()
        program = ROOT / "tests" / "live" / "mqtt_device.py"
        self.process = subprocess.Popen(
            [interpreter, ROOT / "tests" / "run_device.py", program, "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "MQTT_PORT": str(port),
                "DEVICE_ID": self.name,
                "KEEPALIVE_SEC": str(KEEPALIVE_SEC),
                "PYTHONUNBUFFERED": "1",
            },
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._news.put(line.rstrip())

    def wait_for(self, start: str, timeout_sec: float = PATIENCE_SEC) -> str:
        """The next line that starts so."""
        deadline = time.monotonic() + timeout_sec
        while True:
            try:
                line = self._news.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                said = "\n".join(self.lines)
                raise AssertionError(f"no {start!r} in {timeout_sec} s, but:\n{said}") from None
            self.lines.append(line)
            if line.startswith(start):
                return line

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._reader.join()


class Observer:
    """A plain client that subscribes to everything of one device and keeps what it gets."""

    def __init__(self, broker: Mosquitto, name: str) -> None:
        self.messages: list[mqtt.MQTTMessage] = []
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.client.subscribe([(f"{name}/{part}", 1) for part in ("out", "count", "status")])
        assert self._subscribed.wait(PATIENCE_SEC)

    def _on_message(self, client: mqtt.Client, data: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify()

    def payloads(self, ending: str) -> list[bytes]:
        return [m.payload for m in self.messages if m.topic.endswith(ending)]

    def states(self) -> list[str]:
        return [json.loads(payload)["status"] for payload in self.payloads("/status")]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_SEC), [
                (m.topic, m.payload) for m in self.messages
            ]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with mosquitto() as running:
        yield running


@pytest.fixture(params=["cpython", "micropython"])
def device(request: pytest.FixtureRequest, broker: Mosquitto) -> Iterator[Device]:
    interpreter = Path(sys.executable) if request.param == "cpython" else micropython()
    running = Device(interpreter, broker.port)
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture
def observe(broker: Mosquitto, device: Device) -> Iterator[Callable[[], Observer]]:
    observers: list[Observer] = []

    def make() -> Observer:
        observers.append(Observer(broker, device.name))
        return observers[-1]

    yield make
    for observer in observers:
        observer.close()


Observe = Callable[[], Observer]


def test_qos_1_messages_are_echoed_in_order(device: Device, observe: Observe) -> None:
    observer = observe()
    device.wait_for("up")
    sent = [f"message {i} 早".encode() * 8 for i in range(60)]
    for payload in sent:
        observer.client.publish(f"{device.name}/in", payload, qos=1)
    observer.wait_until(lambda: len(observer.payloads("/out")) >= len(sent))
    assert observer.payloads("/out") == sent


def test_retained_message_is_marked(device: Device, broker: Mosquitto, observe: Observe) -> None:
    observer = observe()
    device.wait_for("up")
    observer.client.publish(f"{device.name}/in", b"old", qos=1, retain=True)
    device.wait_for("echo 3")  # it was new then
    broker.stop()
    device.wait_for("down")
    broker.start()
    device.wait_for("retained 3")
    device.wait_for("up")


def test_oversized_messages_are_dropped_and_block_nothing(device: Device, observe: Observe) -> None:
    observer = observe()
    device.wait_for("up")
    too_many_to_leave_unacknowledged = 30  # Mosquitto stops at 20
    for _ in range(too_many_to_leave_unacknowledged):
        observer.client.publish(f"{device.name}/in", b"x" * 20_000, qos=1)
    observer.client.publish(f"{device.name}/in", b"small", qos=1)
    device.wait_for("echo 5")
    observer.wait_until(lambda: observer.payloads("/out") == [b"small"])
    dropped = [line for line in device.lines if f"limit {MAX_PACKET_BYTES}" in line]
    assert len(dropped) == too_many_to_leave_unacknowledged
    assert not any(line.startswith("down") for line in device.lines)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_broker_restart(device: Device, broker: Mosquitto, observe: Observe, how: str) -> None:
    device.wait_for("up")
    getattr(broker, how)()
    device.wait_for("down")
    broker.start()
    device.wait_for("up")
    observer = observe()
    observer.client.publish(f"{device.name}/in", b"again", qos=1)
    observer.wait_until(lambda: observer.payloads("/out") == [b"again"])
    observer.wait_until(lambda: observer.states()[-1:] == ["online"])


def test_last_will_when_the_device_is_killed(device: Device, observe: Observe) -> None:
    device.wait_for("up")
    observer = observe()
    observer.wait_until(lambda: observer.states() == ["online"])
    assert observer.messages[-1].retain
    device.kill()
    observer.wait_until(lambda: observer.states() == ["online", "offline"])
    late = observe()
    late.wait_until(lambda: late.states() == ["offline"])
    assert late.messages[-1].retain


def test_frozen_broker_is_found_in_time(device: Device, broker: Mosquitto) -> None:
    """Nothing but pings is under way, so it is their silence that tells."""
    device.wait_for("up")
    time.sleep(KEEPALIVE_SEC)  # past the first pings
    broker.pause()
    try:
        device.wait_for("down", 1.5 * KEEPALIVE_SEC)
    finally:
        broker.resume()
    device.wait_for("up")


def test_no_message_is_lost_when_the_broker_freezes(
    device: Device, broker: Mosquitto, observe: Observe
) -> None:
    device.wait_for("up")
    observer = observe()
    observer.client.publish(f"{device.name}/in", b"count", qos=1)
    observer.wait_until(lambda: len(observer.payloads("/count")) > 3)
    broker.pause()
    try:
        device.wait_for("down", 1.5 * KEEPALIVE_SEC)
        device.wait_for("log MQTT")
        device.wait_for("log MQTT")  # a connection was tried that nobody answered
        counted_to = int(observer.payloads("/count")[-1])
    finally:
        broker.resume()
    device.wait_for("up")
    observer.wait_until(lambda: int(observer.payloads("/count")[-1]) > counted_to + 40)
    counted = [int(payload) for payload in observer.payloads("/count")]
    first_time = list(dict.fromkeys(counted))  # a repeated message may arrive twice
    assert first_time == list(range(first_time[-1] + 1)), counted
    assert "full" not in device.lines
    observer.wait_until(lambda: observer.states()[-1] == "online")
