"""P3: an upload of 100 MB to a real store, against curl with a presigned URL of the same kind.

Both run in turn, A B A B, and each pair gives one ratio; the median counts. Each tells its own time,
from the connection to the answer, so that starting a process is in neither.
"""

import statistics
import subprocess
from collections.abc import Callable

from tools.bench.interpreter import ROOT, MeasurementFailed, run, scratch
from tools.bench.report import Row, Target
from tools.bench.uploads import CONTENT_TYPE, Clip, plan
from tools.services import Minio, ObjectStore, SeaweedFS
from tools.testca import TestCA

_SIZE_BYTES = 100_000_000
_PAIRS = 5
_KEY = "bench/clip.ts"
_EXPIRES_SEC = 600
_LONGEST_SEC = 120
_AT_LEAST = {"HTTP": 0.9, "HTTPS": 0.8}


def measure(say: Callable[[str], None]) -> list[Row]:
    rows = []
    with Clip(_SIZE_BYTES) as clip:
        for kind in (lambda: SeaweedFS(), lambda: Minio(), lambda: Minio(TestCA())):
            say("starts a store")
            with kind() as store:
                rows.append(_against_curl(store, clip, say))
    return rows


def _against_curl(store: ObjectStore, clip: Clip, say: Callable[[str], None]) -> Row:
    scheme = "HTTPS" if store.ca else "HTTP"
    ours, theirs = [], []
    for pair in range(1 + _PAIRS):
        say(f"uploads 100 MB to {store.name} over {scheme}, pair {pair} of {_PAIRS}")
        times = _device_sec(store, clip), _curl_sec(store, clip)
        if pair:  # the first pair makes the store's files and warms the caches
            ours.append(times[0])
            theirs.append(times[1])
    ratios = [curl / device for device, curl in zip(ours, theirs, strict=True)]
    return Row(
        "P3",
        f"MB/s of a 100 MB upload to {store.name} over {scheme}, MD5 included; against curl -T",
        _SIZE_BYTES / 1e6 / statistics.median(ours),
        _SIZE_BYTES / 1e6 / statistics.median(theirs),
        Target("ratio", ">=", _AT_LEAST[scheme]),
        median_ratio=statistics.median(ratios),
    )


def _device_sec(store: ObjectStore, clip: Clip) -> float:
    ca = None
    if store.ca:
        ca = scratch("ca.der")
        (ROOT / ca).write_bytes(store.ca.der)
    done = run("upload.py", plan(clip, _presigned(store), ca=ca))
    _check_and_delete(store)
    return float(done["duration_ms"]) / 1000


def _curl_sec(store: ObjectStore, clip: Clip) -> float:
    command = ["curl", "-q", "--silent", "--show-error", "--fail", "--noproxy", "*"]
    command += ["--write-out", "%{time_total}", "--header", f"Content-Type: {CONTENT_TYPE}"]
    if store.ca:
        command += ["--cacert", str(store.ca_file)]
    done = subprocess.run(
        [*command, "-T", str(clip.path), _presigned(store)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_LONGEST_SEC,
    )
    if done.returncode != 0:
        raise MeasurementFailed(f"curl: {done.stderr.strip()}")
    _check_and_delete(store)
    return float(done.stdout)


def _presigned(store: ObjectStore) -> str:
    asked = {"Bucket": store.bucket, "Key": _KEY, "ContentType": CONTENT_TYPE}
    return store.client().generate_presigned_url("put_object", Params=asked, ExpiresIn=_EXPIRES_SEC)


def _check_and_delete(store: ObjectStore) -> None:
    client = store.client()
    size = client.head_object(Bucket=store.bucket, Key=_KEY)["ContentLength"]
    if size != _SIZE_BYTES:
        raise MeasurementFailed(f"{store.name} holds {size} bytes")
    client.delete_object(Bucket=store.bucket, Key=_KEY)
