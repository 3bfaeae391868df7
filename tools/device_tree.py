"""The files that run on the board, and the names they are imported by there."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def device_files(root: Path = ROOT) -> list[Path]:
    """Every device file below `root`: the two start scripts, firmware/ and lib/, in order."""
    start = [path for path in (root / "boot.py", root / "main.py") if path.exists()]
    return start + sorted((root / "firmware").rglob("*.py")) + sorted((root / "lib").rglob("*.py"))


def module_name(path: Path, root: Path = ROOT) -> str:
    """firmware/sources/replay.py -> firmware.sources.replay; lib/mpegts.py -> mpegts.

    The board has /lib on its path, so what lies there has no `lib.` in front.
    """
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[0] == "lib":
        parts = parts[1:]
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)
