"""What happens to a camera: days with several clips, and the start after a cut.

The times are those of the stand-in clock, in milliseconds since power on.
"""

import asyncio
import json
import time

import vfs
from life import DEVICE_ID
from ramcard import Card
from watched import ROOT
from wire import BUSY, MUTE, RESET

DAY_PACE = 100  # bytes a millisecond: uploads go on while the next clip is recorded
# By HTTP request: refused once, cut in mid-body once, one answer lost after the object was stored.
DAY_TROUBLES = (BUSY, None, RESET, MUTE)

_CONFIG = {
    "device_id": DEVICE_ID,
    "time": {"ntp_host": ""},
    "mqtt": {"host": "broker.test"},
    "source": {"path": ROOT + "/config.json", "fps": 25},
    "motion": {"post_roll_sec": 0, "hold_off_ms": 40},
    "recorder": {"max_clip_sec": 1, "pre_roll_kb": 0},
    "retention": {"reserve_mb": 1},  # the smallest card has 40
    "upload": {
        "upload_delay_sec": 0,
        "retry_delay_sec": 1,
        "allow_insecure_upload": True,
        "multipart_threshold_kb": 64,
    },
    "system": {"watchdog_sec": 0},
}

_CHECK_MS = 50
_LONGEST_MS = 20000
_KEEPING_MS = 6000  # time enough to deliver everything twice
LIVE = {"upload": {"live_upload": True}, "recorder": {"max_clip_sec": 5}}
KEEPING = {"upload": {"delete_after_upload": False}}
# Boots begin four seconds before an hour: these are the second's and the fourth's.
RECORDING = {
    "recorder": {
        "max_clip_sec": 5,
        "pre_roll_sec": 1,
        "pre_roll_kb": 48,
        "schedule": ["09:00-09:30", "11:00-11:30"],
    },
}


def format_card(image, changes):
    """Put the configuration on a fresh card, in the image itself; `changes`: sections, keys, values."""
    config = {}
    for section, value in _CONFIG.items():
        config[section] = dict(value) if isinstance(value, dict) else value
    for section, keys in changes.items():
        config[section].update(keys)
    card = Card(image, image.sectors)
    vfs.mount(vfs.VfsFat(card), ROOT)
    with open(ROOT + "/config.json", "w") as file:
        json.dump(config, file)
    vfs.umount(ROOT)
    card.is_on = False


async def first_start(boot):
    """The camera makes what it needs on a card that has nothing but its configuration."""
    await _until(100)


async def day(boot):
    """A clip by motion, one by command, a motion that is split in two; the power goes in the next."""
    await _until(100)
    await _motion(boot, 900)
    await _until(1500)
    _urgent(boot)
    await _until(3000)
    await _motion(boot, 1700)
    await _until(5600)
    await _motion(boot, 1450)


async def live_day(boot):
    """A long clip goes out while it is recorded and gives way to an urgent one; so does the next."""
    await _until(100)
    await _motion(boot, 2900)
    await _until(3300)
    _urgent(boot)
    await _until(4900)
    await _motion(boot, 2500)


async def recording_day(boot):
    """A clip with what came before it, raised by a command, then ended; a long one by the clock, split
    for its length; a motion in it, cut out as a clip of its own; the power goes in what follows.
    """
    await _until(1300)
    boot.sees_motion = True
    await _until(2000)
    _urgent(boot)
    await _until(2400)
    boot.sees_motion = False
    await _until(8800)
    await _motion(boot, 700)
    await _until(12400)


async def recovery(boot):
    """A short clip is recorded as ever, and all that is on the card is delivered."""
    await _until(100)
    await _motion(boot, 700)
    while time.elapsed_ms() < _LONGEST_MS:
        await asyncio.sleep_ms(_CHECK_MS)
        if is_done(boot) or boot.refusal:
            return


async def keeping_recovery(boot):
    """The same where delivered clips stay on the card."""
    await _until(100)
    await _motion(boot, 700)
    await _until(_KEEPING_MS)


def is_done(boot):
    is_recorded = boot.made and boot.made[-1].is_promised
    return is_recorded and boot.fat and boot.fat.names() == []


async def _motion(boot, for_ms):
    boot.sees_motion = True
    await asyncio.sleep_ms(for_ms)
    boot.sees_motion = False


def _urgent(boot):
    """Somebody commands an urgent clip of a second, if the camera is there to hear it."""
    fields = {"command": "trigger", "trigger": "security_alert", "priority": "URGENT"}
    fields.update({"command_id": "1", "duration_sec": 1})
    if boot.link:
        boot.link.send("devices/%s/command" % DEVICE_ID, json.dumps(fields).encode())


async def _until(at_ms):
    await asyncio.sleep_ms(at_ms - time.elapsed_ms())
