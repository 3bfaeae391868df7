"""What cameras send, checked: bytes in, a model or a Refusal out.

Fields this version does not know are ignored, so that newer cameras can say more. Every text and
list has a bound, and JSON is parsed by a parser that bounds its nesting. Pure: no IO.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import from_json

from tools.cloud_service.config import DeviceId
from tools.cloud_service.plan import MAX_PARTS

MAX_REQUEST_BYTES = 8192
MAX_FILE_NAME_BYTES = 512
APPEND = "append"  # in the place of an upload id: the object itself is the unfinished upload
_MAX_MESSAGE_CHARS = 300
_PROTOCOL = 2  # the first that knows `complete`

BAD_REQUEST = "BAD_REQUEST"
UNAUTHORIZED = "UNAUTHORIZED"
RATE_LIMITED = "RATE_LIMITED"
STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
NO_UPLOAD = "NO_UPLOAD"
INTEGRITY = "INTEGRITY"


class Refusal(Exception):
    """A message that gets `success: false`."""

    def __init__(self, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:_MAX_MESSAGE_CHARS]
        self.retry_after = retry_after


def _check_file_name(name: str) -> str:
    if not name.isprintable() or "\\" in name:
        raise ValueError("only printable characters and no backslash are allowed")
    if len(name.encode()) > MAX_FILE_NAME_BYTES:
        raise ValueError(f"at most {MAX_FILE_NAME_BYTES} bytes of UTF-8 are allowed")
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        raise ValueError("empty, `.` and `..` path segments are not allowed")
    return name


def _check_md5(text: str) -> str:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16 or base64.b64encode(digest).decode() != text:
        raise ValueError("must be the base64 of 16 bytes")
    return text


RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
FileName = Annotated[str, AfterValidator(_check_file_name)]
Word = Annotated[str, StringConstraints(max_length=64)]
Md5 = Annotated[str, StringConstraints(max_length=24), AfterValidator(_check_md5)]
UploadId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,512}$")]
MultipartEtag = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}-[1-9][0-9]{0,4}$")]
Encoding = Literal["gzip"]


class _Message(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    request_id: RequestId
    device_id: DeviceId


class Metadata(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    content_type: Word | None = None
    format: Word | None = None
    trigger: Word | None = None
    duration: Annotated[float, Field(ge=0)] | None = None
    resolution: Word | None = None


class Resume(BaseModel):
    """Where the camera left off; `part_md5` and `part_size` are of part `next_part`, to append it."""

    model_config = ConfigDict(strict=True, extra="ignore")

    upload_id: UploadId
    next_part: Annotated[int, Field(ge=1, le=MAX_PARTS + 1)]
    part_md5: Md5 | None = None
    part_size: Annotated[int, Field(ge=1)] | None = None


class UploadRequest(_Message):
    """`file_size` and `content_md5` are of what is sent: the compressed form, if there is one."""

    file_name: FileName
    file_size: Annotated[int, Field(ge=1)]
    priority: Annotated[int, Field(ge=0, le=3)] = 1
    timestamp: Annotated[int, Field(ge=0)] = 0
    metadata: Metadata = Metadata()
    protocol: Annotated[int, Field(ge=1)] = 1
    capabilities: Annotated[tuple[Word, ...], Field(max_length=16, strict=False)] = ()
    content_md5: Md5 | None = None
    content_encoding: Encoding | None = None
    live: bool = False
    resume: Resume | None = None

    @property
    def is_plain(self) -> bool:
        """From a camera that knows the specification's messages and no others."""
        return self.protocol < _PROTOCOL

    @property
    def final_bytes(self) -> int | None:
        """How many bytes the object will have, if that is known already."""
        return None if self.live else self.file_size


class CompleteRequest(_Message):
    cloud_file_path: FileName
    file_size: Annotated[int, Field(ge=0)] = 0
    content_md5: Md5 | None = None
    outcome: Literal["stored", "failed", "aborted"]
    upload_id: UploadId | None = None
    multipart_etag: MultipartEtag | None = None
    content_encoding: Encoding | None = None
    error_code: Word | None = None

    @property
    def multipart_id(self) -> str | None:
        """The upload to be joined or dropped in the store, if there is one."""
        return None if self.upload_id == APPEND else self.upload_id


_Model = TypeVar("_Model", bound=_Message)


def parse(payload: bytes) -> dict[str, Any]:
    """The message as a dictionary; Refusal when it is none."""
    if len(payload) > MAX_REQUEST_BYTES:
        raise Refusal(BAD_REQUEST, f"a request has at most {MAX_REQUEST_BYTES} bytes")
    try:
        document = from_json(payload)  # bounds nesting, unlike json.loads
    except ValueError as error:
        raise Refusal(BAD_REQUEST, f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refusal(BAD_REQUEST, "a request is a JSON object")
    return document


def validate(model: type[_Model], document: dict[str, Any], path_field: str) -> _Model:
    """The checked message, with a path below the device's own folder; Refusal."""
    try:
        message = model.model_validate(document)
    except ValidationError as error:
        raise Refusal(BAD_REQUEST, _explain(error)) from None
    if not getattr(message, path_field).startswith(f"{message.device_id}/"):
        raise Refusal(BAD_REQUEST, f"{path_field}: must be below {message.device_id}/")
    return message


def known_request_id(document: dict[str, Any]) -> str:
    """The id to answer with, or "" when there is none fit to be repeated."""
    request_id = document.get("request_id")
    return request_id if isinstance(request_id, str) and len(request_id) <= 64 else ""


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in problems
    )
