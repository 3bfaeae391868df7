"""What camera and cloud say to each other about one upload: asking, granting, completing.

Topics, field names and shapes are the product specification's. What goes beyond it
is `protocol` 2: a cloud that does not know it ignores these fields and leaves
out its own. Unknown fields are ignored.

Pure: no IO.
"""

import json
from binascii import b2a_base64
from collections import namedtuple

from micropython import const

from firmware import message_fields as field
from protocol_error import ProtocolError

FORMAT = "H264/MPEG-TS"
_FOOTAGE = ("ts", "video/mp2t")
_OTHERS = (("log", "text/plain"), ("txt", "text/plain"), ("json", "application/json"))
PUT, MULTIPART, APPEND = "put", "multipart", "append"

_AS_THEY_ARE = ("fps", "frames", "pre_roll_ms", "clock")
_PROTOCOL = const(2)
_LONGEST_URL = const(2048)
_LONGEST_PATH = const(512)
_LONGEST_UPLOAD_ID = const(200)  # the journal keeps it
_MOST_URLS = const(8)
_MOST_PARTS = const(10000)  # of S3 and of OSS alike
_MOST_BYTES = 1 << 40

# extra_headers: (name, value) pairs. For parts: `parts` are (part number, URL) pairs in order,
# `parts_done` says how many leading parts the store holds, and there is no upload_url.
Grant = namedtuple(
    "Grant",
    (
        "request_id",
        "upload_url",
        "method",
        "content_type",
        "cloud_file_path",
        "expires_at",
        "extra_headers",
        "server_time",
        "expires_in",
        "mode",
        "upload_id",
        "part_size",
        "parts",
        "parts_done",
        "requires_complete",
    ),
)
Refusal = namedtuple("Refusal", ("request_id", "error_code", "error_message", "retry_after"))

# etag and size_bytes are the store's, None when not told.
CompleteAck = namedtuple(
    "CompleteAck", ("request_id", "is_verified", "cloud_url", "etag", "size_bytes")
)


def upload_request(device_id, request_id, job, file_name, unix_time, more=None):
    """Ask for a URL, or for more of them; `more`: the fields of protocol 2, see request_fields.

    What is known of the job goes with it as `metadata`.
    """
    fields = {
        "request_id": request_id,
        "file_name": file_name,
        "file_size": job.size_bytes,
        "priority": job.priority,
        "timestamp": unix_time,
        "device_id": device_id,
        "metadata": _metadata(job),
    }
    if more:
        fields.update(more)
        if "resume" in more:
            fields["file_name"] = job.cloud_path
    return json.dumps(fields)


def _metadata(job):
    """What is known of a file; `poster` is where in the object a viewer finds its first picture."""
    metadata = {"content_type": content_type(job.path), "trigger": job.trigger}
    if metadata["content_type"] == _FOOTAGE[1]:
        metadata["format"] = FORMAT
    if job.is_recovered:
        metadata["recovered"] = True
    if job.duration_ms:
        metadata["duration"] = (job.duration_ms + 500) // 1000
        metadata["mean_bitrate_bps"] = job.size_bytes * 8 // job.duration_ms * 1000
    if job.height:
        metadata["resolution"] = "%dp" % job.height
    for name in _AS_THEY_ARE:
        value = getattr(job, name)
        if value:
            metadata[name] = value
    if job.poster_bytes:
        metadata["poster"] = poster(job)
    return metadata


def poster(job):
    return {"offset": 0, "bytes": job.poster_bytes}


def content_type(path):
    """By the suffix of the file's name."""
    suffix = path.rsplit(".", 1)[-1].lower()
    for known, name in (_FOOTAGE,) + _OTHERS:
        if suffix == known:
            return name
    return "application/octet-stream"


def request_fields(job, in_parts, resume=None):
    """What a request of protocol 2 adds; `in_parts`: whether the file may go in parts."""
    fields = {"protocol": _PROTOCOL, "capabilities": [PUT]}
    if in_parts:
        fields["capabilities"] = [PUT, MULTIPART, APPEND]
    if job.md5:
        fields["content_md5"] = base64_of(job.md5)
    if job.content_encoding:
        fields["content_encoding"] = job.content_encoding
    if job.growth and not job.growth.is_done:
        fields["live"] = True
    if resume:
        fields["resume"] = resume
    return fields


