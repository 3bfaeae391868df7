"""Whether a clip plays: what it is made of, and what ffmpeg makes of it.

A clip that broke off plays when it is whole packets, begins with PAT, PMT and an IDR picture, and

- cut behind the last access unit that is complete, ffmpeg decodes it without a word, and
- as it is, with a piece of one more unit at its end, ffmpeg decodes all those pictures, too;

each picture is the one that the camera saw then. Many cuts leave the same bytes: each are seen once.
"""

import hashlib
import os

PACKET = 188
_SYNC = 0x47
_UNIT_START = 0x40
_PAT = b"\x47\x40\x00"
_PES = b"\x00\x00\x01\xe0"
_FRAMES = "build/faults/film-%d.frames"
_FILMS = 6
_SPS, _IDR = 7, 5
_STRICT = "-xerror"
_SAMPLED = 8  # one of so many


class Screening:
    def __init__(self, folder):
        self._clip = folder + "/clip.ts"
        self._frames = folder + "/clip.frames"
        self._said = folder + "/ffmpeg.txt"
        self._seen = {}  # by SHA-256 of a clip and its complete units: (what is wrong or None, pictures)
        self._ends = {}  # by what was written in all: where its access units end
        self._films = []
        self._places = {}  # by MD5 of a picture: where it is in the films
        for number in range(_FILMS):
            with open(_FRAMES % number) as file:
                self._films += [line.strip() for line in file] + [None]
        for place, md5 in enumerate(self._films):
            self._places[md5] = place

    def complete(self, clip, size_bytes):
        """How many access units of a clip are complete in its first bytes."""
        return sum(end <= size_bytes for end in self._ends_of(clip))

    def see(self, clip, body):
        """`(what is wrong or None, pictures decoded)` of the beginning of a clip."""
        ends = [end for end in self._ends_of(clip) if end <= len(body)]
        key = hashlib.sha256(body).digest(), len(ends)
        if key not in self._seen:
            self._seen[key] = self._look(body, ends)
        return self._seen[key]

    def see_damaged(self, clip, body, safe_bytes):
        """The same of a clip that is as it was written for `safe_bytes` only; the rest may be anything.

        Its safe beginning must play, and with all that follows it a sample: no two are alike.
        """
        if not safe_bytes:
            return None, 0
        wrong, pictures = self.see(clip, body[:safe_bytes])
        sha = hashlib.sha256(body).digest()
        if wrong or not pictures or sha[0] % _SAMPLED or sha in self._seen:
            return wrong, pictures
        promised = self._decode(body[: self._ends_of(clip)[pictures - 1]], _STRICT)[1]
        all_pictures = self._decode(body, "")[1]
        if all_pictures[:pictures] != promised:
            wrong = "with damage behind: %d pictures" % len(all_pictures)
        self._seen[sha] = wrong, pictures
        return self._seen[sha]

    def _ends_of(self, clip):
        sha = hashlib.sha256(clip.data).digest() + bytes((clip.is_promised,))
        if sha not in self._ends:
            self._ends[sha] = _unit_ends(clip.data, clip.is_promised)
        return self._ends[sha]

    def _look(self, body, ends):
        wrong = _malformed(body)
        if wrong or not ends:
            return wrong, 0
        wrong, pictures = self._decode(body[: ends[-1]], _STRICT)
        if wrong or len(pictures) != len(ends):
            return wrong or "%d pictures of %d" % (len(pictures), len(ends)), len(pictures)
        wrong = self._compare(pictures)
        if wrong or ends[-1] == len(body):
            return wrong, len(pictures)
        wrong, all_pictures = self._decode(body, "")
        if all_pictures[: len(ends)] != pictures:
            return "with a piece of one more unit: %d pictures of %d, %s" % (
                len(all_pictures),
                len(ends),
                wrong,
            ), len(pictures)
        return None, len(pictures)

    def _compare(self, pictures):
        """Pictures one after the other as the camera saw them, or what is wrong."""
        at = self._places.get(pictures[0])
        if at is None:
            return "the first picture is none that the camera saw"
        seen = self._films[at : at + len(pictures)]
        for n, (one, other) in enumerate(zip(seen, pictures)):
            if one != other:
                return "picture %d is not what the camera saw" % n
        return None

    def _decode(self, body, how):
        """`(what ffmpeg said, or None, MD5s of the pictures)`."""
        with open(self._clip, "wb") as file:
            file.write(body)
        command = (
            "ffmpeg -v error %s -nostdin -threads 1 -i %s -map 0:v:0 -fps_mode passthrough"
            " -y -f framemd5 %s >%s 2>&1 </dev/null"
        )
        status = os.system(command % (how, self._clip, self._frames, self._said))
        with open(self._said) as file:
            said = file.read().strip()
        pictures = []
        with open(self._frames) as file:
            for line in file:
                if not line.startswith("#"):
                    pictures.append(line.split(",")[-1].strip())
        if status and not said:
            said = "ffmpeg ended with %d" % status
        return said or None, pictures


def _malformed(body):
    """What is wrong with the packets of a clip, or None."""
    if len(body) % PACKET:
        return "%d bytes are not whole packets" % len(body)
    for at in range(0, len(body), PACKET):
        if body[at] != _SYNC:
            return "no packet begins at %d" % at
    if body[:3] != _PAT:
        return "it does not begin with a PAT"
    # One program: pointer, table head of 8 bytes, program number, PID.
    if len(body) >= 2 * PACKET and _pid(body, PACKET) != _number(body, 15):
        return "no PMT follows"
    begin = bytes(body[2 * PACKET : 3 * PACKET])
    if begin and not begin[1] & _UNIT_START:
        return "no access unit follows the tables"
    if begin and _PES not in begin:
        return "no PES packet follows the tables"
    kinds = _nal_kinds(begin[begin.find(_PES) + len(_PES) :])
    if begin and (_SPS not in kinds or _IDR not in kinds):
        return "it does not begin with an IDR picture, but with NAL units %s" % kinds
    return None


def _nal_kinds(payload):
    kinds, at = [], payload.find(b"\x00\x00\x01")
    while at >= 0:
        kinds += [byte & 0x1F for byte in payload[at + 3 : at + 4]]
        at = payload.find(b"\x00\x00\x01", at + 3)
    return kinds


def _unit_ends(data, is_whole):
    """Behind which packet each access unit of a stream ends; the last one's is known of a whole stream."""
    video = _number(data, PACKET + 18) if len(data) >= 2 * PACKET else None
    ends, last, has_begun = [], 0, False
    for at in range(0, len(data) - PACKET + 1, PACKET):
        if _pid(data, at) != video or not data[at + 3] & 0x10:
            continue
        if data[at + 1] & _UNIT_START:
            if has_begun:
                ends.append(last)
            has_begun = True
        last = at + PACKET
    if is_whole and has_begun:
        ends.append(last)
    return ends


def _pid(data, at):
    return _number(data, at + 1)


def _number(data, at):
    """13 bits."""
    return (data[at] & 0x1F) << 8 | data[at + 1]
