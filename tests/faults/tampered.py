"""A worker as tools/faults/device/main.py is, for what should be found out and for what is taken for granted.

The phase is the day of the first image, and the one about recording where that is what is tried.

{"image": "fat16-4k", "do": "tamper", "how": "removed"}    what the verdict found
{"image": "fat16-4k", "do": "live", "requests": [30, 50]}  the differences from the record
"""

import asyncio
import json
import os
import sys

import film
import script
import vfs
import watched
from cloud import Object
from film import FilmSource
from history import History
from judge import Verdict, judge
from life import Boot
from phases import DAY, RECORDING, make
from ramcard import SECTOR, WRITE, Card

import firmware.app as app
import firmware.recording as recording
import firmware.sd_recorder as sd_recorder

IMAGE = "fat16-4k"
_MARK = "> "
_MOUNTED_MS = 20  # after power on, the card is mounted and nothing is delivered yet
_Writer = sd_recorder.BlockWriter
_ENTRY_BYTES = 32  # of a directory
_FIRST_AT, _SIZE_AT = 26, 28  # in an entry: number of the first cluster, length


class PowerCut(BaseException):
    """Nobody catches this, and nobody runs after it."""


class _CutAt:
    """In place of a trouble of the card: the power goes with that request to write."""

    def __init__(self, number, history):
        self._number = number
        self._history = history
        self.seen = 0
        self.writes_before = None

    def strikes(self, kind):
        if kind == WRITE:
            if self.seen == self._number:
                self.writes_before = len(self._history.writes)
                raise PowerCut()
            self.seen += 1
        return False


def live(phase, asked):
    """Cut the power of a running camera and hold the card against what the record says of that cut."""
    differences, compared = [], 0
    for number in asked["requests"]:
        history = History()
        cut = _CutAt(number, history)
        boot = phase.boot_again(history, cut)
        try:
            boot.run(script.day)
        except PowerCut:
            compared += 1
        world = phase.cuts.world("clean", cut.writes_before)
        recorded = world.sectors
        for sector in set(recorded) | set(boot.own):
            pair = [card.get(sector) for card in (recorded, boot.own)]
            if None in pair or not _is_alike(phase.layout.kind(sector), *pair):
                differences.append([number, sector, phase.layout.kind(sector)])
        if phase.history.events_until(cut.writes_before) != len(history.events):
            differences.append([number, "events"])
    return {"compared": compared, "differences": differences}


def _is_alike(kind, one, other):
    """Whether two sectors hold the same but for times in a directory, which are those of the host."""
    if not kind.endswith("/"):
        return one == other
    return _without_times(one) == _without_times(other)


def _without_times(sector):
    kept = bytearray(sector)
    for at in range(0, len(sector), _ENTRY_BYTES):
        kept[at + 13 : at + 20] = bytes(7)  # made, read
        kept[at + 22 : at + 26] = bytes(4)  # written
    return kept


def tamper(phase, asked):
    """Do the camera, its card or its store an ill turn between a cut and the verdict."""
    number = _cut_with_an_owed_clip(phase)
    world = phase.cuts.world("clean", number)
    return {"found": list(_TURNS[asked["how"]](phase, world).counts)}


def _cut_with_an_owed_clip(phase):
    """The last write before the first clip is in the store that was promised."""
    for number in range(len(phase.history.writes)):
        world = phase.cuts.world("clean", number)
        if any(clip.is_promised for clip in world.clips):
            return number
    raise ValueError("no clip was ever promised")


def _recover(phase, world, live=script.recovery):
    boot = Boot(phase.image, world, 9)
    boot.run(live)
    return boot


def _left_alone(phase, world):
    return judge(world, _recover(phase, world))


def _removed(phase, world):
    """Somebody takes the clip off the card."""
    card = Card(phase.image, world.sectors)
    vfs.mount(vfs.VfsFat(card), watched.ROOT)
    os.remove(watched.ROOT + world.clips[0].path)
    vfs.umount(watched.ROOT)
    card.is_on = False
    return judge(world, _recover(phase, world))


