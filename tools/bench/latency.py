"""P6: from the end of a clip to its object in the store, upload delay 0.

A camera on the virtual board records a short clip; the moment its last byte is on the card is told by
the board itself, the moment the object is there by asking the store for it again and again. The same
bytes then go out in a bare PUT. Board and host read the same clock.
"""

import http.client
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from tools.bench.interpreter import PROGRAMS, ROOT, WORK, MeasurementFailed
from tools.bench.report import Row, Target
from tools.bench.uploads import CONTENT_TYPE, presigned
from tools.desk import Desk, desk

_FILM = "bikes"
_CLIP_SEC = 1
_ROUNDS = 7
_LONGEST_SEC = 20
_LOOK_SEC = 0.002
_ALLOWED_MS = 150  # on top of the bare PUT
_TICKS = 1 << 30  # both sides' milliseconds are compared modulo this
_ENDED = re.compile(r"^clip ended (\d+)\r?$", re.M)


class Round(NamedTuple):
    stored_ms: float  # after the clip's end
    asked_ms: float  # of that, for the upload URL
    put_ms: float  # of the bare PUT
    size_bytes: int


def measure(say: Callable[[str], None]) -> list[Row]:
    say("starts a camera")
    folder = ROOT / WORK / "latency"
    shutil.rmtree(folder, ignore_errors=True)
    changes = {"upload": {"upload_delay_sec": 0}}
    with desk(folder, film=_FILM, changes=changes) as table:
        _replace_main(table)
        rounds = []
        for number in range(1 + _ROUNDS):
            say(f"records and uploads, round {number} of {_ROUNDS}")
            rounds.append(_round(table))
    del rounds[0]  # makes the store's files, connects to the broker's caches
    stored, asked, put, size = (statistics.median(each) for each in zip(*rounds, strict=True))
    what = (
        f"ms from a clip's last byte on the card to its object in the store ({size / 1000:.0f} kB)"
    )
    return [
        Row(
            "P6",
            f"{what}; against a bare PUT",
            stored,
            put,
            Target("value", "<=", put + _ALLOWED_MS),
        ),
        Row(
            "P6",
            "of these, ms from asking for the upload URL to getting it; against all",
            asked,
            stored,
        ),
    ]


def _replace_main(table: Desk) -> None:
    mpremote = [sys.executable, "-m", "mpremote", "connect", table.board.port]
    main = str(ROOT / PROGRAMS / "latency_main.py")
    copy = ["fs", "cp", main, ":main.py", "+", "reset"]
    subprocess.run([*mpremote, *copy], check=True, stdout=subprocess.DEVNULL)
    table.board.wait_for("MQTT link up", timeout_sec=_LONGEST_SEC)


def _round(table: Desk) -> Round:
    table.events.command("trigger", duration_sec=_CLIP_SEC)
    asked_ms, key = _follow(table)
    stored_ms = _seen_ms(table, key)
    table.events.wait("upload_completed", _LONGEST_SEC)
    since_end = (stored_ms - _last_end_ms(table)) % _TICKS
    body = table.object_bytes(key)
    return Round(since_end, asked_ms, _put_ms(table, body), len(body))


def _follow(table: Desk) -> tuple[float, str]:
    """How long the camera waited for its URL, and the object's name."""
    base, asked, granted = table.events.base, 0.0, 0.0
    while True:
        event = table.events.next(_LONGEST_SEC)
        if event["topic"] == f"{base}/upload/request":
            asked = _now_ms()
        elif event["topic"] == f"{base}/upload/response":
            granted = _now_ms()
        elif event.get("event") == "upload_started":
            return granted - asked, str(event["cloud_path"])
        elif event.get("event") in ("upload_failed", "recording_failed"):
            raise MeasurementFailed(str(event))


def _seen_ms(table: Desk, key: str) -> float:
    """When the store first admits to having the object."""
    client, end_ms = table.store.client(), _now_ms() + 1000 * _LONGEST_SEC
    while _now_ms() < end_ms:
        try:
            client.head_object(Bucket=table.store.bucket, Key=key)
            return _now_ms()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != http.client.NOT_FOUND:
                raise
        time.sleep(_LOOK_SEC)
    raise MeasurementFailed(f"{key} is not in the store")


def _last_end_ms(table: Desk) -> int:
    found = _ENDED.findall(table.board.serial_log.read_text(errors="replace"))
    if not found:
        raise MeasurementFailed("the board did not tell when the clip ended")
    return int(found[-1])


def _put_ms(table: Desk, body: bytes) -> float:
    """A bare PUT, from the connection to the answer."""
    url = urlsplit(presigned(table.store.client()))
    started = _now_ms()
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=_LONGEST_SEC)
    try:
        headers = {"Content-Type": CONTENT_TYPE}
        connection.request("PUT", f"{url.path}?{url.query}", body, headers)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise MeasurementFailed(f"the store answered {answer.status} to the bare PUT")
    return _now_ms() - started


def _now_ms() -> float:
    """The clock of the board's ticks."""
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1000