def parse_upload_response(payload):
    """A Grant or a Refusal out of a response; ProtocolError says what is wrong with it."""
    fields = field.object_in(payload)
    if fields.get("success") is not True:
        return _refusal(fields)
    mode = field.text(fields, "mode", 16, PUT)
    if mode not in (PUT, MULTIPART, APPEND):
        raise ProtocolError("unknown mode of upload")
    is_put = mode == PUT
    return Grant(
        field.text(fields, "request_id", 64),
        field.text(fields, "upload_url", _LONGEST_URL, None if is_put else ""),
        field.text(fields, "method", 8, "PUT"),
        field.text(fields, "content_type", 128, ""),
        field.text(fields, "cloud_file_path", _LONGEST_PATH, ""),
        field.seconds(fields, "expires_at"),
        field.headers(fields.get("extra_headers")),
        field.seconds(fields, "server_time"),
        field.seconds(fields, "expires_in"),
        mode,
        "" if is_put else _upload_id(fields),
        0 if is_put else field.whole(fields, "part_size", 1, _MOST_BYTES),
        () if is_put else _parts(fields.get("parts")),
        0 if is_put else field.whole(fields, "parts_done", 0, _MOST_PARTS, 0),
        not is_put or fields.get("requires_complete") is True,
    )


def upload_complete(device_id, fields):
    """Say how an upload ended; `fields` as complete_fields gives them."""
    fields["device_id"] = device_id
    return json.dumps(fields)


def complete_fields(grant, job, outcome, *, digest=None, parts_digest=None, error_code=None):
    """`outcome` is stored, failed or aborted; `digest`: the MD5 of all bytes, 16 bytes.

    `parts_digest` is the MD5 of the parts' MD5s, with the number of parts. Without
    a grant this is about the upload in parts that the job knows of.
    """
    fields = {"file_size": job.size_bytes, "outcome": outcome, "cloud_file_path": job.cloud_path}
    if grant:
        fields["request_id"] = grant.request_id
        fields["cloud_file_path"] = grant.cloud_file_path
    if digest:
        fields["content_md5"] = base64_of(digest)
    if job.upload_id:
        fields["upload_id"] = job.upload_id
    if parts_digest:
        fields["multipart_etag"] = parts_digest
    if job.content_encoding:
        fields["content_encoding"] = job.content_encoding
    if error_code:
        fields["error_code"] = error_code
    return fields


def parse_complete_ack(payload):
    """A CompleteAck or a Refusal; ProtocolError says what is wrong with it."""
    fields = field.object_in(payload)
    if fields.get("success") is not True:
        return _refusal(fields)
    size_bytes = fields.get("size")
    return CompleteAck(
        field.text(fields, "request_id", 64),
        fields.get("verified") is True,
        field.text(fields, "cloud_url", _LONGEST_URL, ""),
        field.text(fields, "etag", 256, "") or None,
        None if size_bytes is None else field.whole(fields, "size", 0, _MOST_BYTES),
    )


def base64_of(digest):
    return b2a_base64(digest).decode().strip()


def _refusal(fields):
    code, message = fields.get("error_code"), fields.get("error_message")
    try:
        retry_after = field.seconds(fields, "retry_after")
    except ProtocolError:
        retry_after = None  # a refusal is one, whatever else it says
    return Refusal(
        field.text(fields, "request_id", 64),
        code[:40] if isinstance(code, str) else "REFUSED",
        message[:200] if isinstance(message, str) else "the cloud gave no reason",
        retry_after or 0,
    )


def _upload_id(fields):
    upload_id = field.text(fields, "upload_id", _LONGEST_UPLOAD_ID)
    if not upload_id or any(not "!" <= c <= "~" for c in upload_id):
        raise ProtocolError("upload_id must be printable ASCII text")
    return upload_id


def _parts(value):
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MOST_URLS:
        raise ProtocolError("parts must hold at most %d URLs" % _MOST_URLS)
    return tuple(_part(one) for one in value)


def _part(value):
    if not isinstance(value, dict):
        raise ProtocolError("parts must hold objects")
    number = field.whole(value, "part_number", 1, _MOST_PARTS)
    return number, field.text(value, "upload_url", _LONGEST_URL)
