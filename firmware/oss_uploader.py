"""One clip at a time from the card to the object store, over a presigned URL.

    ask for a URL -> connect -> request head -> chunk, chunk, ... last -> answer -> proof

An upload ends with an Outcome only when the store has shown that it holds the
very bytes of the file; every other end is an UploadError. Between chunks the
store is listened to, so that a refusal stops the body at once. Redirects are
refused: a URL is signed for one host.

Invariant: the file is only read, in pieces that fit the slot's buffer; file and
connection are closed however the upload ends.
"""

import asyncio
from collections import namedtuple
from time import ticks_add, ticks_diff

from micropython import const

import url
from firmware import upload_proof
from firmware.clip_reader import ClipReader, card_error, changed
from firmware.network_error import lost, unreachable
from firmware.store_answer import StoreAnswer
from firmware.upload_error import UploadError
from http_head import header
from http_request import write_head
from protocol_error import ProtocolError
from turns import Turns

# A URL that expires sooner could do so while the connection is made.
_START_MARGIN_SEC = const(5)

# md5: 16 bytes; etag: as the store sent it, or None; cloud_url: without its query.
Outcome = namedtuple(
    "Outcome", ("cloud_url", "cloud_path", "etag", "size_bytes", "md5", "duration_ms")
)


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
        yield_every=4,
        progress_ms=1000,
    ):
        """`await request_url(job)` gives a grant, `await open_stream(host, port, tls)` a net.Stream.

        on_started(job, grant); on_progress(job, sent_bytes, total_bytes, elapsed_ms) at
        most every progress_ms and once all is sent. `unix_time()` is None while unknown.
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
        self.yield_every = yield_every
        self.progress_ms = progress_ms
        self._views = [memoryview(buffer) for buffer in buffers]

    async def upload(self, job, slot):
        """Deliver the job's file and return the Outcome; UploadError when the proof is missing."""
        clip = ClipReader(job)
        clip.check()
        grant = await self._ask(job)
        transfer = _Transfer(self, job, grant, clip, self._views[slot])
        try:
            transfer.prepare()
            self.on_started(job, grant)
            return await transfer.run()
        finally:
            transfer.close()

    async def _ask(self, job):
        try:
            return await self.request_url(job)
        except asyncio.TimeoutError:
            raise UploadError("NO_RESPONSE", "no upload URL in time")
        except OSError as error:
            raise UploadError("MQTT_UNAVAILABLE", "cannot ask for an upload URL: %s" % error)
        except ProtocolError as error:
            raise UploadError("BAD_RESPONSE", str(error))


class _Transfer:
    """The state of one upload; `up`, the uploader, has what all uploads share."""

    def __init__(self, up, job, grant, clip, view):
        self._up, self._job, self._grant, self._clip, self._view = up, job, grant, clip, view
        self._stream = None
        self._has_talked = False
        self._started_ms = up.ticks_ms()

    def prepare(self):
        """Check what the cloud sent and write the request head into the buffer."""
        grant = self._grant
        try:
            self._url = url.split(grant.upload_url)
            if grant.method not in ("PUT", "POST"):
                raise ProtocolError("unknown upload method")
            if not (self._url.is_tls or self._up.allow_insecure):
                raise ProtocolError("refusing to upload without TLS")
            self._headers = self._request_headers()
            self._head_bytes = write_head(self._view, grant.method, self._url.target, self._headers)
        except ProtocolError as error:
            raise UploadError("BAD_RESPONSE", str(error))
        now = grant.server_time or self._up.unix_time()
        if now and grant.expires_at and grant.expires_at - now < _START_MARGIN_SEC:
            raise UploadError("URL_EXPIRED", "upload URL expired before its use")

    def _request_headers(self):
        size = str(self._job.size_bytes)
        own = (("Host", self._url.host_header), ("Content-Length", size), ("Connection", "close"))
        kind = self._grant.content_type
        return own + ((("Content-Type", kind),) if kind else ()) + tuple(self._grant.extra_headers)

    async def run(self):
        """Send the file, hear the answer, judge it."""
        self._clip.open()
        await self._connect()
        failure = None
        try:
            await self._send()
            await self._answer.collect()
        except asyncio.TimeoutError:
            failure = self._timed_out()
        except ProtocolError as error:
            failure = UploadError("BAD_RESPONSE", str(error))
        except OSError as error:
            failure = await self._answer.last_words()
            failure = failure or lost(self._url.host, error, self._has_talked)
        failure = self._answer.refusal() or failure
        if failure:
            raise failure
        return self._outcome()

    def close(self):
        if self._stream:
            self._stream.close()
        self._clip.close()

    async def _connect(self):
        up, host = self._up, self._url.host
        try:
            self._stream = await up.open_stream(host, self._url.port, self._url.is_tls)
        except asyncio.TimeoutError:
            raise UploadError("CONNECT_TIMEOUT", "no connection to %s in time" % host)
        except OSError as error:
            raise unreachable(host, error)
        self._stream.expire_in(max(0, up.timeout_ms - self._elapsed_ms()))
        self._answer = StoreAnswer(self._stream, self._view, up.idle_timeout_ms)

    async def _send(self):
        """Head and body. The loop is the product's hottest: what it calls is native, or rare."""
        up, stream, view, clip = self._up, self._stream, self._view, self._clip
        await stream.write(view, self._head_bytes, up.idle_timeout_ms)
        self._has_talked = True
        readinto, update, byte, ticks_ms = clip.readinto, clip.update, bytearray(1), up.ticks_ms
        size, turns, told_ms = len(view), Turns(), self._started_ms
        left = self._job.size_bytes
        while left > size:
            count = min(up.yield_every, (left - 1) // size)
            try:
                for _ in range(count):
                    try:
                        n = readinto(view)
                    except OSError as error:
                        raise card_error(error)
                    if n != size:
                        raise changed()
                    update(view)
                    n = stream.write_now(view)
                    if n != size:
                        await stream.write(view, size, up.idle_timeout_ms, n or 0)
                n = stream.read_now(byte)
            except (OSError, ValueError) as error:
                raise stream.failure(error)
            if n is not None:
                await self._answer.heard(byte, n)
            left -= count * size
            if ticks_diff(ticks_ms(), told_ms) >= up.progress_ms:
                told_ms = self._tell(self._job.size_bytes - left)
            if turns.others_are_due():
                await asyncio.sleep_ms(0)
        # The last piece completes the object, so the file is judged before it goes.
        clip.read_last(view[:left])
        await stream.write(view, left, up.idle_timeout_ms)
        self._tell(self._job.size_bytes)

    def _tell(self, sent_bytes):
        elapsed_ms = self._elapsed_ms()
        self._up.on_progress(self._job, sent_bytes, self._job.size_bytes, elapsed_ms)
        return ticks_add(self._started_ms, elapsed_ms)

    def _outcome(self):
        etag = header(self._answer.head.headers, "etag")
        upload_proof.check(self._clip.digest, self._headers, etag)
        return Outcome(
            url.without_query(self._grant.upload_url),
            self._grant.cloud_file_path,
            etag,
            self._job.size_bytes,
            self._clip.digest,
            self._elapsed_ms(),
        )

    def _elapsed_ms(self):
        return ticks_diff(self._up.ticks_ms(), self._started_ms)

    def _timed_out(self):
        up = self._up
        if self._elapsed_ms() >= up.timeout_ms:
            return UploadError(
                "TIMEOUT", "Upload timeout after %d seconds" % (up.timeout_ms // 1000)
            )
        return UploadError("TIMEOUT", "No progress for %d seconds" % (up.idle_timeout_ms // 1000))
