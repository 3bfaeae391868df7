"""One clip at a time from the card to the object store, over a presigned URL.

    ask for a URL -> open -> request head -> chunk, chunk, ... last -> response -> proof

An upload ends with an Outcome only when the store has shown that it holds the
very bytes of the file; every other end is an UploadError. Between chunks the
store is listened to, so that a refusal stops the body at once. Redirects are
not followed: the URL is signed for one host.

Invariant: the file is only read, in pieces that fit the slot's buffer; file and
connection are closed however the upload ends.
"""

import asyncio
import hashlib
import os
from binascii import b2a_base64, hexlify
from collections import namedtuple
from errno import ECONNRESET, ENOENT, ETIMEDOUT
from time import ticks_diff

from micropython import const

import url
from firmware.upload_error import UploadError, classify_response, is_error_document
from http_head import END, NEED_DATA, ResponseParser, header
from http_request import write_head
from net import TlsError
from protocol_error import ProtocolError

_START_MARGIN_SEC = const(5)
_WINDOW_BYTES = const(512)
_BLANK = bytes(_WINDOW_BYTES)
# ENETDOWN, ENETUNREACH of Linux; ENETUNREACH, ENETDOWN, EHOSTUNREACH of lwIP, where it means no interface.
_NO_ROUTE = (100, 101, 114, 115, 118)

