"""What cameras offer, as they write it, and what is made of it."""

from harness import eq, raises
from protocol_error import ProtocolError
from sdp import parse_sdp, resolve

BASE = "rtsp://h/live/"
SPS = b"\x67\x42\xc0\x15\xda\x02\x80\x8e\xc0"
PPS = b"\x68\xce\x3c\x80"
SPROP = "Z0LAFdoCgI7A,aM48gA=="
SETS = b"\x00\x00\x00\x01" + SPS + b"\x00\x00\x00\x01" + PPS

GSTREAMER = (
    """v=0
o=- 15122203994629641570 1 IN IP4 127.0.0.1
s=Session streamed with GStreamer
t=0 0
a=tool:GStreamer
a=control:*
a=range:npt=0-80
m=video 0 RTP/AVP 96
c=IN IP4 0.0.0.0
a=rtpmap:96 H264/90000
a=framerate:25
a=fmtp:96 packetization-mode=1;sprop-parameter-sets=%s;profile-level-id=42c015
a=control:stream=0
"""
    % SPROP
)

# Sound first, an absolute control, several payload types, spaces.
OTHER = (
    """v=0
s=Media Presentation
a=control:rtsp://10.0.0.7/Streaming/101/
m=audio 0 RTP/AVP 8
a=control:rtsp://10.0.0.7/Streaming/101/trackID=2
a=rtpmap:8 PCMA/8000
m=video 0 RTP/AVP 98 99
a=rtpmap:98 H265/90000
a=rtpmap:99  h264/90000
a=fmtp:99 profile-level-id=420029; packetization-mode=1; SPROP-parameter-sets=%s
a=framerate:12.5
a=control:rtsp://10.0.0.7/Streaming/101/trackID=1
m=application 0 RTP/AVP 107
"""
    % SPROP
)


def video(*lines, base=BASE):
    return parse_sdp("v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n" + "\n".join(lines), base)


def test_descriptions():
    for line_end in ("\n", "\r\n"):
        eq(
            tuple(parse_sdp(GSTREAMER.replace("\n", line_end), BASE)),
            (96, BASE + "stream=0", BASE, SETS, 25),
        )
    aggregate = "rtsp://10.0.0.7/Streaming/101/"
    eq(tuple(parse_sdp(OTHER, BASE)), (99, aggregate + "trackID=1", aggregate, SETS, 13))
    eq(tuple(video()), (96, BASE, BASE, b"", 0))


def test_controls():
    for base, control, uri in (
        ("rtsp://h/live", "*", "rtsp://h/live"),
        ("rtsp://h/live", "track1", "rtsp://h/live/track1"),
        ("rtsp://h/live/", "track1", "rtsp://h/live/track1"),
        ("rtsp://h:8554/a/b?c=1&d=2", "trackID=0", "rtsp://h:8554/a/b?c=1&d=2/trackID=0"),
        ("rtsp://h:8554/a/b", "/track1", "rtsp://h:8554/track1"),
        ("rtsp://h/live", "RTSP://other/track1", "RTSP://other/track1"),
    ):
        eq(resolve(base, control), uri)
    for control in ("a b", "a\x00", "\xe9", "x" * 600):
        raises(ProtocolError, resolve, "rtsp://h/", control)


def test_rates():
    for text, fps in (
        ("25", 25),
        ("25.000000", 25),
        ("29.97", 30),
        ("14.4", 14),
        ("0", 0),
        ("0.2", 0),
        (".5", 0),
        ("fast", 0),
        ("-5", 0),
        ("1000000", 0),
        ("", 0),
    ):
        eq(video("a=framerate:" + text).fps, fps, text)


def test_parameter_sets():
    for value, sets in (
        (SPROP, SETS),
        ("aM48gA==,Z0LAFdoCgI7A", b"\x00\x00\x00\x01" + PPS + b"\x00\x00\x00\x01" + SPS),
        (SPROP + ",", SETS),
        ("Z0LAFdoCgI7A", b""),  # no PPS
        ("not base64!,aM48gA==", b""),
        ("Z0LAFdoCgI7A,aM48gA=", b""),
        ("", b""),
        ("Z0LA" * 400 + ",aM48gA==", b""),  # more than a packet of the recording takes
    ):
        eq(video("a=fmtp:96 sprop-parameter-sets=" + value).sets, sets, value[:40])
    eq(video("a=fmtp:97 sprop-parameter-sets=" + SPROP).sets, b"", "of another payload type")


def test_what_cannot_be_used_is_named():
    for text, named in (
        ("", "nothing"),
        ("v=0\nm=audio 0 RTP/AVP 0\n", "audio"),
        ("m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\n", "video H265/90000"),
        (
            OTHER.replace("h264", "JPEG"),
            "audio PCMA/8000, video H265/90000, video JPEG/90000, application",
        ),
        ("m=video 0 RTP/AVP 26\n", "video"),
        ("m=audio 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n", "audio H264/90000"),
        ("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/1000\n", "video H264/1000"),
        ("\x00\xff garbage", "nothing"),
        ("m=vi\x1b[2Jdeo\x00 0\n", "vi[2Jdeo"),
    ):
        error = str(raises(ProtocolError, parse_sdp, text, BASE))
        eq(error, "RTSP: no H.264 video, but: " + named)
    many = "".join(["m=video 0 RTP/AVP 96\na=rtpmap:96 H265/%d\n" % n for n in range(500)])
    assert len(str(raises(ProtocolError, parse_sdp, many, BASE))) < 300


def test_interleaved_packetization_is_refused():
    error = raises(ProtocolError, video, "a=fmtp:96 packetization-mode=2")
    assert "mode 2" in str(error), error
