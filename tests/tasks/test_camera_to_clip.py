"""From a camera to a clip on the card: what the encoder gave is in the file, NAL unit by NAL unit."""

from harness import eq, tmp_dir
from nal_units import AUD, IDR, SLICE, pps, slice_nal, sps
from tasks.camera_recording import ADAPTERS, Recording, source_of

FPS, GOP = 10, 10
SIZES = {"esp_vision": (320, 240), "pydevices": (160, 96)}
_PACKET, _VIDEO = 188, 0x100


def film():
    """Five seconds as the P4's encoder makes them: large IDR pictures with their parameter sets."""
    made = []
    for number in range(5 * GOP):
        if number % GOP:
            made.append((slice_nal(SLICE, number, 700 + 13 * number), False))
        else:
            made.append((sps() + pps() + slice_nal(IDR, number, 9000 + number), True))
    return made


def nals(stream):
    """The NAL units of some Annex-B bytes, without delimiters and the zeros behind them."""
    found = stream.split(b"\x00\x00\x01")[1:]
    return [nal.rstrip(b"\x00") for nal in found if nal[0] & 31 != AUD]


def clip_nals(path):
    """[NAL units of a picture], from the PES packets of a clip."""
    pictures = []
    with open(path, "rb") as file:
        packet = file.read(_PACKET)
        while packet:
            assert len(packet) == _PACKET and packet[0] == 0x47
            if (packet[1] & 31) << 8 | packet[2] == _VIDEO and packet[3] & 0x10:
                payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
                if packet[1] & 0x40:
                    pictures.append([])
                    payload = payload[9 + payload[8] :]
                pictures[-1].append(payload)
            packet = file.read(_PACKET)
    return [nals(b"".join(pieces)) for pieces in pictures]


async def record(adapter, **settings):
    """(the recording, the hardware) when all is over and closed."""
    width, height = SIZES[adapter]
    source, hardware = source_of(adapter, film(), width=width, height=height, fps=FPS)
    recording = Recording(source, tmp_dir(), **settings)
    await recording.run()
    eq((recording.errors, recording.source_news), ([], []))
    eq(hardware.open, [], "left open")
    return recording, hardware


async def test_a_clip_holds_what_the_encoder_gave():
    for adapter in ADAPTERS:
        at = {0: Recording.begin, 34: Recording.end, 36: Recording.leave}
        recording, hardware = await record(adapter, at=at)
        (clip,) = recording.clips
        eq(clip.frames, len(clip_nals(clip.path)))
        assert 30 <= clip.frames <= 36
        eq(clip_nals(clip.path), [nals(unit) for unit, _ in hardware.units[: clip.frames]])
        eq((clip.width, clip.height, clip.fps), SIZES[adapter] + (FPS,))


async def test_parts_of_a_recording_lose_no_picture():
    for adapter in ADAPTERS:
        at = {0: Recording.begin, 47: Recording.end, 49: Recording.leave}
        recording, hardware = await record(adapter, at=at, max_clip_ms=2000)
        eq([clip.frames for clip in recording.clips[:2]], [20, 20])
        pictures = [picture for clip in recording.clips for picture in clip_nals(clip.path)]
        assert len(pictures) >= 44
        eq(pictures, [nals(unit) for unit, _ in hardware.units[: len(pictures)]])


async def test_pre_roll_begins_with_an_older_key_frame():
    for adapter in ADAPTERS:
        at = {25: Recording.begin, 38: Recording.end, 40: Recording.leave}
        recording, hardware = await record(adapter, at=at, ring_bytes=65536, pre_roll_ms=1000)
        (clip,) = recording.clips
        pictures = clip_nals(clip.path)
        eq(len(pictures), clip.frames)
        assert clip.pre_roll_ms >= 1000
        first = [nals(unit) for unit, _ in hardware.units].index(pictures[0])
        assert hardware.units[first][1] and first <= 15, first
        eq(pictures, [nals(unit) for unit, _ in hardware.units[first : first + clip.frames]])
