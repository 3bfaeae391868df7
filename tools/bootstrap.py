"""Set this clone up on a machine that has nothing but Python: `python3 tools/bootstrap.py GOAL`.

GOAL is demo, demo-rtsp, test, bench, faults, check, minio or all; each needs its own share of the
steps below.
A step that was done for the same inputs is not done again: a stamp beside its output holds their
digest. Standard library only, since the virtual environment is one of the things made here.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 (a clear word, not an error further down)
    sys.exit("setup: Python 3.10 or later is needed; name one: make PYTHON=python3.11 ...")

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
# The interpreter itself, even when this runs inside an activated environment, which may be rebuilt.
PYTHON = os.path.realpath(sys.executable)
TYPINGS = ROOT / "build" / "typings"
STATE = ROOT / "build" / "setup"

# Debian package, the command it brings (or a file, from the root on), the goals that run it.
APT_PACKAGES = (
    ("mosquitto", "mosquitto", "demo demo-rtsp test bench"),
    ("ffmpeg", "ffmpeg", "demo demo-rtsp test bench faults"),
    ("mtools", "mcopy", "demo demo-rtsp test bench"),
    ("dosfstools", "mkfs.fat", "demo demo-rtsp test bench faults"),
    ("mosquitto-clients", "mosquitto_sub", "test"),
    ("tstools", "tsreport", "test"),
    ("valgrind", "valgrind", "test bench"),
    ("curl", "curl", "test bench"),
    # GStreamer's RTSP server, and the way to it from the system's Python.
    ("python3-gi", "/usr/lib/python3/dist-packages/gi/__init__.py", "demo-rtsp test"),
    (
        "gir1.2-gst-rtsp-server-1.0",
        "/usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib",
        "demo-rtsp test",
    ),
)
GOALS = ("demo", "demo-rtsp", "test", "bench", "faults", "check", "minio", "all")
# Where Debian keeps daemons and file system tools; not on the PATH of an ordinary user.
COMMAND_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
FILE_ROOT = Path("/")
# Settings of pip that say where to install; here only the caller decides that.
PIP_DESTINATIONS = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIREMENT")


Inputs = Sequence[str | Path]


class SetupError(Exception):
    """A step that failed; the text says what to do."""


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def run(command: Sequence[str | Path], name: str, hint: str) -> None:
    """Run a command with its output in build/setup/NAME.log; on failure show the end of that."""
    STATE.mkdir(parents=True, exist_ok=True)
    log = STATE / f"{name}.log"
    with log.open("wb") as output:
        status = subprocess.call(
            [str(word) for word in command],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if status != 0:
        tail = log.read_text(errors="replace").splitlines()[-15:]
        shown = "\n".join("    " + line for line in tail)
        raise SetupError(f"{name} failed:\n{shown}\n{hint}")


def clean_environment() -> dict[str, str]:
    """The caller's environment without what would send packages or imports elsewhere."""
    dropped = PIP_DESTINATIONS + ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PIP_USER": "0", "DEBIAN_FRONTEND": "noninteractive"}


# Steps done once


def digest(inputs: Inputs) -> str:
    """One digest of files (by content) and strings."""
    total = hashlib.sha256()
    for part in inputs:
        total.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        total.update(b"\0")
    return total.hexdigest()


def once(folder: Path, inputs: Inputs, make: Callable[[], None]) -> None:
    """Make the folder unless it was made from the same inputs; the stamp goes when the folder goes."""
    stamp, wanted = folder / ".made-from", digest(inputs)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    make()
    stamp.write_text(wanted)


@contextmanager
def alone() -> Iterator[None]:
    """Let a second set-up of this clone wait for the first."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("waiting for another set-up of this clone to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# Debian packages


def missing_packages(goal: str) -> list[str]:
    """Names of the Debian packages whose command or file is not there, python3-venv included."""
    missing = [
        package
        for package, proof, goals in APT_PACKAGES
        if (goal == "all" or goal in goals.split()) and not is_installed(proof)
    ]
    # Debian splits ensurepip off from Python; the venv module alone is there without it.
    return ([] if importlib.util.find_spec("ensurepip") else [venv_package()]) + missing


def is_installed(proof: str) -> bool:
    """Whether there is such a command, or such a file."""
    if proof.startswith("/"):
        return any(FILE_ROOT.glob(proof[1:]))
    return shutil.which(proof, path=COMMAND_PATH) is not None


def venv_package() -> str:
    return f"python3.{sys.version_info.minor}-venv"


def as_root() -> list[str] | None:
    """The words that run a command as root without asking, or None where that cannot be."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.call(
            ["sudo", "-n", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        == 0
    ):
        return ["sudo", "-n"]
    return None


