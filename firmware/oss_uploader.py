"""One clip at a time from the card to the object store, over presigned URLs.

    ask for a URL -> send the file, whole or in parts -> proof -> tell the cloud -> its word

An upload ends with an Outcome only when the store has shown that it holds the
very bytes of the file, to the camera or to the cloud, and the cloud says so too
where it wants to be asked; every other end is an UploadError, of which the cloud
is told as well. Redirects never lead away from TLS or the allowed hosts.

Invariant: the file is only read, in pieces that fit the slot's buffer; file and
connection are closed however the upload ends.
"""

import asyncio

from firmware.upload_error import UploadError
from firmware.upload_run import Outcome, UploadRun

__all__ = ("OssUploader", "Outcome")


def _nothing(_):
    """For what nobody listens to; also: no."""


class OssUploader:
    """Uploads jobs, each in a slot of its own; `buffers` has one bytearray per slot."""

    def __init__(
        self,
        request_url,
        open_stream,
        *,
        buffers,
        timeout_ms,
        idle_timeout_ms,
        allow_insecure,
        on_started,
        on_progress,
        ticks_ms,
        unix_time,
        complete=None,
        report=_nothing,
        on_part=_nothing,
        must_suspend=_nothing,
        limiter=None,
        allowed_hosts=(),
        multipart_bytes=None,
        yield_every=4,
        progress_ms=1000,
    ):
        """`await request_url(job, fields)` gives a grant, `await open_stream(host, port, tls)` a net.Stream.

        on_started(job, grant); on_progress(job, sent_bytes, total_bytes, bytes_per_sec)
        at most every progress_ms and once all is sent. `unix_time()` is None while unknown.
        `await complete(fields)` tells the cloud that all is stored and gives its ack,
        report(fields) that an upload failed. on_part(job): what the job knows of its
        parts has changed. must_suspend(job): whether to stop at the end of a part.
        `limiter.take(n_bytes, now_ms)` says how long to wait. Files of more than
        multipart_bytes may go in parts, and those that still grow.
        """
        self.request_url = request_url
        self.open_stream = open_stream
        self.timeout_ms = timeout_ms
        self.idle_timeout_ms = idle_timeout_ms
        self.allow_insecure = allow_insecure
        self.on_started = on_started
        self.on_progress = on_progress
        self.ticks_ms = ticks_ms
        self.unix_time = unix_time
        self.complete = complete
        self.report = report
        self.on_part = on_part
        self.must_suspend = must_suspend
        self.limiter = limiter
        self.allowed_hosts = tuple(host.lower() for host in allowed_hosts)
        self.multipart_bytes = multipart_bytes
        self.yield_every = yield_every
        self.progress_ms = progress_ms
        self.byte = bytearray(1)  # to listen with: what comes is taken out of it at once
        self._views = [memoryview(buffer) for buffer in buffers]

    async def upload(self, job, slot):
        """Deliver the job's file and return the Outcome; UploadError when the proof is missing."""
        run = UploadRun(self, job, self._views[slot])
        while True:
            try:
                if await run.is_granted_whole():
                    return await run.whole()
                return await run.in_parts()
            except UploadError as error:
                if not run.failed(error):
                    raise
            except asyncio.CancelledError:
                run.report("failed", "CANCELLED")
                raise
            finally:
                run.close()
