"""config.json: defaults, and every wrong key named with what is allowed."""

import json

from firmware.config import SCHEMA, ConfigError, parse
from harness import eq, raises


def minimal(**sections):
    given = {
        "device_id": "CAM_001",
        "mqtt": {"host": "broker"},
        "source": {"path": "/sdcard/footage.h264"},
        "upload": {"ca_file": "/sdcard/ca.der"},
    }
    for name in sections:
        if isinstance(sections[name], dict):
            merged = dict(given.get(name, {}))
            merged.update(sections[name])
            given[name] = merged
        else:
            given[name] = sections[name]
    return json.dumps(given)


def errors_of(text):
    return raises(ConfigError, parse, text).errors


def test_specified_defaults():
    upload = parse(minimal())["upload"]
    for key, value in (
        ("auto_upload_new_recordings", True),
        ("delete_after_upload", True),
        ("max_concurrent_uploads", 2),
        ("upload_timeout_sec", 300),
        ("retry_max_attempts", 3),
        ("retry_delay_sec", 60),
        ("upload_delay_sec", 30),
    ):
        eq(upload[key], value, key)


def test_given_values_win():
    config = parse(minimal(mqtt={"port": 18883}, upload={"retry_delay_sec": 0}))
    eq(config["mqtt"]["port"], 18883)
    eq(config["upload"]["retry_delay_sec"], 0)


def test_every_key_refuses_a_wrong_type():
    for section, key, allowed, _ in SCHEMA:
        text = minimal(**({section: {key: [1]}} if section else {key: [1]}))
        name = section + "." + key if section else key
        shown = "wrong" if key in ("password", "url") else "[1]"
        assert "%s is %s: allowed is %s" % (name, shown, allowed) in errors_of(text), name


def test_all_errors_are_reported():
    found = errors_of(minimal(mqtt={"port": 0}, upload={"max_concurrent_uploads": 9}))
    eq(
        sorted(found),
        [
            "mqtt.port is 0: allowed is a whole number from 1 to 65535",
            "upload.max_concurrent_uploads is 9: allowed is a whole number from 1 to 4",
        ],
    )


def test_true_is_not_a_number():
    assert "mqtt.port is true" in errors_of(minimal(mqtt={"port": True}))[0]


def test_unknown_keys_are_named_with_the_known_ones():
    found = errors_of(minimal(mqtt={"hots": "x"}, uplaod={}))
    assert found[0].startswith("mqtt.hots is not a known key: allowed are host, port"), found
    assert found[1].startswith("uplaod is not a known key: allowed are device_id"), found


def test_missing_required_keys():
    found = errors_of("{}")
    assert "mqtt.host is missing: give text of 1..253 characters" in found, found


def test_secrets_are_not_shown():
    camera = "rtsp://admin:1234567@10.0.0.7/"
    for sections in (
        {"mqtt": {"password": 1234567}},
        {"source": {"type": "rtsp", "url": camera}},
        {"source": {"type": "rtsp", "url": camera + "x" * 255}},
        {"source": {"type": "rtsp", "url": [camera]}},
        {"source": camera},
        {"mqtt": [{"host": "broker", "password": "1234567"}]},
    ):
        found = errors_of(minimal(**sections))
        assert found and "1234567" not in "".join(found), found


def test_device_id_cannot_leave_its_topics():
    for bad in ("a/b", "+", "#", "", "ä"):
        assert errors_of(minimal(device_id=bad))[0].startswith("device_id is "), bad


def test_broken_json_names_the_line():
    found = errors_of('{\n "device_id": "x",\n "mqtt": {host: 1},\n}')
    eq(found, ["not valid JSON near line 3"])


def test_other_json_values():
    eq(errors_of("[]"), ["the file must hold one JSON object: { ... }"])
    eq(
        errors_of(minimal(mqtt=5))[0],
        "mqtt is wrong: allowed is an object { ... }",
    )


def test_plain_http_needs_a_word():
    assert errors_of(minimal(upload={"ca_file": ""}))[0].startswith("upload.ca_file is missing")
    parse(minimal(upload={"ca_file": "", "allow_insecure_upload": True}))


def test_wlan_needs_a_network_name():
    assert errors_of(minimal(network={"interface": "wlan"}))[0].startswith("network.ssid")


def test_what_only_some_sources_need():
    eq(
        errors_of(minimal(source={"path": ""})),
        ["source.path is missing: replay needs an H.264 file on the card"],
    )
    assert errors_of(minimal(source={"type": "rtsp"}))[0].startswith("source.url: ")
    url = "rtsp://10.0.0.7:8554/stream"
    eq(parse(minimal(source={"type": "rtsp", "url": url}))["source"]["url"], url)


def test_pixels_come_from_cameras_only():
    found = errors_of(minimal(motion={"detect": "luma"}))
    assert found[0].startswith('motion.detect is "luma": source.type "replay" gives no'), found
    parse(minimal(motion={"detect": "luma"}, source={"type": "esp_vision"}))


def test_zones_and_schedule_say_where_they_are_wrong():
    camera = {"type": "esp_vision"}
    found = errors_of(minimal(motion={"detect": "luma", "zones": ["#?"]}, source=camera))
    assert found[0].startswith("motion.zones: "), found
    found = errors_of(minimal(recorder={"schedule": ["08:00-12:00", "25:00-26:00"]}))
    assert found[0].startswith('recorder.schedule[1] is "25:00-26:00": allowed are'), found
