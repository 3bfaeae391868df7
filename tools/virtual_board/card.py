"""SD card images: make one, put files on it, read them back. Needs dosfstools and mtools.

    python -m tools.virtual_board.card build/card.img --size 64 --fat 32 config.json

Reading while a board uses the image is safe and shows what has reached the card so far. Writing is
for a card that no board has mounted: a mounted FAT file system does not see the change.
"""

import argparse
import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath

_PACKAGES = {"mkfs.fat": "dosfstools", "mcopy": "mtools", "mdir": "mtools", "mmd": "mtools"}
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class CardError(RuntimeError):
    """An image that cannot be made, read or written; the message is the tool's."""


def create(path: Path, size_mb: int = 64, fat: int = 32) -> None:
    """Make an empty image, replacing what is there. FAT32 takes 33 MB at least."""
    with path.open("wb") as image:
        image.truncate(size_mb * 1024 * 1024)
    _run("mkfs.fat", "-F", str(fat), str(path))


def put(image: Path, local: Path, remote: str) -> None:
    """Copy a file of the host to `remote` on the card, making its folders."""
    for folder in reversed(PurePosixPath(remote.lstrip("/")).parents[:-1]):
        try:
            listdir(image, str(folder))
        except FileNotFoundError:
            _run("mmd", "-i", str(image), _on_card(str(folder)))
    _run("mcopy", "-D", "o", "-i", str(image), str(local), _on_card(remote))


def get(image: Path, remote: str) -> bytes:
    """The content of a file on the card; FileNotFoundError."""
    return _run("mcopy", "-i", str(image), _on_card(remote), "-")


def listdir(image: Path, remote: str = "/") -> list[str]:
    """Names in a folder of the card, sorted, a folder's with a slash; FileNotFoundError."""
    listed = _run("mdir", "-b", "-i", str(image), _on_card(remote))
    return sorted(
        PurePosixPath(line).name + ("/" if line.endswith("/") else "")
        for line in listed.decode().splitlines()
    )


def _on_card(path: str) -> str:
    return "::/" + path.strip("/")


def _run(tool: str, *arguments: str) -> bytes:
    command = shutil.which(tool, path=_PATH)
    if command is None:
        package = _PACKAGES[tool]
        raise FileNotFoundError(f"{tool} is missing: install it with `apt install {package}`")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run([command, *arguments], capture_output=True, env=environment)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        failure = FileNotFoundError if "::" in said and "not found" in said else CardError
        raise failure(f"{tool}: {said}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="Make an SD card image for the virtual board.")
    parser.add_argument("image", type=Path)
    parser.add_argument("files", type=Path, nargs="*", help="copied to the top of the card")
    parser.add_argument("--size", type=int, default=64, metavar="MB")
    parser.add_argument("--fat", type=int, default=32, choices=(16, 32))
    options = parser.parse_args()
    create(options.image, options.size, options.fat)
    for file in options.files:
        put(options.image, file, file.name)
    print(options.image, *listdir(options.image))


if __name__ == "__main__":
    main()
