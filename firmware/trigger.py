"""What starts a recording, and how urgent its clip is (specification, "priority management").

Every trigger has a name for messages, a default priority and a letter. The
letter is the first of the clip's 8.3 file name, so that a clip found on the
card after a reset still tells what started it and how urgent it is.

Pure: no IO.
"""

LOW, NORMAL, HIGH, URGENT = range(4)
PRIORITY_NAMES = ("LOW", "NORMAL", "HIGH", "URGENT")

MOTION = "motion_detection"
SECURITY = "security_alert"
SCHEDULED = "scheduled_recording"
MANUAL = "manual_recording"
HISTORICAL = "historical_recording"

# (name, letter, default priority)
_TABLE = (
    (MOTION, "m", HIGH),
    (SECURITY, "s", URGENT),
    (SCHEDULED, "t", NORMAL),
    (MANUAL, "r", NORMAL),
    (HISTORICAL, "h", LOW),
)
NAMES = tuple(row[0] for row in _TABLE)

_DIGITS = 7
_SUFFIX = ".ts"


def default_priority(trigger):
    return _row(trigger)[2]


def clip_name(trigger, number):
    """The 8.3 name of clip `number`, e.g. `m0000042.ts`."""
    return "%s%07d%s" % (_row(trigger)[1], number % 10**_DIGITS, _SUFFIX)


def parse_clip_name(name):
    """`(trigger, number)` of a name made by `clip_name`, or None for a foreign one."""
    name = name.lower()
    digits = name[1 : 1 + _DIGITS]
    if len(name) != 1 + _DIGITS + len(_SUFFIX) or name[-3:] != _SUFFIX or not digits.isdigit():
        return None
    for trigger, letter, _ in _TABLE:
        if letter == name[0]:
            return trigger, int(digits)
    return None


def parse_priority(value):
    """0..3 or a name such as "URGENT" as a number; ValueError says what is allowed."""
    if isinstance(value, str) and value.upper() in PRIORITY_NAMES:
        return PRIORITY_NAMES.index(value.upper())
    if isinstance(value, int) and not isinstance(value, bool) and LOW <= value <= URGENT:
        return value
    raise ValueError("priority %r: allowed are 0..3 or %s" % (value, ", ".join(PRIORITY_NAMES)))


def _row(trigger):
    for row in _TABLE:
        if row[0] == trigger:
            return row
    raise ValueError("trigger %r: allowed are %s" % (trigger, ", ".join(NAMES)))
