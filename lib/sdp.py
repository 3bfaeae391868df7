"""What an RTSP server offers (SDP, RFC 8866): the H.264 video in it and where to ask for it.

Pure: no IO.
"""

from binascii import a2b_base64
from collections import namedtuple

from micropython import const

from protocol_error import ProtocolError

_START_CODE = b"\x00\x00\x00\x01"
_SPS = const(7)
_PPS = const(8)
_MOST_SETS_BYTES = const(1024)
_URI_CHARACTERS = const(512)
_SHOWN_OFFER = const(200)

# control: URI of the video, aggregate: URI of the whole presentation; sets: SPS and PPS as Annex B,
# empty if they come with the pictures; fps: 0 when the description does not tell.
Video = namedtuple("Video", ("payload_type", "control", "aggregate", "sets", "fps"))


def parse_sdp(text, base):
    """The first H.264 video of a description; `base`: the URI its controls refer to. ProtocolError."""
    session, media = _sections(text)
    aggregate = resolve(base, _attribute(session, "control:") or "*")
    offered = []
    for lines in media:
        kind = lines[0].split(" ", 1)[0]
        codecs = _codecs(lines)
        offered += ["%s %s" % (kind, name) for _, name in codecs] or [kind]
        if kind != "video":
            continue
        for payload_type, name in codecs:
            if name.upper() == "H264/90000":
                control = resolve(aggregate, _attribute(lines, "control:") or "*")
                sets = _parameter_sets(_attribute(lines, "fmtp:%d " % payload_type))
                fps = _rate(_attribute(lines, "framerate:"))
                return Video(payload_type, control, aggregate, sets, fps)
    shown = [c for c in ", ".join(offered)[:_SHOWN_OFFER] if " " <= c <= "~"]
    raise ProtocolError("RTSP: no H.264 video, but: " + ("".join(shown) or "nothing"))


def resolve(base, control):
    """The URI that a control attribute means; as everybody does, a relative one is appended."""
    if control == "*":
        uri = base
    elif control.lower()[:7] == "rtsp://":
        uri = control
    elif control[:1] == "/":
        uri = "/".join(base.split("/", 3)[:3]) + control
    else:
        uri = base + ("" if base[-1:] == "/" else "/") + control
    if len(uri) > _URI_CHARACTERS or not all("!" <= c <= "~" for c in uri):
        raise ProtocolError("RTSP: no usable control URI")
    return uri


def _sections(text):
    """Lines without `a=` of the session, then of each medium, which begins with what follows `m=`."""
    session: list = []
    media: list = []
    for line in text.replace("\r", "\n").split("\n"):
        if line[:2] == "m=":
            media.append([line[2:].strip()])
        elif line[:2] == "a=":
            (media[-1] if media else session).append(line[2:].strip())
    return session, media


def _attribute(lines, name):
    for line in lines:
        if line[: len(name)].lower() == name:
            return line[len(name) :].strip()
    return ""


def _codecs(lines):
    """[(payload type, "name/clock")] of a medium."""
    found = []
    for line in lines[1:]:
        number, _, name = line[7:].strip().partition(" ")
        if line[:7].lower() == "rtpmap:" and number in [str(n) for n in range(128)]:
            found.append((int(number), name.strip()))
    return found


def _parameter_sets(fmtp):
    """SPS and PPS as the format parameters have them (RFC 6184, 8.1)."""
    fields = [field.strip().partition("=") for field in fmtp.split(";")]
    value = ""
    for name, _, text in fields:
        if name.lower() == "packetization-mode" and text.strip() == "2":
            raise ProtocolError("RTSP: H.264 in interleaved packetization (mode 2)")
        if name.lower() == "sprop-parameter-sets":
            value = text
    try:
        units = [a2b_base64(part.strip()) for part in value.split(",")]
    except ValueError:
        return b""  # the pictures may bring their own; if they do not, that is told
    units = [unit for unit in units if unit and unit[0] & 0x1F in (_SPS, _PPS)]
    kinds = [unit[0] & 0x1F for unit in units]
    if _SPS not in kinds or _PPS not in kinds:
        return b""
    sets = b"".join([_START_CODE + unit for unit in units])
    return sets if len(sets) <= _MOST_SETS_BYTES else b""


def _rate(text):
    """Frames per second, rounded; 0 when that is none."""
    whole, _, part = text.partition(".")
    if not 0 < len(whole) <= 3 or not all("0" <= c <= "9" for c in whole):
        return 0
    return int(whole) + (1 if part[:1] >= "5" else 0)