def _without_journal(phase, world):
    """Both files of the journal are gone: the clip is found, but nobody knows what it is."""
    card = Card(phase.image, world.sectors)
    vfs.mount(vfs.VfsFat(card), watched.ROOT)
    for directory in ("/queue_a", "/queue_b"):
        os.remove(watched.ROOT + directory + "/jobs.jnl")
    vfs.umount(watched.ROOT)
    card.is_on = False
    return judge(world, _recover(phase, world))


def _altered(phase, world):
    """A byte of the clip is not what it was."""
    first = bytes(world.clips[0].data[:512])
    sector = [n for n in world.sectors if world.sectors[n] == first][0]
    world.sectors[sector] = first[:100] + bytes((first[100] ^ 1,)) + first[101:]
    return judge(world, _recover(phase, world))


def _deleted(phase, world):
    """The camera deletes a clip before it is delivered."""

    async def hasty(boot):
        await asyncio.sleep_ms(_MOUNTED_MS)
        os.remove(watched.ROOT + world.clips[0].path)
        await script.recovery(boot)

    return judge(world, _recover(phase, world, hasty))


def _overwritten(phase, world):
    async def clumsy(boot):
        await asyncio.sleep_ms(_MOUNTED_MS)
        _empty(watched.ROOT + world.clips[0].path)
        await script.recovery(boot)

    return judge(world, _recover(phase, world, clumsy))


def _empty(path):
    open(path, "wb").close()


def _rewritten(phase, world):
    async def untidy(boot):
        await asyncio.sleep_ms(_MOUNTED_MS)
        _append(watched.ROOT + world.clips[0].path)
        await script.recovery(boot)

    return judge(world, _recover(phase, world, untidy))


def _append(path):
    with open(path, "ab") as file:
        file.write(b"\x47")


def _renamed(phase, world):
    async def tidy(boot):
        await asyncio.sleep_ms(_MOUNTED_MS)
        path = watched.ROOT + world.clips[0].path
        os.rename(path, path + ".ok")
        await script.recovery(boot)

    return judge(world, _recover(phase, world, tidy))


def _stored_twice(phase, world):
    boot = _recover(phase, world)
    name, held = list(boot.store.objects.items())[0]
    boot.store.objects["again/" + name] = held
    return judge(world, boot)


def _foreign(phase, world):
    boot = _recover(phase, world)
    boot.store.objects["x_y.ts"] = Object(b"nobody recorded this", b"", "")
    return judge(world, boot)


def _boasting(phase, world):
    boot = _recover(phase, world)
    report = {"event": "upload_completed", "cloud_url": "http://store.test/cams/never.ts"}
    boot.heard("devices/CAM1/status/upload", json.dumps(report))
    return judge(world, boot)


def _dying(phase, world):
    opening, app.Camera.open = app.Camera.open, lambda self: 1 // 0
    try:
        return judge(world, _recover(phase, world))
    finally:
        app.Camera.open = opening


def _blind(phase, world):
    seeing, recording.frame_source = recording.frame_source, lambda *_, **__: FilmSource([])
    try:
        return judge(world, _recover(phase, world))
    finally:
        recording.frame_source = seeing


def _unflushed(phase, world):
    """Recordings are flushed only in words: whatever is not finished is gone."""
    flush = watched.WatchedFile.flush
    watched.WatchedFile.flush = lambda self: self.note_flush()
    try:
        again = make(IMAGE, DAY)
    finally:
        watched.WatchedFile.flush = flush
    last = len(again.history.writes) - 1
    world = again.cuts.world("clean", last)
    return judge(world, _recover(again, world))


def _at_stake(phase, world):
    """Recordings are not flushed before they end; those of the day are shorter than two seconds."""
    return _day_written_by(
        phase, lambda *args, **named: _Writer(*args, flush_bytes=1 << 30, **named)
    )


class _Scribbler(_Writer):
    """Goes back to the file's beginning before it ends."""

    def close(self, tail_bytes=0):
        self._file.seek(0)
        self._file.write(b"not what was there")
        self._file.seek(self.size_bytes)
        return super().close(tail_bytes)


def _scribbled(phase, world):
    return _day_written_by(phase, _Scribbler)


