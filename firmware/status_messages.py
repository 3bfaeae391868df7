"""What the camera tells the world about recordings and uploads, as JSON.

Field names and shapes are the product specification's. Rates are in kilobytes
of 1,000 bytes a second, as its figures are.

Pure: no IO.
"""

import json

from firmware.messages import base_name
from firmware.upload_messages import poster
from firmware.upload_statistics import progress


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


def upload_progress(job, sent_bytes, total_bytes, bytes_per_sec, unix_time):
    fields = progress(sent_bytes, total_bytes, bytes_per_sec)
    return _status("upload_progress", job, unix_time, **fields)


def upload_completed(job, outcome, unix_time):
    """The speed is that of the bytes that went now: what an earlier attempt stored is not sent again."""
    rate = outcome.sent_bytes * 1000 // max(1, outcome.duration_ms)
    more = {}
    if job.poster_bytes:
        more["poster"] = poster(job)
        more["poster"]["cloud_path"] = outcome.cloud_path
    return _status(
        "upload_completed",
        job,
        unix_time,
        **more,
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
    return _event(
        "recording_started", unix_time, file_path=path, trigger=trigger, priority=priority
    )


def recording_completed(clip, unix_time):
    return _event(
        "recording_completed",
        unix_time,
        file_path=clip.path,
        file_size=clip.size_bytes,
        trigger=clip.trigger,
        priority=clip.priority,
        duration_ms=clip.duration_ms,
        frames=clip.frames,
        width=clip.width,
        height=clip.height,
        fps=clip.fps,
        pre_roll_ms=clip.pre_roll_ms,
        part=clip.part,
    )


def recording_failed(path, message, unix_time):
    return _event("recording_failed", unix_time, file_path=path, error_message=message)


def recording_evicted(evicted, unix_time):
    """`reason`: "reserve", "quota", "age", "card_full" or "journal_full"."""
    return _event(
        "recording_evicted",
        unix_time,
        file_path=evicted.path,
        file_size=evicted.size_bytes,
        trigger=evicted.trigger,
        priority=evicted.priority,
        was_uploaded=evicted.is_uploaded,
        reason=evicted.reason,
    )


def recording_stopped(priority, reason, unix_time):
    """Up to that priority nothing is recorded: there is no room, and nothing that may go for it."""
    return _event("recording_stopped", unix_time, priority=priority, reason=reason)


def card_changed(event, text, unix_time):
    """`event`: "card_gone", "card_failing" or "card_back"."""
    return _event(event, unix_time, message=text)


def source_changed(error, unix_time):
    """`error` is what the source of frames failed with; None when frames come again."""
    if error is None:
        return _event("source_restored", unix_time)
    text = "%s: %s" % (type(error).__name__, error)
    return _event("source_failed", unix_time, error_message=text)


def recording_resumed(unix_time):
    return _event("recording_resumed", unix_time)


def _status(event, job, unix_time, **fields):
    return _event(event, unix_time, file_path=job.path, **fields)


def _event(event, unix_time, **fields):
    fields["event"] = event
    fields["timestamp"] = unix_time
    return json.dumps(fields)
