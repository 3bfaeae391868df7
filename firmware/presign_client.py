"""Asks the cloud for upload URLs over MQTT: one request, one matching answer.

Answers are matched by `request_id`; whatever is late, foreign, retained,
oversized or a repetition finds nobody waiting and is dropped, so any number of
answers makes at most one upload.
"""

import asyncio

from micropython import const

from firmware.messages import Refusal, parse_upload_response
from firmware.upload_error import CLASSES, UploadError
from protocol_error import ProtocolError

_MOST_BYTES = const(8192)


class PresignClient:
    def __init__(self, publish, make_request, *, new_request_id, timeout_ms, log):
        """`publish(payload) -> bool` sends a request, `make_request(request_id, job)` builds it."""
        self._publish = publish
        self._make_request = make_request
        self._new_request_id = new_request_id
        self._timeout_ms = timeout_ms
        self._log = log
        self._waiting = {}

    async def request_url(self, job):
        """A Grant for the job; UploadError if the cloud refuses or does not answer."""
        request_id = self._new_request_id()
        answer = self._waiting[request_id] = _Answer()
        try:
            if not self._publish(self._make_request(request_id, job)):
                raise UploadError("MQTT_UNAVAILABLE", "request cannot be queued")
            return await self._wait(answer)
        finally:
            del self._waiting[request_id]

    async def _wait(self, answer):
        try:
            await asyncio.wait_for_ms(answer.event.wait(), self._timeout_ms)
        except asyncio.TimeoutError:
            raise UploadError(
                "NO_RESPONSE", "no upload URL within %d seconds" % (self._timeout_ms // 1000)
            )
        if isinstance(answer.value, Refusal):
            refused = answer.value
            code = refused.error_code if refused.error_code in CLASSES else "UNAUTHORIZED"
            raise UploadError(
                code, "cloud refused: %s %s" % (refused.error_code, refused.error_message)
            )
        return answer.value

    def on_response(self, topic, payload, retained):
        """Handler of the response topic."""
        if retained or len(payload) > _MOST_BYTES:
            return self._log("upload response ignored: retained or oversized")
        try:
            value = parse_upload_response(payload)
        except ProtocolError as error:
            return self._log("upload response ignored: %s" % error)
        answer = self._waiting.get(value.request_id)
        if answer is not None and answer.value is None:
            answer.value = value
            answer.event.set()


class _Answer:
    def __init__(self):
        self.event = asyncio.Event()
        self.value = None
