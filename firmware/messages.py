"""The messages of the upload protocol: built, parsed and checked.

Topics, field names and shapes are the product specification's. What a cloud may add
(`server_time`) is read when it is there; unknown fields are ignored. Rates are
in kilobytes of 1,000 bytes a second, as its figures are.

Pure: no IO.
"""

import json
from collections import namedtuple

from protocol_error import ProtocolError

CONTENT_TYPE = "video/mp2t"
FORMAT = "H264/MPEG-TS"

_LONGEST_URL = 2048
_MOST_HEADERS = 16

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
    ),
)
Refusal = namedtuple("Refusal", ("request_id", "error_code", "error_message"))


class Topics:
    """The topics of one camera (specification, "MQTT protocol")."""

    def __init__(self, device_id):
        base = "devices/" + device_id
        self.upload_request = base + "/upload/request"
        self.upload_response = base + "/upload/response"
        self.upload_status = base + "/status/upload"
        self.recording_status = base + "/status/recording"
        self.presence = base + "/status"
        self.command = base + "/command"
        self.command_response = base + "/command/response"


def cloud_name(device_id, date, file_name):
    """`{DEVICE_ID}/{YEAR}/{MONTH}/{DAY}/{HHMMSS}_{file name}`; `date` as time.gmtime gives it."""
    return "%s/%04d/%02d/%02d/%02d%02d%02d_%s" % ((device_id,) + tuple(date[:6]) + (file_name,))


def upload_request(device_id, request_id, job, file_name, unix_time):
    """Ask for a URL; `job` has size_bytes, priority, trigger, duration_ms and height."""
    metadata = {"content_type": CONTENT_TYPE, "format": FORMAT, "trigger": job.trigger}
    if job.duration_ms:
        metadata["duration"] = (job.duration_ms + 500) // 1000
    if job.height:
        metadata["resolution"] = "%dp" % job.height
    return json.dumps(
        {
            "request_id": request_id,
            "file_name": file_name,
            "file_size": job.size_bytes,
            "priority": job.priority,
            "timestamp": unix_time,
            "device_id": device_id,
            "metadata": metadata,
        }
    )


def parse_upload_response(payload):
    """A Grant or a Refusal out of a response; ProtocolError says what is wrong with it."""
    fields = _object(payload)
    request_id = _text(fields, "request_id", 64)
    if fields.get("success") is not True:
        code = fields.get("error_code")
        message = fields.get("error_message")
        return Refusal(
            request_id,
            code[:40] if isinstance(code, str) else "REFUSED",
            message[:200] if isinstance(message, str) else "the cloud gave no reason",
        )
    return Grant(
        request_id,
        _text(fields, "upload_url", _LONGEST_URL),
        _text(fields, "method", 8, "PUT"),
        _text(fields, "content_type", 128, ""),
        _text(fields, "cloud_file_path", 512, ""),
        _seconds(fields, "expires_at"),
        _headers(fields.get("extra_headers")),
        _seconds(fields, "server_time"),
    )


def upload_started(job, cloud_path, unix_time):
    return _status(
        "upload_started",
        job,
        unix_time,
        filename=base_name(job.path),
        cloud_path=cloud_path,
        file_size=job.size_bytes,
        priority=job.priority,
    )


def upload_progress(job, sent_bytes, elapsed_ms, unix_time):
    total = job.size_bytes
    rate = sent_bytes * 1000 // max(1, elapsed_ms)  # bytes a second
    return _status(
        "upload_progress",
        job,
        unix_time,
        progress_percentage=sent_bytes * 1000 // max(1, total) / 10,
        bytes_uploaded=sent_bytes,
        total_bytes=total,
        upload_speed_kbps=rate // 1000,
        estimated_time_remaining_sec=(total - sent_bytes) // max(1, rate),
    )


def upload_completed(job, outcome, unix_time):
    rate = outcome.size_bytes * 1000 // max(1, outcome.duration_ms)
    return _status(
        "upload_completed",
        job,
        unix_time,
        filename=base_name(job.path),
        cloud_url=outcome.cloud_url,
        upload_duration_sec=(outcome.duration_ms + 500) // 1000,
        average_speed_kbps=rate // 1000,
    )


def upload_failed(job, error, will_retry, unix_time):
    """`retry_count` is how many attempts were spent so far, this one included."""
    return _status(
        "upload_failed",
        job,
        unix_time,
        filename=base_name(job.path),
        error_code=error.code,
        error_message=error.message,
        retry_count=job.attempts,
        will_retry=will_retry,
    )


def recording_started(path, trigger, priority, unix_time):
    return json.dumps(
        {
            "event": "recording_started",
            "file_path": path,
            "trigger": trigger,
            "priority": priority,
            "timestamp": unix_time,
        }
    )


def recording_completed(clip, unix_time):
    return json.dumps(
        {
            "event": "recording_completed",
            "file_path": clip.path,
            "file_size": clip.size_bytes,
            "trigger": clip.trigger,
            "priority": clip.priority,
            "duration_ms": clip.duration_ms,
            "frames": clip.frames,
            "width": clip.width,
            "height": clip.height,
            "timestamp": unix_time,
        }
    )


def recording_failed(path, message, unix_time):
    return json.dumps(
        {
            "event": "recording_failed",
            "file_path": path,
            "error_message": message,
            "timestamp": unix_time,
        }
    )


def presence(status, version):
    """The retained birth message and last will."""
    return json.dumps({"status": status, "version": version})


def parse_command(payload):
    """`(command, command_id, fields)`; ProtocolError says what is wrong."""
    fields = _object(payload)
    return _text(fields, "command", 32), _text(fields, "command_id", 64, ""), fields


def command_response(command_id, command, error=None):
    answer = {"command_id": command_id, "command": command, "success": error is None}
    if error is not None:
        answer["error_message"] = error
    return json.dumps(answer)


def base_name(path):
    return path.rsplit("/", 1)[-1]


def _status(event, job, unix_time, **fields):
    fields["event"] = event
    fields["file_path"] = job.path
    fields["timestamp"] = unix_time
    return json.dumps(fields)


def _object(payload):
    try:
        fields = json.loads(payload)
    except (ValueError, RuntimeError):  # RuntimeError: nested deeper than the stack
        raise ProtocolError("not JSON")
    if not isinstance(fields, dict):
        raise ProtocolError("not a JSON object")
    return fields


def _text(fields, key, longest, default=None):
    value = fields.get(key, default)
    if not isinstance(value, str) or len(value) > longest:
        raise ProtocolError("%s must be text of at most %d characters" % (key, longest))
    return value


def _seconds(fields, key):
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
        raise ProtocolError("%s must be Unix seconds" % key)
    return int(value)


def _headers(value):
    """An object, a list of pairs or either as a JSON string, as a tuple of pairs."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RuntimeError):
            raise ProtocolError("extra_headers is not JSON")
    pairs = value.items() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or len(value) > _MOST_HEADERS:
        raise ProtocolError("extra_headers must hold at most %d headers" % _MOST_HEADERS)
    return tuple(_header(pair) for pair in pairs)


def _header(pair):
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ProtocolError("extra_headers must hold pairs")
    for text in pair:
        if not isinstance(text, str) or any(not 32 <= ord(c) < 127 for c in text):
            raise ProtocolError("extra_headers must be printable ASCII text")
    if not pair[0] or any(c in ':() <>@,;\\"/[]?={}' for c in pair[0]):
        raise ProtocolError("extra_headers has a bad header name")
    return (pair[0], pair[1])
