"""The footage is what the ESP32-P4's encoder would have made, and a user's own file becomes the same."""

import re
import subprocess

import pytest

from tools import material
from tools.film import FILMS, FPS, Film, Light, Part, frames, graph, marks
from tools.material import RATES, MaterialError, convert, footage

SLICE, IDR, SPS, PPS = 1, 5, 7, 8


def nal_types(path):
    """Types of the NAL units of an Annex-B file, in order (H.264 7.4.1: low five bits)."""
    return [match[1][0] & 31 for match in re.finditer(rb"\x00\x00\x01(.)", path.read_bytes(), re.S)]


def access_units(path):
    """NAL types grouped by picture; every picture here is one slice."""
    units, unit = [], []
    for kind in nal_types(path):
        unit.append(kind)
        if kind in (SLICE, IDR):
            units.append(unit)
            unit = []
    assert not unit, "NAL units after the last picture"
    return units


def ffprobe(path, *entries):
    shown = ["-show_entries", "stream=" + ",".join(entries), "-of", "csv=p=0"]
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", *shown, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def encode(target, *options, rate="10", size="320x240"):
    """A short synthetic film for convert()."""
    film = f"testsrc2=duration=2:size={size}:rate={rate}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", film, *options, str(target)]
    subprocess.run(command, check=True)
    return target


@pytest.mark.parametrize(
    ("name", "fps", "width", "height", "frames"),
    [("bikes", 25, 640, 272, 250), ("bigbuckbunny", 25, 1280, 720, 132)],
)
def test_footage_is_as_the_boards_encoder_makes_it(name, fps, width, height, frames):
    made = footage(name)
    assert made[1:5] == (fps, width, height, frames)
    assert (made.width % 16, made.height % 16) == (0, 0)
    units = access_units(made.h264)
    assert len(units) == frames
    for number, unit in enumerate(units):
        assert unit == ([SPS, PPS, IDR] if number % fps == 0 else [SLICE]), number
    facts = ffprobe(made.h264, "profile", "has_b_frames", "refs")
    assert facts == "Constrained Baseline,0,1"


def test_footage_decodes_without_an_error():
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", footage("bikes").h264, "-f", "null", "-"]
    assert subprocess.run(command, capture_output=True).stderr == b""


def test_bench_footage_has_the_rate_it_is_named_for():
    made = footage("bench_4mbit")
    assert (made.fps, made.width, made.height) == (30, 1280, 720)
    assert made.frames >= 20 * made.fps
    bits_per_sec = made.h264.stat().st_size * 8 * made.fps // made.frames
    assert 3_800_000 <= bits_per_sec <= 4_200_000


def test_footage_is_made_once_and_again_when_its_recipe_changes(tmp_path, monkeypatch):
    footage("bikes")  # so that the clips are there
    (tmp_path / "clips").symlink_to(material.TARGET / "clips")
    monkeypatch.setattr(material, "TARGET", tmp_path)
    first = footage("bikes").h264.stat()
    assert footage("bikes").h264.stat().st_ino == first.st_ino
    coarser = material.RECIPES["bikes"]._replace(rate=("-crf", "40"))
    monkeypatch.setitem(material.RECIPES, "bikes", coarser)
    assert footage("bikes").h264.stat().st_size < first.st_size


def test_h264_that_replay_can_pace_is_copied(tmp_path):
    """Into MP4 and back: the same pictures, bit by bit."""
    source = footage("bikes")
    packed = tmp_path / "packed.mp4"
    rate = ["-r", str(source.fps)]
    command = ["ffmpeg", "-v", "error", *rate, "-i", source.h264, "-c", "copy", packed]
    subprocess.run(command, check=True)
    made = convert(packed, tmp_path / "back.h264")
    assert made[1:] == source[1:]
    assert made.h264.read_bytes() == source.h264.read_bytes()


