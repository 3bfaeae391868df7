"""The service's decisions: one request's bytes in, one reply's bytes out.

Invariant: every message on a request topic is answered exactly once, whatever is in it; a URL is
signed only for a listed device, only below that device's own folder. Nothing here does IO: the
presigner and the clock are given.

Field names and topics are the product specification's; `server_time` and `expires_in` are extensions.
Fields this version does not know are ignored, so that newer cameras can ask for more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import from_json

from tools.cloud_service.config import DeviceId, UploadPolicy
from tools.cloud_service.presign import Presigner

REQUEST_TOPICS = "devices/+/upload/request"
MAX_REQUEST_BYTES = 8192
MAX_FILE_NAME_BYTES = 512
_MAX_MESSAGE_CHARS = 300

BAD_REQUEST = "BAD_REQUEST"
UNAUTHORIZED = "UNAUTHORIZED"


@dataclass(frozen=True)
class Reply:
    """What to publish, and what to log about it (no URL, no payload)."""

    topic: str
    payload: bytes
    log: dict[str, Any] = field(default_factory=dict)


class Refusal(Exception):
    """A request that gets `success: false`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:_MAX_MESSAGE_CHARS]


def _check_file_name(name: str) -> str:
    if not name.isprintable() or "\\" in name:
        raise ValueError("only printable characters and no backslash are allowed")
    if len(name.encode()) > MAX_FILE_NAME_BYTES:
        raise ValueError(f"at most {MAX_FILE_NAME_BYTES} bytes of UTF-8 are allowed")
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        raise ValueError("empty, `.` and `..` path segments are not allowed")
    return name


RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
FileName = Annotated[str, AfterValidator(_check_file_name)]
Word = Annotated[str, StringConstraints(max_length=64)]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class Metadata(_Message):
    content_type: Word | None = None
    format: Word | None = None
    trigger: Word | None = None
    duration: Annotated[float, Field(ge=0)] | None = None
    resolution: Word | None = None


class UploadRequest(_Message):
    request_id: RequestId
    device_id: DeviceId
    file_name: FileName
    file_size: Annotated[int, Field(ge=1)]
    priority: Annotated[int, Field(ge=0, le=3)] = 1
    timestamp: Annotated[int, Field(ge=0)] = 0
    metadata: Metadata = Metadata()


class UploadHandler:
    """Answers `devices/{id}/upload/request`; `now` returns Unix seconds."""

    def __init__(
        self,
        presigner: Presigner,
        devices: Iterable[str],
        policy: UploadPolicy,
        now: Callable[[], float],
    ) -> None:
        self._presigner = presigner
        self._devices = frozenset(devices)
        self._policy = policy
        self._now = now

    def handle(self, topic: str, payload: bytes) -> Reply:
        """The reply to one message that came on a topic of REQUEST_TOPICS."""
        device_id = topic.split("/")[1]
        request_id = ""
        try:
            document = _parse(payload)
            request_id = _known_request_id(document)
            self._authorize(device_id, document)
            answer = self._grant(self._validate(document))
        except Refusal as refusal:
            answer = {
                "success": False,
                "request_id": request_id,
                "error_code": refusal.code,
                "error_message": refusal.message,
            }
        return _reply(device_id, answer)

    def _authorize(self, device_id: str, document: dict[str, Any]) -> None:
        if device_id not in self._devices:
            raise Refusal(UNAUTHORIZED, "Device not authorized")
        if document.get("device_id", device_id) != device_id:
            raise Refusal(UNAUTHORIZED, "device_id is not that of the topic")

    def _validate(self, document: dict[str, Any]) -> UploadRequest:
        try:
            request = UploadRequest.model_validate(document)
        except ValidationError as error:
            raise Refusal(BAD_REQUEST, _explain(error)) from None
        if not request.file_name.startswith(f"{request.device_id}/"):
            raise Refusal(BAD_REQUEST, f"file_name: must be below {request.device_id}/")
        if request.file_size > self._policy.max_file_bytes:
            raise Refusal(
                BAD_REQUEST, f"file_size: at most {self._policy.max_file_bytes} is allowed"
            )
        if request.metadata.content_type not in (None, *self._policy.content_types):
            allowed = ", ".join(self._policy.content_types)
            raise Refusal(BAD_REQUEST, f"metadata.content_type: allowed: {allowed}")
        return request

    def _grant(self, request: UploadRequest) -> dict[str, Any]:
        content_type = request.metadata.content_type or self._policy.content_types[0]
        lifetime_sec = self._policy.expires_sec
        now = int(self._now())  # read before signing: the URL lives no shorter than told
        signed = self._presigner.put(request.file_name, content_type, lifetime_sec)
        return {
            "success": True,
            "request_id": request.request_id,
            "upload_url": signed.url,
            "method": "PUT",
            "content_type": content_type,
            "cloud_file_path": request.file_name,
            "expires_at": now + lifetime_sec,
            "extra_headers": signed.extra_headers,
            "server_time": now,
            "expires_in": lifetime_sec,
        }


def _parse(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_REQUEST_BYTES:
        raise Refusal(BAD_REQUEST, f"a request has at most {MAX_REQUEST_BYTES} bytes")
    try:
        document = from_json(payload)  # bounds nesting, unlike json.loads
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refusal(BAD_REQUEST, "a request is a JSON object")
    return document


def _known_request_id(document: dict[str, Any]) -> str:
    """The id to answer with, or "" when there is none fit to be repeated."""
    request_id = document.get("request_id")
    return request_id if isinstance(request_id, str) and len(request_id) <= 64 else ""


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in problems
    )


def _reply(device_id: str, answer: dict[str, Any]) -> Reply:
    shown = ("request_id", "cloud_file_path", "error_code", "error_message")
    return Reply(
        f"devices/{device_id}/upload/response",
        json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode(),
        {"device_id": device_id[:64], **{name: answer[name] for name in shown if name in answer}},
    )