def install_packages(names: list[str]) -> None:
    if not names:
        return
    if not shutil.which("apt-get"):
        raise SetupError(
            "these programs are missing and this system has no apt-get; install by its own means\n"
            "what Debian calls: " + " ".join(names)
        )
    install = ["apt-get", "install", "-y", "--no-install-recommends"] + names
    by_hand = "sudo apt-get update && sudo " + " ".join(install)
    prefix = as_root()
    if prefix is None:
        raise SetupError("Debian packages are missing; run this, then try again:\n    " + by_hand)
    say("installing Debian packages: " + " ".join(names))
    prefix = prefix + ["env", "DEBIAN_FRONTEND=noninteractive"]
    hint = "Run this by hand, then try again:\n    " + by_hand
    try:
        run(prefix + ["apt-get", "update"], "apt-update", hint)
    except SetupError as error:  # one broken list of many need not matter: the next command decides
        say(f"{error}\nsetup: going on with the package lists at hand")
    wait = ["-o", "DPkg::Lock::Timeout=300"]
    run(prefix + install[:1] + wait + install[1:], "apt-install", hint)


# Python packages


def pip_install(lock: Path, *where: str | Path) -> None:
    """Install exactly what the lock file says, from wheels with the pinned digests."""
    exactly = ("--require-hashes", "--only-binary", ":all:", "-r", lock)
    quiet = ("--quiet", "--progress-bar", "off", "--no-input", "--disable-pip-version-check")
    run(
        [VENV_PYTHON, "-I", "-m", "pip", "install", *quiet, *exactly, *where],
        f"pip-{lock.stem}",
        "Check that `pip download pip` works on this machine (network, proxy, pip's own settings),\n"
        f"then try again. The whole output is in build/setup/pip-{lock.stem}.log.",
    )


def make_venv() -> None:
    """A fresh environment each time, so that it never holds more than the lock file says."""
    say("making .venv/ with the packages of requirements.lock (a minute or two)")
    hint = "Remove .venv/ and try again; on Debian the package is " + venv_package() + "."
    run([PYTHON, "-I", "-m", "venv", "--clear", VENV], "venv", hint)
    pip_install(ROOT / "requirements.lock")


def make_typings() -> None:
    say("fetching the type stubs of the board")
    shutil.rmtree(TYPINGS, ignore_errors=True)
    pip_install(ROOT / "stubs.lock", "--target", TYPINGS)


def run_tool(name: str, text: str) -> None:
    say(text)
    hint = "If the cause above is the network, try again; the whole output is in build/setup/."
    run([VENV_PYTHON, "-m", "tools." + name], name, hint)


def set_up(goal: str) -> None:
    """Do what the goal needs and was not done before."""
    install_packages(missing_packages(goal))
    # Scripts in an environment hold its absolute path, and its packages fit one minor version.
    here = (str(ROOT), PYTHON, str(sys.version_info[:2]))
    once(VENV, here + (ROOT / "requirements.lock",), make_venv)
    if goal in ("check", "test", "all"):
        once(TYPINGS, (ROOT / "stubs.lock",), make_typings)
    if goal not in ("check", "minio"):
        once(
            ROOT / "build" / "micropython-lib",
            (ROOT / "tools" / "micropython_lib.py",),
            lambda: run_tool("micropython_lib", "fetching umqtt and urequests"),
        )
        once(
            ROOT / "build" / "material",
            (ROOT / "tools" / "material.py",),
            lambda: run_tool("material", "making H.264 footage as the board's encoder would"),
        )


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in GOALS:
        print(__doc__)
        return 2
    try:
        with alone():
            set_up(arguments[0])
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