@pytest.mark.parametrize(
    ("suffix", "options", "rate", "size", "expected"),
    [
        ("mp4", ["-c:v", "libx264", "-bf", "2"], "10", "320x240", (10, 320, 240, 20)),
        ("mp4", ["-c:v", "mpeg4"], "10", "330x250", (10, 320, 240, 20)),
        ("ts", ["-c:v", "libx264", "-bf", "0"], "30000/1001", "320x240", (30, 320, 240, 60)),
    ],
    ids=["b-frames", "not h264", "29.97 per second"],
)
def test_anything_else_is_encoded_anew(tmp_path, suffix, options, rate, size, expected):
    source = encode(tmp_path / f"in.{suffix}", *options, rate=rate, size=size)
    made = convert(source, tmp_path / "out.h264")
    assert made[1:5] == expected
    assert ffprobe(made.h264, "profile", "has_b_frames", "refs") == "Constrained Baseline,0,1"
    assert access_units(made.h264)[0] == [SPS, PPS, IDR]


def test_what_holds_no_video_is_refused_and_leaves_nothing(tmp_path):
    source, target = tmp_path / "noise.mp4", tmp_path / "out.h264"
    source.write_bytes(b"no film at all")
    with pytest.raises(MaterialError, match="noise.mp4|Invalid data"):
        convert(source, target)
    assert list(tmp_path.iterdir()) == [source]


def test_the_command_says_what_it_made(tmp_path, monkeypatch, capsys):
    source = encode(tmp_path / "in.mp4", "-c:v", "mpeg4")
    target = tmp_path / "out.h264"
    monkeypatch.setattr("sys.argv", ["material", "convert", str(source), str(target)])
    assert material.main() == 0
    assert "320x240, 10 fps, 20 frames" in capsys.readouterr().out


STILL = Part(5, 5, held=2, moves=False)


@pytest.mark.parametrize(
    ("parts", "count", "expected"),
    [
        ((STILL,), 51, []),
        ((Part(0, 24),), 25, [(0, 1)]),
        ((STILL, Part(0, 24), Part(24, 0), STILL), 152, [(51 / 25, 101 / 25)]),
        ((Part(9, 0, held=1), STILL, Part(0, 9)), 96, [(0, 0.4), (86 / 25, 96 / 25)]),
        ((Part(0, 9, held=1, moves=False), Part(0, 9)), 45, [(35 / 25, 45 / 25)]),
    ],
)
def test_marks_follow_from_the_parts(parts, count, expected):
    film = Film("bikes.mp4", parts, noise=1)
    assert frames(film) == count
    assert marks(film) == expected


def brightness(path):
    """The mean grey of every picture."""
    told = "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", told, "-f", "null", "-"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(mean) for mean in re.findall(r"YAVG=(\S+)", printed)]


def test_a_film_moves_and_is_lit_as_it_says(tmp_path, monkeypatch):
    footage("bikes")  # so that the clips are there
    (tmp_path / "clips").symlink_to(material.TARGET / "clips")
    monkeypatch.setattr(material, "TARGET", tmp_path)
    parts = (Part(216, 216, held=2, moves=False), Part(213, 187), Part(187, 213))
    film = Film("bikes.mp4", parts, noise=2, lights=(Light(0.8, 1.4, 0.5, 0.04),))
    recipe = material.Recipe("bikes.mp4", FPS, 0, RATES["quality"], film)
    monkeypatch.setitem(material.RECIPES, "short", recipe)
    made = footage("short")
    assert made[1:5] == (25, 640, 272, frames(film))
    assert all(unit in ([SPS, PPS, IDR], [SLICE]) for unit in access_units(made.h264))
    grey = brightness(made.h264)
    assert abs(grey[0] - grey[19]) <= 1 and abs(grey[0] - grey[45]) <= 1
    assert abs(grey[30] - grey[0] / 2) <= 3, "half the light"
    walking = grey[51:]
    assert min(walking) < grey[0] - 5, "a man in black is in the picture"
    assert max(abs(a - b) for a, b in zip(walking, reversed(walking), strict=True)) <= 2


def test_films_have_stillness_to_learn_from_and_motion_to_find():
    for name, film in FILMS.items():
        seconds = frames(film) / FPS
        spans = marks(film)
        assert len(spans) >= 3 and spans[0][0] >= 10, name
        assert 0.03 < sum(end - begin for begin, end in spans) / seconds < 0.5, name
        assert all(f"{name}_{kind}" in material.RECIPES for kind in RATES)
        assert graph(film).count("trim=") == len(film.parts)
