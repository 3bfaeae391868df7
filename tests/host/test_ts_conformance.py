"""Clips of real footage before independent judges: ffprobe, ffmpeg, tsreport and the standard's rules.

Both interpreters record the same films with the camera's own source and recorder; what they write
must be the same to the byte.
"""

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.demo.footage_check import decode_errors, frame_count
from tools.interpreters import micropython
from tools.material import footage

ROOT = Path(__file__).resolve().parents[2]
PACKET, PAT, PMT, VIDEO = 188, 0x0000, 0x1000, 0x0100
SLICE, IDR, SPS, PPS, AUD = 1, 5, 7, 8, 9
PTS_90K = 90000
PCR_GAP_27M = 2_700_000  # 100 ms (ISO/IEC 13818-1, 2.7.2)


class Film(NamedTuple):
    """An elementary stream, the rate it is recorded at and the length clips are split at.

    Recording is wanted from picture `start_at` on; the first one in the clip is `first`.
    """

    h264: Path
    fps: int
    frames: int
    width: int
    height: int
    max_clip_ms: int
    ring_kb: int = 0
    pre_roll_ms: int = 0
    start_at: int = 0
    first: int = 0


class Clip(NamedTuple):
    data: bytes
    path: Path
    film: Film
    frames: int
    first: int  # number of its first picture in the film
    duration_ms: int
    pre_roll_ms: int
    poster_bytes: int
    size: tuple[int, int]


def with_filter(source: Path, target: Path, bitstream_filter: str) -> Path:
    command = ["ffmpeg", "-v", "error", "-y", "-i", source, "-c", "copy", "-bsf:v"]
    subprocess.run([*command, bitstream_filter, "-f", "h264", target], check=True)
    return target


def with_sets_only_at_the_begin(source: Path, target: Path) -> Path:
    """The film without the SPS and PPS of all but its first picture."""
    nals = split(source.read_bytes())
    kept = nals[:2] + [nal for nal in nals if nal[0] & 31 not in (SPS, PPS)]
    target.write_bytes(b"".join(b"\x00\x00\x00\x01" + nal for nal in kept))
    return target


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Film]:
    folder = tmp_path_factory.mktemp("films")
    bikes, rabbit = footage("bikes"), footage("bigbuckbunny")
    facts = bikes.frames, bikes.width, bikes.height
    bare = with_sets_only_at_the_begin(bikes.h264, folder / "bare.h264")
    marked = with_filter(bikes.h264, folder / "marked.h264", "h264_metadata=aud=insert")
    return {
        "split": Film(bikes.h264, 25, *facts, 3500),
        "large pictures": Film(rabbit.h264, 25, rabbit.frames, rabbit.width, rabbit.height, 60000),
        "slow": Film(bikes.h264, 4, *facts, 600000),  # a picture every 250 ms
        "no parameter sets": Film(bare, 25, *facts, 3500),
        "own delimiters": Film(marked, 25, *facts, 60000),
        # Asked for at 79 pictures: two seconds before is picture 29, and IDR pictures are 25 apart.
        "pre-roll": Film(bikes.h264, 25, *facts, 3500, 512, 2000, 80, 25),
        # What lies in so small a ring is a part of a second, so the next IDR picture is the first.
        "small ring": Film(bare, 25, *facts, 3500, 20, 2000, 90, 100),
    }


KINDS = [
    "split",
    "large pictures",
    "slow",
    "no parameter sets",
    "own delimiters",
    "pre-roll",
    "small ring",
]


