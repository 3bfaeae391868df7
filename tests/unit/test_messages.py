"""Topics, cloud names, commands: the specification's, field for field, and what arrives is checked."""

import json

from firmware import messages
from harness import eq, raises
from protocol_error import ProtocolError


def test_topics():
    topics = messages.Topics("CAM_1")
    for name, topic in (
        ("upload_request", "devices/CAM_1/upload/request"),
        ("upload_response", "devices/CAM_1/upload/response"),
        ("upload_complete", "devices/CAM_1/upload/complete"),
        ("upload_complete_ack", "devices/CAM_1/upload/complete_ack"),
        ("upload_status", "devices/CAM_1/status/upload"),
        ("command", "devices/CAM_1/command"),
    ):
        eq(getattr(topics, name), topic)


def test_cloud_name():
    date = (2025, 7, 11, 14, 30, 22, 4, 192)
    eq(messages.cloud_name("CAM_1", date, "m0000042.ts"), "CAM_1/2025/07/11/143022_m0000042.ts")


def test_commands():
    command, command_id, fields = messages.parse_command('{"command": "trigger", "x": 1}')
    eq((command, command_id, fields["x"]), ("trigger", "", 1))
    for payload, fault in (
        (b"\xff\x00", "not JSON"),
        ("[" * 399, "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "command"),
        ('{"command": 5}', "command"),
        (json.dumps({"command": "x" * 33}), "command"),
        (json.dumps({"command": "x", "command_id": "x" * 65}), "command_id"),
    ):
        error = raises(ProtocolError, messages.parse_command, payload)
        assert fault in str(error), (payload[:40], error)


def test_command_responses():
    eq(
        json.loads(messages.command_response("1", "trigger")),
        {"command_id": "1", "command": "trigger", "success": True},
    )
    eq(json.loads(messages.command_response("1", "x", "no such"))["error_message"], "no such")


def test_a_message_with_too_much_in_it_is_not_parsed():
    for payload in (b"[" * 8000, b'{"a":' * 1300, b'{"command": [' + b"1," * 500 + b"1]}"):
        eq(str(raises(ProtocolError, messages.parse_command, payload)), "too many fields")
