"""Sends the bodies of one upload to the store, over one connection as long as that serves.

    request head -> chunk, chunk, ... last -> answer -> the next request, or the end

Between chunks the store is listened to, so that a refusal stops the body at
once. A redirect is followed once per body: what was sent until then does not
count. A connection that was kept and dies before the store says a word had
been closed by then: the body goes again over a new one.

Invariant: after a failure the connection is closed, by who is told of it at the latest.
"""

import asyncio
from time import ticks_add, ticks_diff

from micropython import const

from firmware.clip_reader import card_error, changed
from firmware.network_error import lost, timed_out, unreachable
from firmware.store_answer import Redirect, StoreAnswer
from firmware.upload_error import UploadError
from firmware.upload_request import prepare, redirected
from http_head import header
from protocol_error import ProtocolError
from turns import others_due

# One TLS record on the boards: more at once could fail behind an answer that came meanwhile.
_PIECE_BYTES = const(4096)


def _nothing_written(_):
    """What TLS is: it takes one piece at a time, of which _push knows."""


class BodySender:
    """`up` is the OssUploader, which has what all uploads share; `view` the slot's buffer."""

    sent_bytes = 0  # in complete bodies

    def __init__(self, up, view):
        self._up, self._view = up, view
        self._stream = self._request = self._answer = None
        self.started_ms = self._begun_ms = self._told_ms = up.ticks_ms()

    def check(self, grant, url, size_bytes, keeps=False):
        """Write the request head into the buffer; UploadError for a grant that cannot be used."""
        up = self._up
        return prepare(
            grant,
            url,
            size_bytes,
            self._view,
            allow_insecure=up.allow_insecure,
            allowed_hosts=up.allowed_hosts,
            keeps=keeps,
        )

    async def send(self, grant, url, body):
        """Send the body; the store's evidence: (Content-MD5 of the request, ETag), either may be None.

        UploadError unless the store answered 2xx once it had everything. The
        connection stays for the next body, if this one is not the last.
        """
        may_follow, was_kept = True, False
        while True:
            await body.begin(self._view)
            request = self.check(grant, url, body.size_bytes, not body.is_last)
            try:
                was_kept = await self._connect(request)
                await self._talk(body, was_kept)
                return self._evidence(body)
            except UploadError as error:
                self.close()
                if isinstance(error, Redirect) and may_follow:
                    may_follow, url = False, redirected(url, error.location)
                elif not (was_kept and error.code == "CONNECTION_LOST") or self._has_spoken():
                    raise

    def close(self):
        stream, self._stream = self._stream, None
        if stream:
            stream.close()

    def _evidence(self, body):
        """The answer is complete: what it proves, and whether the connection serves on."""
        answer, self._answer = self._answer, None
        if body.is_last or not answer.is_reusable():
            self.close()
        else:
            self._stream.expire_in(None)
        self.sent_bytes += body.size_bytes
        return self._request.content_md5, header(answer.head.headers, "etag")

    async def _connect(self, request):
        """Have a connection to where the request goes; whether it is that of the last one."""
        up = self._up
        self._begun_ms = up.ticks_ms()
        was_kept = self._is_open_to(request)
        self._request = request
        if not was_kept:
            self.close()
            try:
                self._stream = await up.open_stream(request.host, request.port, request.is_tls)
            except asyncio.TimeoutError:
                raise UploadError("CONNECT_TIMEOUT", "no connection to %s in time" % request.host)
            except OSError as error:
                raise unreachable(request.host, error)
        self._answer = None
        self._set_deadline()
        return was_kept

    def _is_open_to(self, request):
        """Whether the connection leads there and the other side has not closed it."""
        if self._stream is None or self._request[:3] != request[:3]:
            return False
        try:
            return self._stream.read_ready(self._up.byte) is None
        except (OSError, asyncio.TimeoutError):
            return False

    async def _talk(self, body, has_talked):
        """Send the request, hear the answer, judge it."""
        view, failure = self._view, None
        try:
            await self._stream.write(view, self._request.head_bytes, self._up.idle_timeout_ms)
            has_talked = True
            left = await self._send_chunks(body, max(0, body.size_bytes - 1) // len(view))
            # The last piece, of 1..len(view) bytes, completes the object: the file is judged before.
            body.finish(view[:left])
            await self._push(0, left)
            self._tell_end(body)
            await self._store().collect()
        except asyncio.TimeoutError:
            failure = self._timed_out()
        except ProtocolError as error:
            failure = UploadError("BAD_RESPONSE", str(error))
        except OSError as error:
            failure = await self._broken(error, has_talked)
        failure = self._store().refusal() or failure
        if failure:
            raise failure

    async def _broken(self, error, has_talked):
        error = self._stream.failure(error)
        if isinstance(error, asyncio.TimeoutError):
            return self._timed_out()
        answer = await self._store().last_words()
        return answer or lost(self._request.host, error, has_talked)

    def _store(self):
        """The StoreAnswer, made when first needed: a body on its way needs memory enough."""
        if self._answer is None:
            self._answer = StoreAnswer(self._stream, self._view, self._up.idle_timeout_ms)
        return self._answer

    def _has_spoken(self):
        return self._answer is not None and self._answer.has_begun()

    async def _send_chunks(self, body, chunks):
        """Send so many whole chunks; returns how many bytes are left. The product's hottest loop:

        what it calls for every chunk is native.
        """
        up, stream, view = self._up, self._stream, self._view
        readinto, update, ticks_ms = body.readinto, body.update, up.ticks_ms
        byte, limiter, progress_ms, size = up.byte, up.limiter, up.progress_ms, len(view)
        every = 1 if limiter else up.yield_every
        is_plain = not self._request.is_tls
        others, sent, told_ms = others_due(), 0, self._told_ms
        while chunks:
            count = every if chunks > every else chunks
            if limiter:
                await self._pause(size)
            write = stream.write_now if is_plain else _nothing_written
            for _ in range(count):
                try:
                    n = readinto(view)
                except OSError as error:
                    raise card_error(error)
                if n != size:
                    raise changed()
                update(view)
                n = write(view)
                if n != size:
                    await self._push(n or 0, size)
            chunks -= count
            sent += count * size
            n = stream.read_now(byte)
            if n is not None:
                await self._store().heard(byte, n)
            if ticks_diff(ticks_ms(), told_ms) >= progress_ms:
                told_ms = self._tell(body, sent)
            if next(others):
                await asyncio.sleep_ms(0)
        n = body.size_bytes - sent
        if limiter:
            await self._pause(n)
        return n

    async def _push(self, start, end):
        """Write a part of the buffer, waiting for room where need be.

        Listens before every piece: once a TLS write has failed, MicroPython
        reads nothing more from that connection, not even why it failed.
        """
        stream, byte = self._stream, self._up.byte
        while start < end:
            n = stream.read_now(byte)
            if n is not None:
                await self._store().heard(byte, n)
            # A refused TLS write is repeated with the same bytes, which it asks for.
            n = stream.write_now(self._view, start, min(_PIECE_BYTES, end - start))
            if n:
                start += n
            else:
                await stream.writable(self._up.idle_timeout_ms)

    async def _pause(self, size_bytes):
        """Wait until the bandwidth limit lets so much go; that time is not the store's."""
        wait_ms = self._up.limiter.take(size_bytes, self._up.ticks_ms())
        if wait_ms:
            self._begun_ms = ticks_add(self._begun_ms, wait_ms)
            self._set_deadline()
            await asyncio.sleep_ms(wait_ms)

    def _tell_end(self, body):
        up = self._up
        if body.is_last or ticks_diff(up.ticks_ms(), self._told_ms) >= up.progress_ms:
            self._tell(body, body.size_bytes)

    def _tell(self, body, sent_bytes):
        """Tell the progress, with the speed of this run: what was stored before it is not counted."""
        self._told_ms, job = self._up.ticks_ms(), body.job
        elapsed_ms = max(1, ticks_diff(self._told_ms, self.started_ms))
        rate = (self.sent_bytes + sent_bytes) * 1000 // elapsed_ms
        self._up.on_progress(job, body.offset + sent_bytes, job.size_bytes, rate)
        return self._told_ms

    def _set_deadline(self):
        self._stream.expire_in(max(0, self._up.timeout_ms - self._elapsed_ms()))

    def _elapsed_ms(self):
        return ticks_diff(self._up.ticks_ms(), self._begun_ms)

    def _timed_out(self):
        up = self._up
        return timed_out(self._elapsed_ms(), up.timeout_ms, up.idle_timeout_ms)
