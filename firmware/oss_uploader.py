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

from firmware import upload_proof
from firmware.clip_reader import ClipReader, card_error, changed
from firmware.network_error import lost, timed_out, unreachable
from firmware.store_answer import StoreAnswer
from firmware.upload_error import UploadError
from firmware.upload_request import prepare
from http_head import header
from protocol_error import ProtocolError
from turns import others_due

# One TLS record on the boards: more at once could fail behind an answer that came meanwhile.
_PIECE_BYTES = const(4096)

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
        transfer = _Transfer(self, job, clip, self._views[slot])
        try:
            transfer.prepare(await self._ask(job))
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

    def __init__(self, up, job, clip, view):
        self._up, self._job, self._clip, self._view = up, job, clip, view
        self._stream = None
        self._has_talked = False

    def prepare(self, grant):
        """Check what the cloud sent and write the request head into the buffer; the grant may go."""
        self._started_ms = self._up.ticks_ms()
        self._request = prepare(
            grant,
            self._job.size_bytes,
            self._view,
            allow_insecure=self._up.allow_insecure,
            unix_time=self._up.unix_time(),
        )
        self._up.on_started(self._job, grant)

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
            failure = await self._broken(error)
        failure = self._answer.refusal() or failure
        if failure:
            raise failure
        return self._outcome()

    async def _broken(self, error):
        error = self._stream.failure(error)
        if isinstance(error, asyncio.TimeoutError):
            return self._timed_out()
        answer = await self._answer.last_words()
        return answer or lost(self._request.host, error, self._has_talked)

    def close(self):
        if self._stream:
            self._stream.close()
        self._clip.close()

    async def _connect(self):
        up, host = self._up, self._request.host
        try:
            self._stream = await up.open_stream(host, self._request.port, self._request.is_tls)
        except asyncio.TimeoutError:
            raise UploadError("CONNECT_TIMEOUT", "no connection to %s in time" % host)
        except OSError as error:
            raise unreachable(host, error)
        self._stream.expire_in(max(0, up.timeout_ms - self._elapsed_ms()))
        self._answer = StoreAnswer(self._stream, self._view, up.idle_timeout_ms)

    async def _send(self):
        await self._stream.write(self._view, self._request.head_bytes, self._up.idle_timeout_ms)
        self._has_talked = True
        size, total = len(self._view), self._job.size_bytes
        chunks = max(0, total - 1) // size  # all but the last piece, which has 1..size bytes
        await self._send_chunks(chunks)
        # The last piece completes the object, so the file is judged before it goes.
        left = total - chunks * size
        self._clip.read_last(self._view[:left])
        await self._push(0, left)
        self._tell(total)

    async def _send_chunks(self, chunks):
        """The product's hottest loop: what it calls for every chunk is native."""
        up, stream, view, byte = self._up, self._stream, self._view, self._answer.byte
        readinto, update, ticks_ms = self._clip.readinto, self._clip.update, up.ticks_ms
        every, progress_ms, size = up.yield_every, up.progress_ms, len(view)
        is_plain = not self._request.is_tls
        others, sent, told_ms = others_due(), 0, self._started_ms
        while chunks:
            count = every if chunks > every else chunks
            write = stream.write_now
            for _ in range(count):
                try:
                    n = readinto(view)
                except OSError as error:
                    raise card_error(error)
                if n != size:
                    raise changed()
                update(view)
                n = is_plain and write(view) or 0
                if n != size:
                    await self._push(n, size)
            chunks -= count
            sent += count * size
            n = stream.read_now(byte)
            if n is not None:
                await self._answer.heard(byte, n)
            if ticks_diff(ticks_ms(), told_ms) >= progress_ms:
                told_ms = self._tell(sent)
            if next(others):
                await asyncio.sleep_ms(0)

    async def _push(self, start, end):
        """Write a part of the buffer, waiting for room where need be.

        Listens before every piece: once a TLS write has failed, MicroPython
        reads nothing more from that connection, not even why it failed.
        """
        stream, byte = self._stream, self._answer.byte
        while start < end:
            n = stream.read_now(byte)
            if n is not None:
                await self._answer.heard(byte, n)
            # A refused TLS write is repeated with the same bytes, which it asks for.
            n = stream.write_now(self._view, start, min(_PIECE_BYTES, end - start))
            if n:
                start += n
            else:
                await stream.writable(self._up.idle_timeout_ms)

    def _tell(self, sent_bytes):
        elapsed_ms = self._elapsed_ms()
        self._up.on_progress(self._job, sent_bytes, self._job.size_bytes, elapsed_ms)
        return ticks_add(self._started_ms, elapsed_ms)

    def _outcome(self):
        etag = header(self._answer.head.headers, "etag")
        upload_proof.check(self._clip.digest, self._request.content_md5, etag)
        return Outcome(
            self._request.cloud_url,
            self._request.cloud_path,
            etag,
            self._job.size_bytes,
            self._clip.digest,
            self._elapsed_ms(),
        )

    def _elapsed_ms(self):
        return ticks_diff(self._up.ticks_ms(), self._started_ms)

    def _timed_out(self):
        return timed_out(self._elapsed_ms(), self._up.timeout_ms, self._up.idle_timeout_ms)
