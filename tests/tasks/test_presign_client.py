"""Asking the cloud: exactly one answer counts, and none is waited for for ever."""

import asyncio
import json

from firmware.presign_client import PresignClient
from firmware.upload_error import NEVER, RETRY, UploadError
from firmware.upload_messages import parse_upload_response
from harness import eq, raises_async


class Rig:
    def __init__(self, timeout_ms=1000, accepts=True):
        self.sent, self.completed = [], []
        self.lines = []
        self.accepts = accepts
        self.numbers = iter(range(100))
        self.client = PresignClient(
            self.publish,
            lambda request_id, job, more: (request_id, more) if more else request_id,
            new_request_id=lambda: "id%d" % next(self.numbers),
            timeout_ms=timeout_ms,
            log=self.lines.append,
            publish_complete=self.publish_complete,
        )

    def publish_complete(self, fields):
        self.completed.append(fields)
        return self.accepts

    def publish(self, payload):
        self.sent.append(payload)
        return self.accepts

    def answer(self, request_id, url="https://b/x", retained=False, **fields):
        fields.update({"success": True, "request_id": request_id, "upload_url": url})
        self.client.on_response("topic", json.dumps(fields).encode(), retained)

    def acknowledge(self, request_id, retained=False, **fields):
        message = {"success": True, "request_id": request_id, "verified": True}
        message.update(fields)
        self.client.on_complete_ack("topic", json.dumps(message).encode(), retained)

    async def completing(self, times=1):
        """A task that waits for the ack of "id7", once `complete` went out so often."""
        task = asyncio.create_task(self.client.complete({"request_id": "id7", "outcome": "stored"}))
        while len(self.completed) < times:
            await asyncio.sleep_ms(1)
        return task


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


async def test_fields_of_protocol_2_are_passed_on():
    rig = Rig()
    task = asyncio.create_task(rig.client.request_url(None, {"protocol": 2}))
    await asyncio.sleep_ms(0)
    rig.answer("id0")
    await task
    eq(rig.sent, [("id0", {"protocol": 2})])


async def test_a_refusal_says_when_to_come_again():
    for given, expected in ((7, 7), (1000000, 3600), (None, 0), ("soon", 0), (-1, 0), (True, 0)):
        rig = Rig()
        task = asyncio.create_task(rig.client.request_url(None))
        await asyncio.sleep_ms(0)
        refusal = {"success": False, "request_id": "id0", "error_code": "RATE_LIMITED"}
        refusal["retry_after"] = given
        rig.client.on_response("topic", json.dumps(refusal), False)
        error = await raises_async(UploadError, task)
        eq((error.code, error.retry, error.retry_after_sec), ("RATE_LIMITED", RETRY, expected))


async def test_a_cloud_cannot_suspend():
    rig = Rig()
    task = asyncio.create_task(rig.client.request_url(None))
    await asyncio.sleep_ms(0)
    refusal = {"success": False, "request_id": "id0", "error_code": "SUSPENDED"}
    rig.client.on_response("topic", json.dumps(refusal), False)
    error = await raises_async(UploadError, task)
    eq((error.code, error.retry), ("UNAUTHORIZED", NEVER))


async def test_complete_is_acknowledged():
    rig = Rig()
    task = await rig.completing()
    rig.acknowledge("id8")
    rig.acknowledge("id7", retained=True)
    rig.answer("id7")  # the answer to a request is none to this
    rig.acknowledge("id7", cloud_url="https://b/first", etag="e", size=5)
    rig.acknowledge("id7", cloud_url="https://b/second")
    ack = await task
    eq(
        (ack.is_verified, ack.cloud_url, ack.etag, ack.size_bytes),
        (True, "https://b/first", "e", 5),
    )
    eq(rig.completed, [{"request_id": "id7", "outcome": "stored"}])
    eq(rig.client._completing, {})


async def test_complete_is_said_again_when_the_ack_is_lost():
    rig = Rig(timeout_ms=90)
    task = await rig.completing(times=2)
    rig.acknowledge("id7")
    assert (await task).is_verified
    rig = Rig(timeout_ms=30)
    error = await raises_async(UploadError, await rig.completing())
    eq((error.code, error.retry, len(rig.completed)), ("NO_RESPONSE", RETRY, 3))
    eq(rig.client._completing, {})


async def test_complete_without_room():
    rig = Rig(timeout_ms=30, accepts=False)
    error = await raises_async(UploadError, await rig.completing())
    eq(error.code, "MQTT_UNAVAILABLE")


async def test_complete_is_refused():
    for given, expected in (
        ("INTEGRITY", "INTEGRITY"),
        ("NO_UPLOAD", "NO_UPLOAD"),
        ("STORE_UNAVAILABLE", "STORE_UNAVAILABLE"),
        ("BAD_REQUEST", "BAD_REQUEST"),
        ("NEWFANGLED", "BAD_RESPONSE"),
    ):
        rig = Rig()
        task = await rig.completing()
        rig.acknowledge("id7", success=False, error_code=given)
        error = await raises_async(UploadError, task)
        eq(error.code, expected)


async def test_garbage_is_no_ack():
    rig = Rig(timeout_ms=30)
    task = await rig.completing()
    for payload in (b"", b"[]", b'{"success": true}', b"x" * 9000):
        rig.client.on_complete_ack("topic", payload, False)
    rig.acknowledge("id7", size=-1)
    rig.acknowledge("id7", cloud_url=5)
    eq(len(rig.lines), 6)
    eq((await raises_async(UploadError, task)).code, "NO_RESPONSE")


def test_failures_are_reported_and_not_waited_for():
    rig = Rig()
    rig.client.report({"request_id": "id7", "outcome": "failed"})
    rig.client.report({"outcome": "aborted"})
    eq(rig.completed[0], {"request_id": "id7", "outcome": "failed"})
    eq(rig.completed[1], {"request_id": "id0", "outcome": "aborted"})
    eq((rig.client._completing, rig.lines), ({}, []))
    rig.accepts = False
    rig.client.report({"request_id": "id9", "outcome": "failed"})
    assert "id9" in rig.lines[0], rig.lines


def test_parser_and_client_agree_on_limits():
    url = "https://b/" + "x" * 2000
    payload = json.dumps({"success": True, "request_id": "r", "upload_url": url})
    eq(parse_upload_response(payload).upload_url, url)
