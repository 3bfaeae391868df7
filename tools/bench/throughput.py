"""P3: an upload of 100 MB to a real store, against curl with a presigned URL of the same kind.

They run in turn, and each round gives one ratio; the median counts. Each tells its own time, from
the connection to the answer, so that starting a process is in none. A third in the round is the
quickest upload that the same interpreter can do: what that lacks is not the uploader's.
"""

import statistics
import subprocess
from collections.abc import Callable

from tools.bench.interpreter import ROOT, MeasurementFailed, run, scratch
from tools.bench.report import Row, Target
from tools.bench.uploads import CONTENT_TYPE, KEY, Clip, plan, presigned
from tools.services import Minio, ObjectStore, SeaweedFS
from tools.testca import TestCA

_SIZE_BYTES = 100_000_000
_ROUNDS = 7
_LONGEST_SEC = 120
_AT_LEAST = {"HTTP": 0.9, "HTTPS": 0.8}


def measure(say: Callable[[str], None]) -> list[Row]:
    rows = []
    with Clip(_SIZE_BYTES) as clip:
        for kind in (SeaweedFS, Minio, lambda: Minio(TestCA())):
            say("starts a store")
            with kind() as store:
                rows += _compared(store, clip, say)
    return rows


def _compared(store: ObjectStore, clip: Clip, say: Callable[[str], None]) -> list[Row]:
    scheme = "HTTPS" if store.ca else "HTTP"
    rounds = []
    for number in range(1 + _ROUNDS):
        say(f"uploads 100 MB to {store.name} over {scheme}, round {number} of {_ROUNDS}")
        ours, curl = _device_sec("upload.py", store, clip), _curl_sec(store, clip)
        rounds.append((ours, curl, _device_sec("blocking_upload.py", store, clip)))
    del rounds[0]  # makes the store's files and warms the caches
    ours, curl, quickest = (statistics.median(times) for times in zip(*rounds, strict=True))
    what = f"MB/s of a 100 MB upload to {store.name} over {scheme}, MD5 and proof included; against"
    return [
        Row(
            "P3",
            f"{what} curl -T",
            _megabytes_per_sec(ours),
            _megabytes_per_sec(curl),
            Target("ratio", ">=", _AT_LEAST[scheme]),
            median_ratio=statistics.median(theirs / mine for mine, theirs, _ in rounds),
        ),
        Row(
            "P3",
            f"{what} the quickest that the same interpreter can, without either",
            _megabytes_per_sec(ours),
            _megabytes_per_sec(quickest),
            median_ratio=statistics.median(best / mine for mine, _, best in rounds),
        ),
    ]


def _megabytes_per_sec(seconds: float) -> float:
    return _SIZE_BYTES / 1e6 / seconds


def _device_sec(program: str, store: ObjectStore, clip: Clip) -> float:
    ca = None
    if store.ca:
        ca = scratch("ca.der")
        (ROOT / ca).write_bytes(store.ca.der)
    done = run(program, plan(clip, presigned(store.client()), ca=ca))
    _check_and_delete(store)
    return float(done["duration_ms"]) / 1000


def _curl_sec(store: ObjectStore, clip: Clip) -> float:
    command = ["curl", "-q", "--silent", "--show-error", "--fail", "--noproxy", "*"]
    command += ["--write-out", "%{time_total}", "--header", f"Content-Type: {CONTENT_TYPE}"]
    if store.ca:
        command += ["--cacert", str(store.ca_file)]
    done = subprocess.run(
        [*command, "-T", str(clip.path), presigned(store.client())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_LONGEST_SEC,
    )
    if done.returncode != 0:
        raise MeasurementFailed(f"curl: {done.stderr.strip()}")
    _check_and_delete(store)
    return float(done.stdout)


def _check_and_delete(store: ObjectStore) -> None:
    client = store.client()
    size = client.head_object(Bucket=store.bucket, Key=KEY)["ContentLength"]
    if size != _SIZE_BYTES:
        raise MeasurementFailed(f"{store.name} holds {size} bytes, not {_SIZE_BYTES}")
    client.delete_object(Bucket=store.bucket, Key=KEY)
