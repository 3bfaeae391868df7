"""One life of the camera, from power on to the end of its script: the product's own parts on a fake board.

Only what touches the world is replaced: clock, card, broker, network, picture.
"""

import asyncio
import io
import random
import sys
import time
from asyncio import core

import film
import vfs
from board_standin import Board
from cloud import Service, Store
from history import CLIP, PROMISED, STARTED, STORE, Facts
from ramcard import Card
from watched import ROOT, WatchedFat
from wire import Dialer, Link

import firmware.app as app
import firmware.recording as recording
import firmware.uploads as uploads
from firmware.sd_recorder import SdRecorder
from removable_card import RemovableCard

DEVICE_ID = "CAM1"
# Places of the journal: the product has more, and reads all at every start, but blank ones are alike.
_JOBS = 128


class _IdleIsTime(core.IOQueue):
    """In place of waiting: nobody is ready, so the clock goes on."""

    def wait_io_event(self, dt):
        if dt > 0:
            time.advance(dt)


core.IOQueue = _IdleIsTime


class Boot:
    """`number` tells boots of one history apart.

    `trouble` is the card's, `troubles` are the store's by request; it takes `pace` bytes a
    millisecond (None: any number), and the broker answers from `link_up_ms` on. The camera sees
    `film_of(number)`.
    """

    def __init__(
        self,
        image,
        world,
        number,
        history=None,
        trouble=None,
        troubles=(),
        pace=None,
        link_up_ms=5,
        film_of=film.film,
    ):
        self.number = number
        self.history = history
        self.faults = []  # (kind, text)
        self.deleted_damaged = 0
        self.reports = []  # events published
        self.camera = self.link = None
        self.refusal = self._complaint = None  # why it did not start; why it waits
        self.clips = {clip.path: clip for clip in world.clips}
        self._begun = {}  # by path: what is known of a clip whose file is not there yet
        self.made = []  # clips of this boot
        self.own = world.sectors.copy()
        self.card = Card(image, self.own, history, trouble)
        self.store = Store(world.store_ops, self._stored)
        self.service = Service(self.store, time.time, self._new_id)
        self.fat = None
        self.sees_motion = False
        self._troubles = troubles
        self.pace = pace
        self.link_up_ms = link_up_ms
        self._film_of = film_of
        self._requests = self._ids = 0

    def run(self, script):
        """Run the camera until `await script(boot)` ends, then cut its power."""
        self.units = self._film_of(
            self.number
        )  # made before it is wanted: it may have a seed of its own
        random.seed(self.number)
        time.restart(self.number)
        asyncio.new_event_loop()
        _current[0] = self
        try:
            asyncio.run(self._live(script))
        except Exception as error:
            self.blame("crashes", _traceback(error))
        finally:
            self.card.is_on = False
            if self.camera is None:
                self.refusal = self._complaint
            self.leave_card()
            _current[0] = None

    async def _live(self, script):
        camera = asyncio.create_task(self._keep())
        await script(self)
        if camera.done():
            await camera

    async def _keep(self):
        await app.main(Board(self))
        self.refusal = self._complaint

    # What the world sees

    def note(self, *event):
        kind, clip = event[0], event[1]
        if self.history:
            self.history.note(*event)
        if kind == CLIP:
            self.made.append(clip)
            clip.facts = self._begun.pop(clip.path, None)
            if clip.facts and self.history:
                self.history.note(STARTED, clip, clip.facts)

    def _stored(self, *op):
        if self.history:
            self.history.note(STORE, *op)

    def heard(self, topic, payload):
        if "/status/" in topic:
            self.reports.append(payload)

    def blame(self, kind, text):
        self.faults.append((kind, text))

    def log(self, text, error=None):
        if error is not None and text.endswith(" died"):
            self.blame("deaths", text + "\n" + _traceback(error))
        if text.startswith("camera not started"):
            self._complaint = text
        if verbose[0]:
            print("%6d %s" % (time.elapsed_ms(), text), "" if error is None else repr(error))

    def command(self, **fields):
        """What somebody sends the camera."""
        self.link.send(self.camera.topics.command, app.messages.json.dumps(fields).encode())

    def next_trouble(self):
        """What befalls the next request to the store."""
        number, self._requests = self._requests, self._requests + 1
        return self._troubles[number] if number < len(self._troubles) else None

    def begin(self, path, trigger, priority):
        """The camera has said that this recording begins."""
        self._begun[path[len(ROOT) :]] = Facts([_name(path, time.time())], [(trigger, priority)])

    def raise_to(self, path, kinds):
        """It is one of these kinds now."""
        mine = self.clips[path[len(ROOT) :]]
        mine.facts = Facts(mine.facts.names, kinds)
        self.note(STARTED, mine, mine.facts)

    def promise(self, clip):
        """The camera has said that this clip is its own to deliver."""
        mine = self.clips[clip.path[len(ROOT) :]]
        # What began before it was asked for; while it was recorded, that was not said yet.
        mine.facts.names.append(_name(clip.path, clip.started_unix))
        mine.promise()
        self.note(PROMISED, mine)

    # What the board does with its card

    def mount_card(self):
        self.leave_card()
        self.device = RemovableCard(self.card)
        fat = WatchedFat(vfs.VfsFat(self.device), self)
        vfs.mount(fat, ROOT)
        self.fat = fat

    def leave_card(self):
        if self.fat:
            vfs.umount(ROOT)
            self.device.cut()
            self.fat = None

    def _new_id(self):
        self._ids += 1
        return "%d-%d" % (self.number, self._ids)


