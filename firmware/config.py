"""config.json: the schema, its defaults, and what to say when it is wrong.

`parse(text)` returns nested dicts with every key of the schema present. All
errors are collected, and each names the key, the value and what is allowed.
The names and defaults under `upload` are the product specification's.

Pure: no IO.
"""

import json
from io import StringIO

from firmware.config_kinds import ID_CHARACTERS, Flag, OneOf, Text, TextList, Whole
from firmware.upload_windows import parse_window

_REQUIRED = object()


class ConfigError(Exception):
    """The configuration cannot be used; `errors` is a list of sentences."""

    def __init__(self, errors):
        super().__init__("; ".join(errors))
        self.errors = errors


# (section, key, what is allowed, default); section "" is the top level.
SCHEMA = (
    ("", "device_id", Text(1, 64, ID_CHARACTERS), _REQUIRED),
    ("network", "interface", OneOf("lan", "wlan"), "lan"),
    ("network", "ssid", Text(0, 32), ""),
    ("network", "password", Text(0, 63), ""),
    ("time", "ntp_host", Text(0, 253), "pool.ntp.org"),
    ("time", "utc_offset_min", Whole(-720, 840), 0),
    ("mqtt", "host", Text(1, 253), _REQUIRED),
    ("mqtt", "port", Whole(1, 65535), 1883),
    ("mqtt", "user", Text(0, 256), ""),
    ("mqtt", "password", Text(0, 256), ""),
    ("mqtt", "keepalive_sec", Whole(2, 3600), 30),
    ("source", "type", OneOf("replay", "rtsp", "esp_vision", "pydevices"), "replay"),
    ("source", "path", Text(0, 255), ""),
    ("source", "pace", OneOf("realtime", "fast"), "realtime"),
    ("source", "loop", Flag(), True),
    ("source", "url", Text(0, 255), ""),
    ("source", "user", Text(0, 64), ""),
    ("source", "password", Text(0, 64), ""),
    ("source", "fps", Whole(1, 120), 30),
    ("source", "width", Whole(16, 1920), 640),
    ("source", "height", Whole(16, 1088), 480),
    ("source", "bitrate_kbps", Whole(64, 20000), 2000),
    ("source", "gop_sec", Whole(1, 10), 1),
    ("source", "sda_gpio", Whole(-1, 54), 7),
    ("source", "scl_gpio", Whole(-1, 54), 8),
    ("source", "largest_unit_kb", Whole(16, 2048), 128),
    ("source", "stall_sec", Whole(1, 300), 10),
    ("motion", "pir_gpio", Whole(-1, 54), -1),
    ("motion", "pir_active_level", Whole(0, 1), 1),
    ("motion", "debounce_ms", Whole(0, 1000), 50),
    ("motion", "detect", OneOf("none", "size", "luma"), "none"),
    ("motion", "sensitivity", Whole(1, 100), 50),
    ("motion", "zones", TextList(18, 32), ()),
    ("motion", "hold_off_ms", Whole(0, 60000), 100),
    ("motion", "post_roll_sec", Whole(0, 3600), 10),
    ("motion", "cool_down_sec", Whole(0, 3600), 0),
    ("recorder", "mode", OneOf("event", "continuous"), "event"),
    ("recorder", "schedule", TextList(8, 11), ()),
    ("recorder", "pre_roll_sec", Whole(0, 60), 5),
    ("recorder", "pre_roll_kb", Whole(0, 16384), 3072),
    ("recorder", "max_clip_sec", Whole(1, 3600), 120),
    ("retention", "reserve_mb", Whole(1, 1048576), 64),
    ("retention", "quota_mb", Whole(0, 1048576), 0),
    ("retention", "max_age_days", Whole(0, 3650), 0),
    ("upload", "enable_cloud_upload", Flag(), True),
    ("upload", "auto_upload_new_recordings", Flag(), True),
    ("upload", "auto_upload_motion_recordings", Flag(), True),
    ("upload", "delete_after_upload", Flag(), True),
    ("upload", "max_concurrent_uploads", Whole(1, 4), 2),
    ("upload", "upload_delay_sec", Whole(0, 86400), 30),
    ("upload", "upload_timeout_sec", Whole(1, 86400), 300),
    ("upload", "idle_timeout_sec", Whole(1, 3600), 30),
    ("upload", "request_timeout_sec", Whole(1, 3600), 30),
    ("upload", "retry_max_attempts", Whole(1, 1000), 3),
    ("upload", "retry_delay_sec", Whole(0, 86400), 60),
    ("upload", "allow_insecure_upload", Flag(), False),
    ("upload", "ca_file", Text(0, 255), ""),
    ("upload", "allowed_hosts", TextList(8, 253), ()),
    ("upload", "bandwidth_limit_kbps", Whole(0, 1000000), 0),
    ("upload", "low_window", Text(0, 11), ""),
    ("upload", "normal_window", Text(0, 11), ""),
    ("upload", "multipart_threshold_kb", Whole(64, 2097151), 16384),
    ("upload", "live_upload", Flag(), False),
    ("upload", "compress", OneOf("none", "gzip"), "none"),
    ("system", "watchdog_sec", Whole(0, 3600), 30),
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
            value = default
        holder[key] = value
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
            errors.append("%s is wrong: allowed is an object { ... }" % key)
            return
        for inner in sorted(value):
            if inner not in known[key]:
                _unknown(key + "." + inner, known[key], errors)
    elif key not in known[""]:
        _unknown(key, known[""], errors)


def _unknown(name, allowed, errors):
    errors.append("%s is not a known key: allowed are %s" % (name, ", ".join(allowed)))


def _show(key, value):
    # A URL may hold a password, too.
    return "wrong" if key in ("password", "url") else json.dumps(value)


def _check_together(config, errors):
    if config["network"]["interface"] == "wlan" and not config["network"]["ssid"]:
        errors.append("network.ssid is missing: wlan needs the name of the network")
    _check_source(config["source"], config["motion"], errors)
    for number, text in enumerate(config["recorder"]["schedule"]):
        _check_window("recorder.schedule[%d]" % number, text, errors)
    upload = config["upload"]
    for key in ("low_window", "normal_window"):
        _check_window("upload." + key, upload[key], errors)
    if not upload["allow_insecure_upload"] and not upload["ca_file"]:
        errors.append(
            "upload.ca_file is missing: give the path on the card of the store's CA"
            " certificate (DER), or set upload.allow_insecure_upload for a store on the LAN"
        )


def _check_source(source, motion, errors):
    kind = source["type"]
    if kind == "replay" and not source["path"]:
        errors.append("source.path is missing: replay needs an H.264 file on the card")
    if kind == "rtsp":
        from rtsp import parse_rtsp_url

        try:
            parse_rtsp_url(source["url"])
        except ValueError as error:
            errors.append("source.url: %s" % error)
    if motion["detect"] == "luma":
        if kind in ("replay", "rtsp"):
            errors.append(
                'motion.detect is "luma": source.type "%s" gives no pixels; allowed is "size"'
                % kind
            )
        from luma_motion import parse_zones

        try:
            parse_zones(motion["zones"])
        except ValueError as error:
            errors.append("motion.zones: %s" % error)


def _check_window(name, text, errors):
    try:
        parse_window(text)
    except ValueError as error:
        errors.append("%s is %s: %s" % (name, json.dumps(text), error))