def _day_written_by(phase, writer):
    sd_recorder.BlockWriter = writer
    try:
        boot = _recover(phase, phase.cuts.world("clean", 0), script.day)
    finally:
        sd_recorder.BlockWriter = _Writer
    verdict = Verdict()
    for kind, text in boot.faults:
        verdict.add(kind, text)
    return verdict


def _recorded(phase, film_of=None):
    """The phase about recording, cut at its end, with a clip that goes on."""
    seeing, film.real_film = film.real_film, film_of or film.real_film
    try:
        again = make(IMAGE, RECORDING)
    finally:
        film.real_film = seeing
    return again, again.cuts.final()


def _well_recorded(phase, world):
    again, world = _recorded(phase)
    return again.examine(world, _recover_film(again, world))


def _recover_film(phase, world):
    boot = Boot(phase.image, world, 4, film_of=film.real_film)
    boot.run(script.recovery)
    return boot


def _frame_lost(phase, world):
    """Of each group of pictures one is left out, and nobody says so."""

    seeing = film.real_film

    def shortened(number):
        units = seeing(number)
        return [units[n] for n in range(len(units)) if n % 10 != 5]

    again, world = _recorded(phase, shortened)
    return again.examine(world, _recover_film(again, world))


def _headless(phase, world):
    """What is in the store for a clip lacks its first packet; all else is as it was."""
    again, world = _recorded(phase)
    boot = _recover_film(again, world)
    clip = [clip for clip in world.clips if not clip.is_promised][0]
    clip.data = clip.data[188:]
    clip.flushed_bytes -= 188
    for held in boot.store.objects.values():
        if held.body[188:] == clip.data[: len(held.body) - 188]:
            held.body = held.body[188:]
    return again.examine(world, boot)


def _cross_linked(phase, world):
    """Both files of the journal have the clusters of one."""
    again, world = _recorded(phase)
    first = _entry(again, world, "/queue_a/", b"JOBS    JNL")
    second = _entry(again, world, "/queue_b/", b"JOBS    JNL")
    _patch(world, second, _FIRST_AT, _read(again, world, first, _FIRST_AT, 2))
    return again.examine(world, _recover_film(again, world))


def _too_long(phase, world):
    """A file says that it is longer than its clusters are."""
    again, world = _recorded(phase)
    place = _entry(again, world, "/queue_a/", b"JOBS    JNL")
    _patch(world, place, _SIZE_AT, b"\x00\x00\x10\x00")
    return again.examine(world, _recover_film(again, world))


def _entry(phase, world, directory, name):
    """`(sector, offset)` of a directory's entry."""
    for sector in phase.image.sectors:
        if phase.layout.kind(sector) == directory:
            at = (world.sectors.get(sector) or phase.image.sectors[sector]).find(name)
            if at >= 0:
                world.sectors[sector] = world.sectors.get(sector) or phase.image.sectors[sector]
                return sector, at
    raise ValueError("no such file in " + directory)


def _read(phase, world, place, offset, size):
    sector, at = place
    return world.sectors[sector][at + offset : at + offset + size]


def _patch(world, place, offset, data):
    sector, at = place
    content = bytearray(world.sectors[sector])
    content[at + offset : at + offset + len(data)] = data
    assert len(content) == SECTOR
    world.sectors[sector] = bytes(content)


_TURNS = {
    "left alone": _left_alone,
    "removed": _removed,
    "altered": _altered,
    "deleted": _deleted,
    "overwritten": _overwritten,
    "renamed": _renamed,
    "rewritten": _rewritten,
    "without journal": _without_journal,
    "at stake": _at_stake,
    "scribbled": _scribbled,
    "stored twice": _stored_twice,
    "foreign": _foreign,
    "boasting": _boasting,
    "dying": _dying,
    "blind": _blind,
    "unflushed": _unflushed,
    "well recorded": _well_recorded,
    "frame lost": _frame_lost,
    "headless": _headless,
    "cross linked": _cross_linked,
    "too long": _too_long,
}


def main():
    doing = {"live": live, "tamper": tamper}
    phase = make(IMAGE, DAY)
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        asked = json.loads(line)
        print(_MARK + json.dumps(doing[asked["do"]](phase, asked)))


main()