# md5: 16 bytes; etag: as the store sent it; cloud_url: without its query.
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
        _check_file(job)
        grant = await self._ask(job)
        transfer = _Transfer(self, job, grant, self._views[slot])
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
    """The state of one upload; the uploader `up` has what all uploads share."""

    def __init__(self, up, job, grant, view):
        self._up, self._job, self._grant, self._view = up, job, grant, view
        self._window = view[:_WINDOW_BYTES]
        self._one = bytearray(1)
        self._md5 = hashlib.md5()
        self._parser = ResponseParser()
        self._head = self._file = self._stream = None
        self._is_talking = False
        self._started_ms = self._told_ms = up.ticks_ms()

    def prepare(self):
        """Check what the cloud sent and write the request head into the buffer."""
        grant = self._grant
        try:
            self._url = url.split(grant.upload_url)
            if grant.method not in ("PUT", "POST"):
                raise ProtocolError("unknown upload method")
            if not (self._url.is_tls or self._up.allow_insecure):
                raise ProtocolError("refusing to upload without TLS")
            self._head_bytes = write_head(
                self._view, grant.method, self._url.target, self._request_headers()
            )
        except ProtocolError as error:
            raise UploadError("BAD_RESPONSE", str(error))
        now = grant.server_time or self._up.unix_time()
        if now and grant.expires_at and grant.expires_at - now < _START_MARGIN_SEC:
            raise UploadError("URL_EXPIRED", "upload URL has expired before its use")

    def _request_headers(self):
        named = (("Content-Type", self._grant.content_type),) if self._grant.content_type else ()
        size = str(self._job.size_bytes)
        own = (("Host", self._url.host_header), ("Content-Length", size), ("Connection", "close"))
        return own + named + tuple(self._grant.extra_headers)

    async def run(self):
        """Send the file, hear the answer, judge it."""
        failure = None
        self._open_file()
        await self._connect()
        try:
            await self._send()
            await self._collect()
        except asyncio.TimeoutError:
            failure = self._timed_out()
        except ProtocolError as error:
            failure = UploadError("BAD_RESPONSE", str(error))
        except OSError as error:
            failure = await self._last_words() or self._lost(error)
        failure = self._refusal() or failure
        if failure:
            raise failure
        return self._outcome()

    def close(self):
        if self._stream:
            self._stream.close()
        if self._file:
            try:
                self._file.close()
            except OSError as error:  # nothing was written: a card gone now takes nothing with it
                print("upload: close:", error)

    def _open_file(self):
        try:
            self._file = open(self._job.path, "rb")
        except OSError as error:
            raise _card_error(error)

    async def _connect(self):
        host = self._url.host
        try:
            self._stream = await self._up.open_stream(host, self._url.port, self._url.is_tls)
        except asyncio.TimeoutError:
            raise UploadError("CONNECT_TIMEOUT", "no connection to %s in time" % host)
        except OSError as error:
            raise self._unreachable(error)
        self._stream.expire_in(max(0, self._up.timeout_ms - self._elapsed_ms()))

    async def _send(self):
        up, stream, view, one = self._up, self._stream, self._view, self._one
        await stream.write(view, self._head_bytes, up.idle_timeout_ms)
        self._is_talking = True
        readinto, update, write, look = (
            self._file.readinto,
            self._md5.update,
            stream.write,
            stream.read_ready,
        )
        size, idle_ms = len(view), up.idle_timeout_ms
        left, turn = self._job.size_bytes, up.yield_every
        while left > size:
            try:
                n = readinto(view)
            except OSError as error:
                raise _card_error(error)
            if n != size:
                raise UploadError("FILE_CHANGED", "file is shorter than it was")
            update(view)
            await write(view, size, idle_ms)
            left -= size
            turn -= 1
            if not turn:
                turn = up.yield_every
                await asyncio.sleep_ms(0)
                n = look(one)
                if n is not None:
                    await self._heard(n)
                self._tell(self._job.size_bytes - left)
        await self._send_last(view[:left])

    async def _send_last(self, view):
        """The last piece completes the object, so everything is checked before it goes."""
        try:
            is_whole = self._file.readinto(view) == len(view) and not self._file.readinto(self._one)
        except OSError as error:
            raise _card_error(error)
        if not is_whole:
            raise UploadError("FILE_CHANGED", "file has another size than it had")
        self._md5.update(view)
        self._digest = self._md5.digest()
        if self._job.md5 and self._job.md5 != self._digest:
            raise UploadError("LOCAL_CORRUPT", "file is not what was recorded")
        await self._stream.write(view, len(view), self._up.idle_timeout_ms)
        self._told_ms -= self._up.progress_ms
        self._tell(self._job.size_bytes)

    def _tell(self, sent_bytes):
        now_ms = self._up.ticks_ms()
        if ticks_diff(now_ms, self._told_ms) >= self._up.progress_ms:
            self._told_ms = now_ms
            elapsed_ms = ticks_diff(now_ms, self._started_ms)
            self._up.on_progress(self._job, sent_bytes, self._job.size_bytes, elapsed_ms)

    async def _heard(self, n):
        """The store said something before it had the body: n bytes are in `_one`.

        Read byte by byte for as long as bytes are there: after an interim
        response the store waits for the body, not the other way round.
        """
        while n is not None:
            if n == 0:
                raise OSError(ECONNRESET, "closed by the store")
            self._parser.feed(self._one)
            event = self._parser.next_event()
            if event is not NEED_DATA:
                self._head = event
                if event.status < 300:
                    raise UploadError(
                        "BAD_RESPONSE", "store answered %d before it had the file" % event.status
                    )
                await self._collect()
                raise self._refusal()
            n = self._stream.read_ready(self._one)

    async def _last_words(self):
        """The answer, if any, that the store gave before the connection broke."""
        try:
            await self._heard(self._stream.read_ready(self._one))
        except UploadError as answer:
            return answer
        except (OSError, asyncio.TimeoutError, ProtocolError):
            return None

    async def _collect(self):
        """Read the response to its end, or for as much of it as matters."""
        event = self._parser.next_event()
        while event is not END:
            if event is NEED_DATA:
                self._parser.feed(await self._receive())
            else:
                self._head = event
            event = self._parser.next_event()

    async def _receive(self):
        """The next bytes of the response.

        MicroPython's readinto reads on until it would block and, should that
        end in a reset, reports the reset alone; the bytes before it are in the
        buffer all the same. A response holds no NUL, so blanks mark their end.
        """
        window = self._window
        window[:] = _BLANK
        try:
            n = await self._stream.readinto(window, self._up.idle_timeout_ms)
        except asyncio.TimeoutError:
            raise
        except OSError:
            n = _text_bytes(window)
            if not n:
                raise
        if n == 0 and self._head is None:
            raise OSError(ECONNRESET, "closed without an answer")
        return window[:n]

    def _refusal(self):
        """The store's refusal as an UploadError, None if it did not refuse."""
        if self._head is None:
            return None
        status, body = self._head.status, self._parser.body
        if status < 300 and not is_error_document(body):
            return None
        return classify_response(status, body, header(self._head.headers, "retry-after"))

    def _outcome(self):
        etag = header(self._head.headers, "etag", "")
        if not self._was_md5_named():
            md5 = _md5_of_etag(etag)
            if md5 is None:
                raise UploadError("INTEGRITY", "store gave no proof of what it holds")
            if md5 != hexlify(self._digest).decode():
                raise UploadError("INTEGRITY", "store holds other bytes than were sent")
        return Outcome(
            url.without_query(self._grant.upload_url),
            self._grant.cloud_file_path,
            etag,
            self._job.size_bytes,
            self._digest,
            self._elapsed_ms(),
        )

    def _was_md5_named(self):
        """Whether the request carried the right Content-MD5, which the store then has verified."""
        md5 = b2a_base64(self._digest).decode().strip()
        return any(n.lower() == "content-md5" and v == md5 for n, v in self._grant.extra_headers)

    def _elapsed_ms(self):
        return ticks_diff(self._up.ticks_ms(), self._started_ms)

    def _timed_out(self):
        if self._elapsed_ms() >= self._up.timeout_ms:
            return UploadError(
                "TIMEOUT", "Upload timeout after %d seconds" % (self._up.timeout_ms // 1000)
            )
        return UploadError(
            "TIMEOUT", "No progress for %d seconds" % (self._up.idle_timeout_ms // 1000)
        )

    def _unreachable(self, error):
        number = error.errno
        if isinstance(error, TlsError) or not isinstance(number, int):
            return self._lost(error)
        if number < 0:
            return UploadError("DNS_FAILED", "no address for " + self._url.host)
        if number in _NO_ROUTE:
            return UploadError("NETWORK_DOWN", "no route to " + self._url.host)
        return self._lost(error)

    def _lost(self, error):
        if isinstance(error, TlsError) and not self._is_talking:
            code = "TLS_CERTIFICATE" if error.is_certificate else "TLS_FAILED"
            return UploadError(code, "%s: %s" % (self._url.host, error))
        if error.errno == ETIMEDOUT:
            return UploadError("TIMEOUT", "%s does not answer" % self._url.host)
        return UploadError("CONNECTION_LOST", "%s: %s" % (self._url.host, error))


def _check_file(job):
    try:
        size_bytes = os.stat(job.path)[6]
    except OSError as error:
        raise _card_error(error)
    if size_bytes != job.size_bytes:
        raise UploadError("FILE_CHANGED", "file has another size than it had")


def _card_error(error):
    if error.errno == ENOENT:
        return UploadError("FILE_MISSING", "file is not on the card")
    return UploadError("CARD_ERROR", "cannot read the file: %s" % error)


def _text_bytes(window):
    """How many bytes come before the first NUL."""
    n = 0
    while n < len(window) and window[n]:
        n += 1
    return n


def _md5_of_etag(etag):
    """The MD5 (hex) that an ETag is, None for one that is not: multipart, or not 32 hex digits."""
    text = etag[2:] if etag.startswith("W/") else etag
    text = text.strip('"').lower()
    is_md5 = len(text) == 32 and all(c in "0123456789abcdef" for c in text)
    return text if is_md5 else None
