"""The service's decisions: one message's bytes in, one reply's bytes out.

Invariant: every message on a topic of TOPICS is answered exactly once, whatever is in it; a URL is
signed and an upload touched only for a listed device, only below that device's own folder. The
presigner, the store and the clock are given. Pure: no IO of its own.

Field names and topics are the product specification's; docs/cloud-service.md lists the extensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_json

from tools.cloud_service import messages
from tools.cloud_service.completes import Completer
from tools.cloud_service.config import UploadPolicy
from tools.cloud_service.grants import Granter
from tools.cloud_service.messages import BAD_REQUEST, UNAUTHORIZED, CompleteRequest, UploadRequest
from tools.cloud_service.presign import Appender, Presigner
from tools.cloud_service.slots import Slots
from tools.cloud_service.store import Store, StoreError

REQUEST = "upload/request"
COMPLETE = "upload/complete"
TOPICS = tuple(f"devices/+/{kind}" for kind in (REQUEST, COMPLETE))
_REPLIES = {REQUEST: "upload/response", COMPLETE: "upload/complete_ack"}
_LOGGED = (
    "request_id",
    "cloud_file_path",
    "mode",
    "parts_done",
    "verified",
    "size",
    "error_code",
    "error_message",
)


@dataclass(frozen=True)
class Reply:
    """What to publish, and what to log about it (no URL, no payload)."""

    topic: str
    payload: bytes
    event: str
    log: dict[str, Any] = field(default_factory=dict)
    fault: Exception | None = None  # what broke the handler, which nothing should


class UploadHandler:
    """Answers cameras' requests and completes; `now` returns Unix seconds."""

    def __init__(
        self,
        presigner: Presigner,
        store: Store,
        devices: Iterable[str],
        policy: UploadPolicy,
        now: Callable[[], float],
        appender: Appender | None = None,
    ) -> None:
        self._devices = frozenset(devices)
        self._policy = policy
        self.slots = Slots(policy.max_per_device, policy.slot_sec, now)
        self._granter = Granter(presigner, store, policy, self.slots, now, appender)
        self._completer = Completer(presigner, store, self.slots, policy.read_back_bytes)

    async def answer(
        self, device_id: str, kind: str, payload: bytes, proof: str = "topic"
    ) -> Reply:
        """The reply to a message of kind REQUEST or COMPLETE; `proof` is what named the device."""
        request_id, more = "", {}
        try:
            document = messages.parse(payload)
            request_id = messages.known_request_id(document)
            self._authorize(device_id, document, proof)
            if kind == COMPLETE:
                more = _outcome(document)
                answer = await self._complete(document)
            else:
                answer = await self._grant(document)
        except messages.Refusal as refusal:
            answer = _refused(request_id, refusal)
        except StoreError as error:
            told = f"the store does not do its part: {error.code}"
            answer = _refused(
                request_id, messages.Refusal(messages.STORE_UNAVAILABLE, told, error.retry_after)
            )
            more["store_error"] = str(error)[:500]
        except Exception as error:  # of this message alone; the shell logs it
            told = "the service failed"
            answer = _refused(request_id, messages.Refusal(messages.STORE_UNAVAILABLE, told))
            return replace(_reply(device_id, kind, answer, more), fault=error)
        return _reply(device_id, kind, answer, more)

    def _authorize(self, device_id: str, document: dict[str, Any], proof: str) -> None:
        if device_id not in self._devices:
            raise messages.Refusal(UNAUTHORIZED, "Device not authorized")
        if document.get("device_id", device_id) != device_id:
            raise messages.Refusal(UNAUTHORIZED, f"device_id is not that of the {proof}")

    async def _complete(self, document: dict[str, Any]) -> dict[str, Any]:
        request = messages.validate(CompleteRequest, document, "cloud_file_path")
        return await self._completer.complete(request)

    async def _grant(self, document: dict[str, Any]) -> dict[str, Any]:
        request = messages.validate(UploadRequest, document, "file_name")
        if request.file_size > self._policy.max_file_bytes:
            raise messages.Refusal(
                BAD_REQUEST, f"file_size: at most {self._policy.max_file_bytes} is allowed"
            )
        if request.metadata.content_type not in (None, *self._policy.content_types):
            allowed = ", ".join(self._policy.content_types)
            raise messages.Refusal(BAD_REQUEST, f"metadata.content_type: allowed: {allowed}")
        return await self._granter.grant(request)


def _outcome(document: dict[str, Any]) -> dict[str, Any]:
    """For the log and the counters; whatever else a camera says is not repeated."""
    outcome = document.get("outcome")
    return {"outcome": outcome if outcome in ("stored", "failed", "aborted") else "unknown"}


def _refused(request_id: str, refusal: messages.Refusal) -> dict[str, Any]:
    answer = {
        "success": False,
        "request_id": request_id,
        "error_code": refusal.code,
        "error_message": refusal.message,
    }
    if refusal.retry_after is not None:
        answer["retry_after"] = refusal.retry_after
    return answer


def _reply(device_id: str, kind: str, answer: dict[str, Any], more: dict[str, Any]) -> Reply:
    event = "completed" if kind == COMPLETE else "granted"
    return Reply(
        f"devices/{device_id}/{_REPLIES[kind]}",
        to_json(answer),
        event if answer["success"] else "refused",
        {
            "device_id": device_id[:64],
            **{name: answer[name] for name in _LOGGED if name in answer},
            **more,
        },
    )