def record(interpreter: Path, film: Film, folder: Path) -> list[Clip]:
    known = {"FILM": film.h264, "FPS": film.fps, "MAX_CLIP_MS": film.max_clip_ms, "FOLDER": folder}
    known |= {"RING_KB": film.ring_kb, "PRE_ROLL_MS": film.pre_roll_ms, "START_AT": film.start_at}
    program = ROOT / "tests" / "host" / "recording_device.py"
    done = subprocess.run(
        [interpreter, ROOT / "tests" / "run_device.py", program, "record"],
        env=os.environ | {name: str(value) for name, value in known.items()},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    clips: list[Clip] = []
    first = film.first
    for line in done.stdout.splitlines():
        if line.startswith("clip "):
            facts = json.loads(line[5:])
            data = Path(facts["path"]).read_bytes()
            assert facts["size_bytes"] == len(data)
            assert facts["md5"] == hashlib.md5(data).hexdigest()
            assert facts["part"] == len(clips)
            clips.append(
                Clip(
                    data,
                    Path(facts["path"]),
                    film,
                    facts["frames"],
                    first,
                    facts["duration_ms"],
                    facts["pre_roll_ms"],
                    facts["poster_bytes"],
                    (facts["width"], facts["height"]),
                )
            )
            first += facts["frames"]
    return clips


@pytest.fixture(scope="module", params=KINDS)
def recorded(
    request: pytest.FixtureRequest,
    films: dict[str, Film],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[Clip]]:
    """The clips of one film, by interpreter."""
    interpreters = {"cpython": Path(sys.executable), "micropython": micropython()}
    film = films[request.param]
    return {
        name: record(command, film, tmp_path_factory.mktemp(name))
        for name, command in interpreters.items()
    }


@pytest.fixture
def clips(recorded: dict[str, list[Clip]]) -> list[Clip]:
    return recorded["micropython"]


def joined(clips: list[Clip], folder: Path) -> Path:
    """The clips of a recording as the one stream that they are."""
    path = folder / "joined.ts"
    path.write_bytes(b"".join(clip.data for clip in clips))
    return path


class Packet(NamedTuple):
    at: int
    pid: int
    starts: bool  # PUSI
    counter: int
    payload: bytes | None
    pcr_27m: int | None
    new_time_base: bool
    random_access: bool


def packets(data: bytes) -> Iterator[Packet]:
    """Packet headers and adaptation fields (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5)."""
    assert len(data) % PACKET == 0
    for at in range(0, len(data), PACKET):
        raw = data[at : at + PACKET]
        word = int.from_bytes(raw[:4], "big")
        assert word >> 24 == 0x47, f"no sync byte at {at}"
        assert word >> 23 & 1 == 0 and word >> 6 & 3 == 0, f"error or scrambling flags at {at}"
        has_payload, has_field = word >> 4 & 1, word >> 5 & 1
        assert has_payload or has_field, f"reserved adaptation_field_control at {at}"
        begin, pcr, flags = 4, None, 0
        if has_field:
            length = raw[4]
            assert length <= 182 if has_payload else length == 183, f"field length at {at}"
            begin = 5 + length
            flags = raw[5] if length else 0
            if flags & 0x10:
                field = int.from_bytes(raw[6:12], "big")
                pcr = (field >> 15) * 300 + (field & 0x1FF)
            used = 6 + (6 if flags & 0x10 else 0)
            assert set(raw[used:begin]) <= {0xFF}, f"stuffing at {at}"
        pid, starts = word >> 8 & 0x1FFF, bool(word >> 22 & 1)
        payload = raw[begin:] if has_payload else None
        base, access = bool(flags & 0x80), bool(flags & 0x40)
        yield Packet(at, pid, starts, word & 15, payload, pcr, base, access)


def crc_32_mpeg_2(data: bytes) -> int:
    """From zlib's CRC-32, which has the same polynomial, reflected and inverted."""
    mirror = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    return int(f"{zlib.crc32(mirror) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def section(packet: Packet, table_id: int) -> bytes:
    """The body of a table that fills one packet, its CRC checked (2.4.4)."""
    assert packet.starts and packet.payload is not None and packet.payload[0] == 0
    length = int.from_bytes(packet.payload[2:4], "big") & 0xFFF
    whole, rest = packet.payload[1 : 4 + length], packet.payload[4 + length :]
    assert whole[0] == table_id
    assert crc_32_mpeg_2(whole[:-4]) == int.from_bytes(whole[-4:], "big"), f"CRC at {packet.at}"
    assert set(rest) <= {0xFF}
    return whole[8:-4]


def pts_of(pes: bytes) -> int:
    assert pes[:4] == b"\x00\x00\x01\xe0" and pes[7] >> 6 == 2, "a video PES packet with PTS alone"
    bits = int.from_bytes(pes[9:14], "big")
    assert (bits >> 36, bits >> 32 & 1, bits >> 16 & 1, bits & 1) == (2, 1, 1, 1), "marker bits"
    return (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF


def split(stream: bytes) -> list[bytes]:
    """The NAL units of a byte stream, without start codes and trailing zeros."""
    return [nal.rstrip(b"\x00") for nal in stream.split(b"\x00\x00\x01") if nal.rstrip(b"\x00")]


def slices(stream: bytes) -> list[bytes]:
    return [nal for nal in split(stream) if nal[0] & 31 in (SLICE, IDR)]


def pes_packets(data: bytes) -> list[tuple[int, bytes]]:
    """(pts, bytes of the access unit) of each picture."""
    found: list[list[bytes]] = []
    for packet in packets(data):
        if packet.pid == VIDEO and packet.payload is not None:
            if packet.starts:
                found.append([])
            found[-1].append(packet.payload)
    whole = [b"".join(parts) for parts in found]
    return [(pts_of(pes), pes[9 + pes[8] :]) for pes in whole]


def test_both_interpreters_write_the_same(recorded: dict[str, list[Clip]]) -> None:
    cpython, mp = recorded["cpython"], recorded["micropython"]
    assert [clip.data for clip in cpython] == [clip.data for clip in mp]


def test_every_picture_of_the_film_is_in_a_clip_once(clips: list[Clip]) -> None:
    film = clips[0].film
    frames = film.frames - film.first
    assert sum(clip.frames for clip in clips) == frames
    # Clips are split at the first IDR picture, one each 25 pictures, that comes late enough.
    each = -(-film.max_clip_ms * film.fps // 25_000) * 25
    assert len(clips) == -(-frames // each)
    assert all(clip.frames == each for clip in clips[:-1])
    assert all(clip.duration_ms == clip.frames * 1000 // film.fps for clip in clips)


def test_what_is_told_of_a_clip(clips: list[Clip]) -> None:
    film = clips[0].film
    wanted = max(0, film.start_at - 1 - film.first)
    assert [clip.pre_roll_ms for clip in clips] == [wanted * 1000 // film.fps] + [0] * (
        len(clips) - 1
    )
    assert {clip.size for clip in clips} == {(film.width, film.height)}


def test_ffprobe_counts_every_frame(clips: list[Clip], tmp_path: Path) -> None:
    counts = [clip.frames for clip in clips]
    assert [frame_count(clip.path) for clip in clips] == counts
    assert frame_count(joined(clips, tmp_path)) == sum(counts)


def test_ffmpeg_decodes_without_complaint(clips: list[Clip], tmp_path: Path) -> None:
    assert [decode_errors(clip.path) for clip in clips] == [""] * len(clips)
    assert decode_errors(joined(clips, tmp_path)) == ""


def test_the_poster_is_a_still_picture(clips: list[Clip], tmp_path: Path) -> None:
    """The first bytes of a clip, as a viewer fetches them, are one whole picture."""
    for clip in clips:
        poster = tmp_path / "poster.ts"
        poster.write_bytes(clip.data[: clip.poster_bytes])
        assert clip.poster_bytes % PACKET == 0
        assert (frame_count(poster), decode_errors(poster)) == (1, "")
        assert slices(pes_packets(poster.read_bytes())[0][1]) == slices(
            pes_packets(clip.data)[0][1]
        )


def test_ffprobe_sees_the_picture_and_rising_times(clips: list[Clip]) -> None:
    for clip in clips:
        command = ["ffprobe", "-v", "warning", "-of", "json", "-show_streams", "-show_packets"]
        done = subprocess.run([*command, clip.path], check=True, capture_output=True, text=True)
        assert done.stderr == ""
        seen = json.loads(done.stdout)
        (stream,) = seen["streams"]
        film = clip.film
        size = stream["codec_name"], stream["width"], stream["height"]
        assert size == ("h264", film.width, film.height)
        times = [int(packet["pts"]) for packet in seen["packets"]]
        steps = {after - before for before, after in itertools.pairwise(times)}
        assert steps == {PTS_90K // film.fps}
        keys = [n for n, packet in enumerate(seen["packets"]) if "K" in packet["flags"]]
        assert keys == list(range(0, clip.frames, 25))


def tsreport(path: Path) -> tuple[list[str], int]:
    """(complaints, gaps of more than 100 ms between PCRs)."""
    command = ["tsreport", "-buffering", path]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    gaps = re.search(r"PCRs found: \d+, Bad \(>\.1s\) gaps: (\d+),", said)
    assert gaps, said
    return re.findall(r"^(?:###|!!!).*", said, re.M), int(gaps[1])


def test_tsreport_finds_no_fault(clips: list[Clip], tmp_path: Path) -> None:
    assert [tsreport(clip.path) for clip in clips] == [([], 0)] * len(clips)
    assert tsreport(joined(clips, tmp_path)) == ([], 0)


def check_counters(data: bytes) -> None:
    """Continuity counters, from 0, stand still only without payload (2.4.3.3)."""
    counters: dict[int, int] = {}
    for packet in packets(data):
        last = counters.get(packet.pid, -1)
        expected = last if packet.payload is None else last + 1 & 15
        assert packet.counter == expected & 15, f"PID {packet.pid} at {packet.at}"
        counters[packet.pid] = packet.counter
    assert set(counters) == {PAT, PMT, VIDEO}


def test_counters_count_from_clip_to_clip(clips: list[Clip]) -> None:
    check_counters(b"".join(clip.data for clip in clips))


def check_clock(data: bytes, fps: int) -> None:
    """A PCR from zero on at least every 100 ms, never behind its picture's PTS."""
    pcr, times = -1, []
    for packet in packets(data):
        assert not packet.new_time_base
        if packet.pcr_27m is not None:
            assert packet.pid == VIDEO
            assert pcr < 0 or 0 < packet.pcr_27m - pcr <= PCR_GAP_27M, f"PCR at {packet.at}"
            assert pcr >= 0 or packet.pcr_27m == 0
            pcr = packet.pcr_27m
        if packet.pid == VIDEO and packet.starts:
            assert pcr >= 0 and packet.payload is not None
            times.append(pts_of(packet.payload))
            delay_90k = times[-1] - pcr // 300
            assert 0 <= delay_90k <= PTS_90K, f"PTS at {packet.at} is {delay_90k} after the PCR"
    steps = [after - before for before, after in itertools.pairwise(times)]
    assert steps and set(steps) == {PTS_90K // fps}


def test_the_clock_goes_on_from_clip_to_clip(clips: list[Clip]) -> None:
    check_clock(b"".join(clip.data for clip in clips), clips[0].film.fps)


def check_tables(data: bytes) -> int:
    """PAT, PMT, IDR picture: only together, in this order. Returns how often."""
    pids: list[int] = []
    groups = 0
    for packet in packets(data):
        if packet.pid == VIDEO and packet.starts:
            assert packet.random_access == (pids[-2:] == [PAT, PMT]), f"picture at {packet.at}"
            groups += packet.random_access
        elif packet.pid == PAT:
            assert section(packet, 0x00) == b"\x00\x01" + (0xE000 | PMT).to_bytes(2, "big")
        elif packet.pid == PMT:
            clock = (0xE000 | VIDEO).to_bytes(2, "big") + b"\xf0\x00"
            assert section(packet, 0x02) == clock + b"\x1b" + clock  # 1b: H.264
        pids.append(packet.pid)
    assert pids.count(PAT) == pids.count(PMT) == groups
    return groups


def test_tables_stand_before_every_idr_picture(clips: list[Clip]) -> None:
    for clip in clips:
        assert check_tables(clip.data) == -(-clip.frames // 25)


def test_every_access_unit_is_whole_and_can_be_begun_with(clips: list[Clip]) -> None:
    """A delimiter in each, the parameter sets in each with an IDR picture, the film's own slice."""
    film = clips[0].film
    expected = iter(slices(film.h264.read_bytes())[film.first :])
    for clip in clips:
        for number, (_, unit) in enumerate(pes_packets(clip.data)):
            nals = split(unit)
            kinds = [nal[0] & 31 for nal in nals]
            assert kinds == ([AUD, SPS, PPS, IDR] if number % 25 == 0 else [AUD, SLICE]), number
            assert nals[-1] == next(expected), f"picture {clip.first + number}"
    assert next(expected, None) is None


def test_ffmpeg_takes_the_film_out_again(clips: list[Clip]) -> None:
    film = slices(clips[0].film.h264.read_bytes())
    for clip in clips:
        command = ["ffmpeg", "-v", "error", "-i", clip.path, "-c", "copy", "-f", "h264", "-"]
        done = subprocess.run(command, check=True, capture_output=True)
        assert done.stderr == b""
        assert slices(done.stdout) == film[clip.first : clip.first + clip.frames]


def test_what_the_transport_stream_costs(tmp_path: Path) -> None:
    """Packet headers are 2.2 %; at this rate half a packet behind each picture is 1.1 % more."""
    film = tmp_path / "two_mbit.h264"
    command = ["ffmpeg", "-v", "error", "-i", footage("bench_4mbit").h264, "-t", "10"]
    command += ["-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-bf", "0"]
    command += ["-x264-params", "repeat-headers=1:scenecut=0:keyint=30:min-keyint=30:threads=1"]
    command += ["-b:v", "2M", "-maxrate", "2M", "-bufsize", "1M"]
    subprocess.run([*command, "-r", "30", "-f", "h264", film], check=True)
    facts = footage("bench_4mbit")
    told = Film(film, 30, 0, facts.width, facts.height, 600000)
    (clip,) = record(micropython(), told, tmp_path)
    content_bytes = film.stat().st_size
    assert 1_800_000 < content_bytes * 8 * 30 / clip.frames < 2_200_000
    remuxed = tmp_path / "ffmpeg.ts"
    command = ["ffmpeg", "-v", "error", "-framerate", "30", "-i", film, "-c", "copy"]
    subprocess.run([*command, "-f", "mpegts", remuxed], check=True)
    ours, theirs = (size / content_bytes - 1 for size in (len(clip.data), remuxed.stat().st_size))
    print(f"transport stream over elementary stream: {ours:.2%}, ffmpeg's {theirs:.2%}")
    assert ours <= 0.04
    assert ours < theirs


@pytest.fixture(scope="module")
def sound(films: dict[str, Film], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip that every check finds in order."""
    folder = tmp_path_factory.mktemp("sound")
    return record(Path(sys.executable), films["split"], folder)[0].data


def test_the_judges_see_a_lost_packet(sound: bytes, tmp_path: Path) -> None:
    # tsreport overlooks the loss of some packets with counter 1.
    at = next(p.at for p in packets(sound) if p.counter == 8 and p.pcr_27m is None)
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(sound[:at] + sound[at + PACKET :])
    assert decode_errors(damaged)
    complaints, _ = tsreport(damaged)
    assert "Continuity" in complaints[0]
    with pytest.raises(AssertionError, match="PID 256"):
        check_counters(damaged.read_bytes())


def test_the_judges_see_a_wrong_table(sound: bytes) -> None:
    assert crc_32_mpeg_2(b"123456789") == 0x0376E6E7
    for at in (10, PACKET + 20):
        with pytest.raises(AssertionError):
            check_tables(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
    with pytest.raises(AssertionError, match="picture at 0"):
        check_tables(sound[2 * PACKET :])


def test_the_judges_see_a_clock_that_stops(sound: bytes, tmp_path: Path) -> None:
    """Three pictures are left out: 160 ms between PCRs."""
    clocks = [packet.at for packet in packets(sound) if packet.pcr_27m is not None]
    begin, end = clocks[10], clocks[13]
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(sound[:begin] + sound[end:])
    with pytest.raises(AssertionError, match="PCR at"):
        check_clock(damaged.read_bytes(), 25)
    assert tsreport(damaged)[1] == 1
