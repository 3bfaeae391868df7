"""A clip, a grant and an uploader against a fake store, for the tests of uploads."""

import asyncio
import hashlib
import os
import time

import net
from firmware.job import Job
from firmware.oss_uploader import OssUploader
from firmware.upload_error import UploadError
from firmware.upload_messages import CompleteAck, Grant
from harness import eq, tmp_dir
from tasks import tls_server
from tasks.fake_store import FakeStore

CHUNK_BYTES = 8192
SECRET = "X-Signature=secret"


def job_for(path, size_bytes, md5=None):
    job = Job(path, size_bytes, 2, "motion_detection")
    job.md5 = md5
    return job


def clip(size_bytes, md5=None):
    """A job for a new file of random bytes; a large one is mostly hole."""
    path = tmp_dir() + "/m0000001.ts"
    with open(path, "wb") as file:
        file.write(os.urandom(min(size_bytes, 100000)))
        if size_bytes > 100000:
            file.seek(size_bytes - 1)
            file.write(b"\x47")
    return job_for(path, size_bytes, md5)


def file_md5(path):
    """The MD5 of a file, read in pieces: the largest here does not fit the heap."""
    digest, piece = hashlib.md5(), bytearray(CHUNK_BYTES)
    with open(path, "rb") as file:
        while True:
            n = file.readinto(piece)
            if not n:
                return digest.digest()
            digest.update(memoryview(piece)[:n])


def grant(port, **changes):
    fields = {
        "request_id": "upload_1",
        "upload_url": "http://127.0.0.1:%d/cams/a/b.ts?%s" % (port, SECRET),
        "method": "PUT",
        "content_type": "video/mp2t",
        "cloud_file_path": "a/b.ts",
        "expires_at": None,
        "extra_headers": (),
        "server_time": None,
        "expires_in": None,
        "mode": "put",
        "upload_id": "",
        "part_size": 0,
        "parts": (),
        "parts_done": 0,
        "requires_complete": False,
    }
    fields.update(changes)
    return Grant(**fields)


def ack(**changes):
    """The cloud's word that all is well."""
    fields = {
        "request_id": "upload_1",
        "is_verified": True,
        "cloud_url": "https://store.example/a/b.ts?secret",
        "etag": "told",
        "size_bytes": None,
    }
    fields.update(changes)
    return CompleteAck(**fields)


class Camera:
    """An uploader with its callbacks recorded; `reply` is the grant, or the exception, it gets.

    A list of replies is given in turn. `acks` likewise: what the cloud says to each `complete`.
    """

    def __init__(
        self,
        reply,
        timeout_ms=20000,
        idle_timeout_ms=10000,
        slots=1,
        authorities=(),
        acks=(),
        **options,
    ):
        settings = {"allow_insecure": True, "progress_ms": 0, "unix_time": lambda: None}
        settings["ticks_ms"] = time.ticks_ms
        settings.update(options)
        self.reply = reply
        self.acks = list(acks)
        self.authorities = authorities
        self.started, self.progress, self.streams = [], [], []
        self.asked, self.completed, self.reported, self.kept = [], [], [], []
        self.uploader = OssUploader(
            self._request_url,
            self._open_stream,
            buffers=[bytearray(CHUNK_BYTES) for _ in range(slots)],
            timeout_ms=timeout_ms,
            idle_timeout_ms=idle_timeout_ms,
            on_started=lambda *args: self.started.append(args),
            on_progress=lambda *args: self.progress.append(args),
            complete=self._complete,
            report=self.reported.append,
            on_part=lambda job: self.kept.append((job.upload_id, job.part_size, job.parts_done)),
            **settings,
        )

    async def _request_url(self, job, fields):
        self.asked.append(fields)
        return self._given(self.reply.pop(0) if isinstance(self.reply, list) else self.reply)

    async def _complete(self, fields):
        self.completed.append(fields)
        return self._given(self.acks.pop(0))

    def _given(self, reply):
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _open_stream(self, host, port, tls):
        host_ip = await net.resolve(host, cache={}, dns_servers=(), timeout_ms=2000)
        context = net.make_tls_context(*self.authorities) if tls else None
        stream = await net.connect(
            (host_ip, port), tls=context, server_hostname=host, timeout_ms=2000
        )
        self.streams.append(stream)
        return stream

    async def upload(self, job, slot=0):
        """The Outcome or the UploadError; the file must be as it was, the connection closed."""
        before = os.stat(job.path)[6]
        try:
            result = await self.uploader.upload(job, slot)
        except UploadError as error:
            assert SECRET not in str(error), "a message shows the query: %s" % error
            result = error
        if job.growth is None:
            eq(os.stat(job.path)[6], before, "size of the file on the card")
        for stream in self.streams:
            try:
                stream.read_ready(bytearray(1))
            except (OSError, asyncio.TimeoutError):
                continue
            raise AssertionError("connection left open")
        return result


async def try_upload(behaviour, job, changes=(), tls=None, **options):
    """One upload to a store that behaves so, in TLS with that server certificate: (result, store, camera)."""
    listening = {"ssl": tls_server.context(tls)} if tls else {}
    store = await FakeStore(behaviour).start(**listening)
    changes = dict(changes)
    if tls:
        changes["upload_url"] = "https://localhost:%d/cams/a/b.ts?%s" % (store.port, SECRET)
    camera = Camera(grant(store.port, **changes), **options)
    try:
        return await camera.upload(job), store, camera
    finally:
        await store.stop()
