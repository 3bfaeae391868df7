"""Asks the cloud about uploads over MQTT: for URLs, and whether what was sent is there.

Answers are matched by `request_id`; whatever is late, foreign, retained,
oversized or a repetition finds nobody waiting and is dropped, so any number of
answers makes at most one upload.
"""

import asyncio

from micropython import const

from firmware.upload_error import CLASSES, SUSPEND, UploadError
from firmware.upload_messages import Refusal, parse_complete_ack, parse_upload_response
from protocol_error import ProtocolError

_MOST_BYTES = const(8192)
_LONGEST_WAIT_SEC = const(3600)
_COMPLETES = const(3)  # within the time for one answer: it may be lost, to ask again is harmless
_LINK_CHECK_MS = const(250)


class PresignClient:
    def __init__(
        self,
        publish,
        make_request,
        *,
        new_request_id,
        timeout_ms,
        log,
        publish_complete=None,
        is_up=lambda: True,
    ):
        """`publish(payload) -> bool` sends a request, `make_request(request_id, job, more)` builds it.

        `publish_complete(fields) -> bool` sends what says how an upload ended. While not
        is_up(), nothing is sent and no time passes: without the link no upload goes on.
        """
        self._publish = publish
        self._make_request = make_request
        self._new_request_id = new_request_id
        self._timeout_ms = timeout_ms
        self._log = log
        self._publish_complete = publish_complete
        self._is_up = is_up
        self._waiting = {}
        self._completing = {}

    async def request_url(self, job, more=None):
        """A Grant for the job; UploadError if the cloud refuses or does not answer.

        `more` are the request's fields of protocol 2.
        """
        request_id = self._new_request_id()
        answer = self._waiting[request_id] = _Answer()
        try:
            request = self._make_request(request_id, job, more)
            await self._ask(answer, lambda: self._publish(request), 1, "no upload URL")
        finally:
            del self._waiting[request_id]
        return _granted(answer.value, "UNAUTHORIZED")

    async def complete(self, fields):
        """Say that an upload is stored; the cloud's CompleteAck, or UploadError."""
        request_id = fields["request_id"]
        answer = self._completing[request_id] = _Answer()
        try:
            await self._ask(
                answer,
                lambda: self._publish_complete(fields),
                _COMPLETES,
                "completion not confirmed",
            )
        finally:
            del self._completing[request_id]
        return _granted(answer.value, "BAD_RESPONSE")

    def report(self, fields):
        """Say that an upload failed or was given up; nobody waits for the answer."""
        if "request_id" not in fields:
            fields["request_id"] = self._new_request_id()
        if not self._publish_complete(fields):
            self._log("no room to report the end of an upload: %s" % fields["request_id"])

    def on_response(self, topic, payload, retained):
        """Handler of the response topic."""
        self._take(self._waiting, parse_upload_response, payload, retained)

    def on_complete_ack(self, topic, payload, retained):
        """Handler of the topic that answers `complete`."""
        self._take(self._completing, parse_complete_ack, payload, retained)

    def _take(self, waiting, parse, payload, retained):
        if retained or len(payload) > _MOST_BYTES:
            return self._log("upload response ignored: retained or too long")
        try:
            value = parse(payload)
        except ProtocolError as error:
            return self._log("upload response ignored: %s" % error)
        answer = waiting.get(value.request_id)
        if answer is not None and answer.value is None:
            answer.value = value
            answer.event.set()

    async def _ask(self, answer, send, times, failure):
        """Send so many times until there is an answer; UploadError without one."""
        timeout_ms, was_sent = self._timeout_ms // times, False
        while times:
            while not self._is_up():
                await asyncio.sleep_ms(_LINK_CHECK_MS)
            was_sent = send() or was_sent
            if await answer.comes_within(timeout_ms):
                return
            times -= self._is_up()  # what the link lost is asked again when it is back
        if not was_sent:
            raise UploadError("MQTT_UNAVAILABLE", "message cannot be queued")
        seconds = self._timeout_ms // 1000
        raise UploadError("NO_RESPONSE", "%s within %d seconds" % (failure, seconds))


class _Answer:
    def __init__(self):
        self.event = asyncio.Event()
        self.value = None

    async def comes_within(self, timeout_ms):
        try:
            await asyncio.wait_for_ms(self.event.wait(), timeout_ms)
        except asyncio.TimeoutError:
            return self.value is not None
        return True


def _granted(value, unknown_code):
    """The answer, if it is no refusal; a refusal with a code of its own counts as `unknown_code`."""
    if not isinstance(value, Refusal):
        return value
    is_known = CLASSES.get(value.error_code, SUSPEND) != SUSPEND
    raise UploadError(
        value.error_code if is_known else unknown_code,
        "cloud refused: %s %s" % (value.error_code, value.error_message),
        None,
        min(value.retry_after, _LONGEST_WAIT_SEC),
    )
