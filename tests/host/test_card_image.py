"""Card images: what is put can be read back, and MicroPython's FAT agrees with the host's tools."""

import os
import stat
import subprocess

import pytest

from tools.interpreters import micropython
from tools.virtual_board import card

ON_THE_BOARD = """
import os, sys, vfs
class Image:
    def __init__(self): self.file = open(sys.argv[1], "r+b")
    def readblocks(self, block, buf): self.file.seek(block * 512); self.file.readinto(buf)
    def writeblocks(self, block, buf): self.file.seek(block * 512); self.file.write(buf)
    def ioctl(self, op, arg): return {4: os.stat(sys.argv[1])[6] // 512, 5: 512}.get(op, 0)
vfs.mount(vfs.VfsFat(Image()), "/card")
print(sorted(os.listdir("/card")), open("/card/config.json").read())
with open("/card/recordings/m0000042.ts", "wb") as clip: clip.write(b"G" * 188)
vfs.umount("/card")
"""


@pytest.fixture
def local(tmp_path):
    path = tmp_path / "local.bin"
    path.write_bytes(os.urandom(100_000) + b"\r\n\x1a\n")
    return path


@pytest.mark.parametrize("fat", [16, 32])
def test_what_is_put_is_got(tmp_path, local, fat):
    image = tmp_path / "card.img"
    card.create(image, size_mb=64, fat=fat)
    assert image.stat().st_size == 64 * 1024 * 1024
    assert card.listdir(image) == []
    card.put(image, local, "/recordings/old/A0000001.TS")
    card.put(image, local, "top.bin")
    card.put(image, local, "top.bin")
    assert card.listdir(image) == ["recordings/", "top.bin"]
    assert card.listdir(image, "/recordings") == ["old/"]
    assert card.get(image, "recordings/old/A0000001.TS") == local.read_bytes()
    assert f"FAT{fat}".encode() in image.read_bytes()[:512]


@pytest.mark.parametrize("fat", [16, 32])
def test_micropython_reads_and_writes_the_same_card(tmp_path, fat):
    image, config, script = tmp_path / "card.img", tmp_path / "config.json", tmp_path / "board.py"
    card.create(image, fat=fat)
    config.write_text('{"device_id": "CAM"}')
    card.put(image, config, "config.json")
    card.put(image, config, "recordings/keep.txt")
    script.write_text(ON_THE_BOARD)
    done = subprocess.run(
        [micropython(), script.name, image.name], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "['config.json', 'recordings'] " + config.read_text(), done.stderr
    assert card.listdir(image, "recordings") == ["keep.txt", "m0000042.ts"]
    assert card.get(image, "recordings/m0000042.ts") == b"G" * 188


def test_creating_again_empties_the_card(tmp_path, local):
    image = tmp_path / "card.img"
    card.create(image)
    card.put(image, local, "a")
    card.create(image)
    assert card.listdir(image) == []


@pytest.mark.parametrize("access", [card.get, card.listdir])
def test_what_is_not_there_is_not_found(tmp_path, access):
    image = tmp_path / "card.img"
    card.create(image)
    with pytest.raises(FileNotFoundError, match="nothing"):
        access(image, "nothing")


def test_no_image_and_no_file_system_are_told_apart_from_a_missing_file(tmp_path, local):
    for image in (tmp_path / "none.img", local):
        with pytest.raises(card.CardError, match="mdir"):
            card.listdir(image)


def test_impossible_size_is_an_error(tmp_path):
    with pytest.raises(card.CardError, match=r"mkfs\.fat"):
        card.create(tmp_path / "card.img", size_mb=0)


def test_a_missing_tool_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(card, "_PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"mkfs\.fat is missing: .*dosfstools"):
        card.create(tmp_path / "card.img")


def test_reading_leaves_the_image_alone(tmp_path, local):
    image = tmp_path / "card.img"
    card.create(image)
    card.put(image, local, "a")
    before = image.read_bytes()
    image.chmod(stat.S_IRUSR)
    card.listdir(image)
    card.get(image, "a")
    assert image.read_bytes() == before