_current = [None]
verbose = [False]


def _name(path, unix_sec):
    """What a file that began then is called in the store."""
    when, file_name = time.gmtime(unix_sec), path.rsplit("/", 1)[-1]
    return app.messages.cloud_name(DEVICE_ID, when, file_name)


def _traceback(error):
    text = io.StringIO()
    sys.print_exception(error, text)
    return text.getvalue()


class _Camera(app.Camera):
    def __init__(self, board, config):
        super().__init__(board, config)
        _current[0].camera = self
        self.topics = self._topics


def _recorder(source, *, on_started, on_raised, on_clip, **named):
    """The product's, with somebody listening to what it says of clips, after the camera did."""
    boot, last = _current[0], [None]

    def started(path, trigger, priority):
        on_started(path, trigger, priority)
        last[0] = trigger, priority
        boot.begin(path, trigger, priority)

    def raised(path, trigger, priority):
        boot.raise_to(path, [last[0], (trigger, priority)])
        on_raised(path, trigger, priority)
        last[0] = trigger, priority
        boot.raise_to(path, [last[0]])

    def done(clip):
        on_clip(clip)
        boot.promise(clip)

    return SdRecorder(source, on_started=started, on_raised=raised, on_clip=done, **named)


def _link(open_stream, codec, *, on_up, **_):
    link = _current[0].link = Link(_current[0], on_up)
    return link


def _source(*_, **__):
    return film.FilmSource(_current[0].units)


def _with_few(kind, name):
    """A class with that argument cut down to _JOBS."""

    def made(*args, **named):
        named[name] = _JOBS
        return kind(*args, **named)

    return made


class _NoCollecting:
    """In place of `gc` for the app: memory is not what is tried here, and collecting takes half the time."""

    collect = staticmethod(lambda: None)
    threshold = staticmethod(lambda size_bytes: None)
    mem_free = staticmethod(lambda: 0)


app.gc = _NoCollecting
uploads.SlotJournal = _with_few(uploads.SlotJournal, "slots")
uploads.UploadQueue = _with_few(uploads.UploadQueue, "most")
app.Camera = _Camera
app.MqttLink = _link
app.Dialer = lambda dns_servers: Dialer(_current[0])
recording.frame_source = _source
recording.SdRecorder = _recorder
app.log = lambda text, error=None: _current[0].log(text, error)
