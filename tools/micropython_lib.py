"""Bring umqtt and urequests into build/micropython-lib/ for interpreters on the desk.

A board has them frozen in its firmware. PyPI carries them as source archives without a setup.py,
which pip refuses, so they are found and downloaded through the index itself and only the modules
are taken out. Every archive is named, versioned and pinned by its SHA-256.

    python -m tools.micropython_lib
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from pypi_simple import PYPI_SIMPLE_ENDPOINT, DistributionPackage, PyPISimple
from requests.adapters import HTTPAdapter

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "micropython-lib"
TIMEOUT_SEC = 60

# project, version, SHA-256 of its archive, member of the archive -> file in TARGET
ARCHIVES = (
    (
        "micropython-umqtt.simple",
        "1.3.4",
        "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f",
        "umqtt/simple.py",
        "umqtt/simple.py",
    ),
    (  # carries an older simple.py too, which stays where it is
        "micropython-umqtt.robust",
        "1.0",
        "22a1b8c8e1128281efb13b3020927d07e33c5b747869da2cd77d37983a9ea002",
        "umqtt/robust.py",
        "umqtt/robust.py",
    ),
    (
        "micropython-urequests",
        "0.9.1",
        "15ed0132bcff1a84e87049d9d7780ce26df0810fa674aa89d187e17493d6e3c5",
        "urequests/__init__.py",
        "urequests.py",
    ),
)


def pip_setting(name: str) -> str | None:
    """What pip's configuration (environment or file) says for `name`, such as index-url."""
    from_environment = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if from_environment:
        return from_environment
    command = [sys.executable, "-m", "pip", "config", "get", "global." + name]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() or None if found.returncode == 0 else None


def index() -> PyPISimple:
    """The package index pip would use, trusted the way pip would trust it."""
    client = PyPISimple(pip_setting("index-url") or PYPI_SIMPLE_ENDPOINT)
    client.s.mount("https://", HTTPAdapter(max_retries=3))
    certificates = pip_setting("cert")
    if certificates:
        client.s.verify = certificates
    return client


def find(client: PyPISimple, project: str, version: str) -> DistributionPackage:
    for package in client.get_project_page(project, timeout=TIMEOUT_SEC).packages:
        if package.version == version and package.package_type == "sdist":
            return package
    raise LookupError(f"the package index has no source archive of {project} {version}")


def take(archive: Path, member: str, target: Path) -> None:
    """Copy one regular file out of the archive; nothing else in it is looked at."""
    with tarfile.open(archive) as tar:
        top = tar.getnames()[0].split("/")[0]
        source = tar.extractfile(f"{top}/{member}")
        if source is None:
            raise LookupError(f"{archive.name}: {member} is not a file")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read())


def main() -> None:
    with index() as client, tempfile.TemporaryDirectory() as scratch:
        for project, version, sha256, member, name in ARCHIVES:
            package = find(client, project, version)
            package.digests = {"sha256": sha256}  # ours decides, not what the index says
            archive = Path(scratch) / package.filename
            client.download_package(package, archive, verify=True, timeout=TIMEOUT_SEC)
            take(archive, member, TARGET / name)
            print(f"{TARGET.relative_to(ROOT) / name} from {project} {version}")


if __name__ == "__main__":
    main()
