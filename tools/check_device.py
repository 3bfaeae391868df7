"""Check every device file the way the board would take it: `python -m tools.check_device`.

Types against the ESP32-P4 stubs of MicroPython 1.29, then mpy-cross for its CPU into build/mpy/,
where the files lie as they would on the board.
"""

import os
import subprocess
import sys
from pathlib import Path

from tools.device_tree import ROOT, device_files

ARCHITECTURE = "rv32imc"
TARGET = ROOT / "build" / "mpy"


def check_types(files: list[Path]) -> bool:
    """Run mypy as tools/mypy_device.ini says; it prints what it finds."""
    return run("mypy", "--config-file", "tools/mypy_device.ini", "--no-error-summary", *files)


def compile_file(source: Path, target: Path) -> bool:
    """Compile one file; mpy-cross prints what is wrong. Tracebacks will name it as given here."""
    target.parent.mkdir(parents=True, exist_ok=True)
    name = os.path.relpath(source, ROOT)
    return run("mpy_cross", f"-march={ARCHITECTURE}", "-o", target, name)


def run(module: str, *arguments: str | Path) -> bool:
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT).returncode == 0


def main() -> int:
    files = device_files()
    targets = [TARGET / file.relative_to(ROOT).with_suffix(".mpy") for file in files]
    typed = check_types(files)
    compiled = [compile_file(*pair) for pair in zip(files, targets, strict=True)]
    if not (typed and all(compiled)):
        return 1
    total = sum(target.stat().st_size for target in targets)
    print(f"device: {len(files)} files typed and compiled for {ARCHITECTURE}, {total} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
