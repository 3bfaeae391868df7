"""Asking for a URL: exactly one answer counts, and none is waited for for ever."""

import asyncio
import json

from firmware.messages import parse_upload_response
from firmware.presign_client import PresignClient
from firmware.upload_error import UploadError
from harness import eq, raises_async


class Rig:
    def __init__(self, timeout_ms=1000, accepts=True):
        self.sent = []
        self.lines = []
        self.accepts = accepts
        self.numbers = iter(range(100))
        self.client = PresignClient(
            self.publish,
            lambda request_id, job: request_id,
            new_request_id=lambda: "id%d" % next(self.numbers),
            timeout_ms=timeout_ms,
            log=self.lines.append,
        )

    def publish(self, payload):
        self.sent.append(payload)
        return self.accepts

    def answer(self, request_id, url="https://b/x", retained=False, **fields):
        fields.update({"success": True, "request_id": request_id, "upload_url": url})
        self.client.on_response("topic", json.dumps(fields).encode(), retained)


async def test_the_matching_answer_is_returned():
    rig = Rig()
    task = asyncio.create_task(rig.client.request_url(None))
    await asyncio.sleep_ms(0)
    rig.answer("id0")
    grant = await task
    eq(grant.upload_url, "https://b/x")
    eq(rig.sent, ["id0"])


async def test_foreign_late_repeated_and_retained_answers_are_nothing():
    rig = Rig()
    task = asyncio.create_task(rig.client.request_url(None))
    await asyncio.sleep_ms(0)
    rig.answer("somebody-else")
    rig.answer("id0", "https://b/retained", retained=True)
    rig.answer("id0", "https://b/first")
    rig.answer("id0", "https://b/second")
    eq((await task).upload_url, "https://b/first")
    rig.answer("id0", "https://b/late")
    eq(rig.client._waiting, {})


async def test_garbage_is_logged_and_ignored():
    rig = Rig(timeout_ms=20)
    task = asyncio.create_task(rig.client.request_url(None))
    await asyncio.sleep_ms(0)
    for payload in (b"", b"\x00\xff", b"[]", b"{}", b"x" * 9000):
        rig.client.on_response("topic", payload, False)
    eq(len(rig.lines), 5)
    eq((await raises_async(UploadError, task)).code, "NO_RESPONSE")


async def test_no_room_for_the_request():
    rig = Rig(accepts=False)
    error = await raises_async(UploadError, rig.client.request_url(None))
    eq(error.code, "MQTT_UNAVAILABLE")
    eq(rig.client._waiting, {})


async def test_refusals_keep_a_known_code():
    for given, expected in (("UNAUTHORIZED", "UNAUTHORIZED"), ("NEWFANGLED", "UNAUTHORIZED")):
        rig = Rig()
        task = asyncio.create_task(rig.client.request_url(None))
        await asyncio.sleep_ms(0)
        refusal = {"success": False, "request_id": "id0", "error_code": given}
        rig.client.on_response("topic", json.dumps(refusal), False)
        error = await raises_async(UploadError, task)
        eq(error.code, expected)
        assert given in error.message


def test_parser_and_client_agree_on_limits():
    url = "https://b/" + "x" * 2000
    payload = json.dumps({"success": True, "request_id": "r", "upload_url": url})
    eq(parse_upload_response(payload).upload_url, url)
