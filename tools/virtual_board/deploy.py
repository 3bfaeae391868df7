"""Put the firmware on a board, virtual or real, with mpremote.

    python -m tools.virtual_board.deploy PORT

is, but for leaving compiled files of the host behind, in the folder of the firmware:

    mpremote connect PORT fs cp -r boot.py main.py firmware lib : + reset

Files the board already has are not sent again.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = "boot.py", "main.py", "firmware", "lib"
_NOT_FOR_BOARDS = shutil.ignore_patterns("__pycache__", "*.pyc")


def flash(port: str, root: Path = ROOT) -> None:
    """Copy the firmware below `root` to the board and reset it; CalledProcessError."""
    with tempfile.TemporaryDirectory() as staging:
        for part in PARTS:
            if (root / part).is_dir():
                shutil.copytree(root / part, Path(staging, part), ignore=_NOT_FOR_BOARDS)
            else:
                shutil.copy(root / part, staging)
        mpremote = [sys.executable, "-m", "mpremote", "connect", port]
        copy = ["fs", "cp", "-r", *PARTS, ":"]
        subprocess.run([*mpremote, *copy, "+", "reset"], cwd=staging, check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Put the firmware on a board and reset it.")
    parser.add_argument("port", help="such as /dev/ttyACM0, or what the virtual board printed")
    flash(parser.parse_args().port)
