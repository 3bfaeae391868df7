"""config.json: the schema, its defaults, and what to say when it is wrong.

`parse(text)` returns nested dicts with every key of the schema present. All
errors are collected, and each names the key, the value and what is allowed.
The names and defaults under `upload` are the product specification's.

Pure: no IO.
"""

import json
from io import StringIO

from firmware.upload_windows import parse_window

_REQUIRED = object()


class ConfigError(Exception):
    """The configuration cannot be used; `errors` is a list of sentences."""

    def __init__(self, errors):
        super().__init__("; ".join(errors))
        self.errors = errors


class _Text:
    """A string of `low`..`high` characters, optionally from a character set."""

    def __init__(self, low, high, characters=None):
        self.low, self.high, self.characters = low, high, characters

    def accepts(self, value):
        if not isinstance(value, str) or not self.low <= len(value) <= self.high:
            return False
        return self.characters is None or all(c in self.characters for c in value)

    def __str__(self):
        text = "text of %d..%d characters" % (self.low, self.high)
        return text if self.characters is None else text + " out of " + _ID_CHARACTERS_SHOWN


class _Whole:
    """A whole number in a range."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def accepts(self, value):
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def __str__(self):
        return "a whole number from %d to %d" % (self.low, self.high)


class _Flag:
    def accepts(self, value):
        return isinstance(value, bool)

    def __str__(self):
        return "true or false"


class _OneOf:
    def __init__(self, *values):
        self.values = values

    def accepts(self, value):
        return value in self.values

    def __str__(self):
        return "one of " + ", ".join('"%s"' % v for v in self.values)


class _TextList:
    """A list of at most `most` strings of 1..`high` characters."""

    def __init__(self, most, high):
        self.most, self.high = most, high

    def accepts(self, value):
        if not isinstance(value, list) or len(value) > self.most:
            return False
        return all(isinstance(text, str) and 1 <= len(text) <= self.high for text in value)

    def __str__(self):
        return "a list of at most %d texts of 1..%d characters" % (self.most, self.high)


_ID_CHARACTERS_SHOWN = "A-Z a-z 0-9 _ -"
_ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

# (section, key, what is allowed, default); section "" is the top level.
SCHEMA = (
    ("", "device_id", _Text(1, 64, _ID_CHARACTERS), _REQUIRED),
    ("network", "interface", _OneOf("lan", "wlan"), "lan"),
    ("network", "ssid", _Text(0, 32), ""),
    ("network", "password", _Text(0, 63), ""),
    ("time", "ntp_host", _Text(0, 253), "pool.ntp.org"),
    ("time", "utc_offset_min", _Whole(-720, 840), 0),
    ("mqtt", "host", _Text(1, 253), _REQUIRED),
    ("mqtt", "port", _Whole(1, 65535), 1883),
    ("mqtt", "user", _Text(0, 256), ""),
    ("mqtt", "password", _Text(0, 256), ""),
    ("mqtt", "keepalive_sec", _Whole(2, 3600), 30),
    ("source", "type", _OneOf("replay"), "replay"),
    ("source", "path", _Text(1, 255), _REQUIRED),
    ("source", "fps", _Whole(1, 120), 30),
    ("source", "pace", _OneOf("realtime", "fast"), "realtime"),
    ("source", "loop", _Flag(), True),
    ("source", "largest_unit_kb", _Whole(16, 2048), 128),
    ("motion", "pir_gpio", _Whole(-1, 54), -1),
    ("motion", "pir_active_level", _Whole(0, 1), 1),
    ("motion", "hold_off_ms", _Whole(0, 60000), 100),
    ("motion", "post_roll_sec", _Whole(0, 3600), 10),
    ("motion", "cool_down_sec", _Whole(0, 3600), 0),
    ("recorder", "max_clip_sec", _Whole(1, 3600), 120),
    ("upload", "enable_cloud_upload", _Flag(), True),
    ("upload", "auto_upload_new_recordings", _Flag(), True),
    ("upload", "auto_upload_motion_recordings", _Flag(), True),
    ("upload", "delete_after_upload", _Flag(), True),
    ("upload", "max_concurrent_uploads", _Whole(1, 4), 2),
    ("upload", "upload_delay_sec", _Whole(0, 86400), 30),
    ("upload", "upload_timeout_sec", _Whole(1, 86400), 300),
    ("upload", "idle_timeout_sec", _Whole(1, 3600), 30),
    ("upload", "request_timeout_sec", _Whole(1, 3600), 30),
    ("upload", "retry_max_attempts", _Whole(1, 1000), 3),
    ("upload", "retry_delay_sec", _Whole(0, 86400), 60),
    ("upload", "allow_insecure_upload", _Flag(), False),
    ("upload", "ca_file", _Text(0, 255), ""),
    ("upload", "allowed_hosts", _TextList(8, 253), ()),
    ("upload", "bandwidth_limit_kbps", _Whole(0, 1000000), 0),
    ("upload", "low_window", _Text(0, 11), ""),
    ("upload", "normal_window", _Text(0, 11), ""),
    ("upload", "multipart_threshold_kb", _Whole(64, 2097151), 16384),
    ("upload", "live_upload", _Flag(), False),
    ("upload", "compress", _OneOf("none", "gzip"), "none"),
    ("system", "watchdog_sec", _Whole(0, 3600), 30),
)


def parse(text):
    """The configuration in `text` (JSON); ConfigError lists everything wrong with it."""
    given = _load(text)
    errors = []
    known = _sections()
    for key in sorted(given):
        _check_known(key, given[key], known, errors)
    config = {}
    for section, key, allowed, default in SCHEMA:
        holder = config.setdefault(section, {}) if section else config
        source = given.get(section, {}) if section else given
        value = source.get(key, default) if isinstance(source, dict) else default
        name = section + "." + key if section else key
        if value is _REQUIRED:
            errors.append("%s is missing: give %s" % (name, allowed))
        elif value is not default and not allowed.accepts(value):
            errors.append("%s is %s: allowed is %s" % (name, _show(key, value), allowed))
        holder[key] = value
    if not errors:
        _check_together(config, errors)
    if errors:
        raise ConfigError(errors)
    return config


def _load(text):
    stream = StringIO(text)
    try:
        given = json.load(stream)
    except ValueError as error:
        # MicroPython's parser reads one character at a time and stops at the
        # wrong one; CPython's reads everything and tells the position itself.
        position = getattr(error, "pos", None)
        if position is None:
            position = stream.tell()
        line = text[:position].count("\n") + 1
        raise ConfigError(["not valid JSON near line %d" % line])
    if not isinstance(given, dict):
        raise ConfigError(["the file must hold one JSON object: { ... }"])
    return given


def _sections():
    known = {"": []}
    for section, key, _, _ in SCHEMA:
        if section and section not in known:
            known[section] = []
            known[""].append(section)
        known[section].append(key)
    return known


def _check_known(key, value, known, errors):
    if key in known and key:
        if not isinstance(value, dict):
            errors.append("%s is %s: allowed is an object { ... }" % (key, json.dumps(value)))
            return
        for inner in sorted(value):
            if inner not in known[key]:
                _unknown(key + "." + inner, known[key], errors)
    elif key not in known[""]:
        _unknown(key, known[""], errors)


def _unknown(name, allowed, errors):
    errors.append("%s is not a known key: allowed are %s" % (name, ", ".join(allowed)))


def _show(key, value):
    return "wrong" if key == "password" else json.dumps(value)


def _check_together(config, errors):
    if config["network"]["interface"] == "wlan" and not config["network"]["ssid"]:
        errors.append("network.ssid is missing: wlan needs the name of the network")
    upload = config["upload"]
    for key in ("low_window", "normal_window"):
        try:
            parse_window(upload[key])
        except ValueError as error:
            errors.append("upload.%s is %s: %s" % (key, json.dumps(upload[key]), error))
    if not upload["allow_insecure_upload"] and not upload["ca_file"]:
        errors.append(
            "upload.ca_file is missing: give the path on the card of the store's CA"
            " certificate (DER), or set upload.allow_insecure_upload for a store on the LAN"
        )
