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
from collections import namedtuple
from time import ticks_diff

import url
from firmware import upload_proof
from firmware.body_sender import BodySender
from firmware.clip_reader import ClipReader
from firmware.part_upload import PartUpload
from firmware.upload_error import NEVER, UploadError
from firmware.upload_messages import MULTIPART, PUT, complete_fields, request_fields
from firmware.upload_request import usable_sec
from protocol_error import ProtocolError

# md5: 16 bytes; etag: as the store sent it, or None; cloud_url: without its query;
# sent_bytes: how many went out now, for parts may have been stored before.
Outcome = namedtuple(
    "Outcome",
    ("cloud_url", "cloud_path", "etag", "size_bytes", "md5", "duration_ms", "sent_bytes"),
)


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
        may_begin_anew = True
        while True:
            run = _Run(self, job, self._views[slot])
            try:
                if await run.is_granted_whole():
                    return await run.whole()
                return await run.in_parts()
            except UploadError as error:
                is_gone = error.code == "NO_UPLOAD" and job.upload_id is not None
                run.failed(error)
                if not (is_gone and may_begin_anew):
                    raise
                may_begin_anew = False
            except asyncio.CancelledError:
                run.report("failed", "CANCELLED")
                raise
            finally:
                run.close()


class _Run:
    """One try to deliver one job; `up`, the uploader, has what all uploads share."""

    _grant = _sender = _parts = None
    _is_confirming = False

    def __init__(self, up, job, view):
        self._up, self._job, self._view = up, job, view
        self._clip = ClipReader(job)

    async def is_granted_whole(self):
        """Ask for URLs; whether there is one for the whole file."""
        job = self._job
        while True:
            self._clip.check()
            resume = None
            if job.upload_id:
                resume = {"upload_id": job.upload_id, "next_part": job.parts_done + 1}
            grant = await self._ask(resume)
            if grant.mode != PUT:
                return False
            if job.upload_id:
                self._forget_parts()
            if not job.growth or job.growth.is_done:
                return True
            await self._end_of_recording()

    def failed(self, error):
        """Tell the cloud why this came to nothing; an upload in parts may be over for good."""
        is_over = error.retry == NEVER or error.code in ("INTEGRITY", "NO_UPLOAD")
        is_over = is_over and self._job.upload_id is not None
        # Whoever was not answered does not know that it failed.
        if not (self._is_confirming and error.code in ("NO_RESPONSE", "MQTT_UNAVAILABLE")):
            self.report("aborted" if is_over else "failed", error.code)
        if is_over:
            self._forget_parts()

    def report(self, outcome, code):
        grant, job = self._grant, self._job
        if grant.requires_complete if grant else outcome == "aborted":
            self._up.report(complete_fields(grant, job, outcome, error_code=code))

    def close(self):
        for one in (self._sender, self._parts, self._clip):
            if one:
                one.close()

    async def _ask(self, resume):
        up, job, fields = self._up, self._job, None
        if up.complete:
            is_large = up.multipart_bytes is not None and job.size_bytes > up.multipart_bytes
            # What was compressed is gone after a reset: it cannot go on in the middle.
            is_large = is_large and not job.content_encoding
            is_growing = job.growth and not job.growth.is_done
            fields = request_fields(job, is_large or is_growing or resume, resume)
        try:
            grant = await up.request_url(job, fields)
        except asyncio.TimeoutError:
            raise UploadError("NO_RESPONSE", "no upload URL in time")
        except OSError as error:
            raise UploadError("MQTT_UNAVAILABLE", "cannot ask for an upload URL: %s" % error)
        except ProtocolError as error:
            raise UploadError("BAD_RESPONSE", str(error))
        if grant.requires_complete and not up.complete:
            raise UploadError("BAD_RESPONSE", "the cloud grants what was not asked for")
        self._grant = grant
        return grant

    async def _end_of_recording(self):
        """The cloud wants the file in one piece: wait until it is one."""
        growth = self._job.growth
        while not growth.is_done:
            await growth.changed()
            if self._up.must_suspend(self._job):
                raise UploadError("SUSPENDED", "gives way to another upload")

    def _forget_parts(self):
        self._job.forget_parts()
        self._up.on_part(self._job)

    async def whole(self):
        job, clip, grant = self._job, self._clip, self._grant
        sender = self._begin()
        usable_sec(grant, self._up.unix_time())
        sender.check(grant, grant.upload_url, job.size_bytes)
        self._up.on_started(job, grant)
        etag = None
        try:
            content_md5, etag = await sender.send(grant, grant.upload_url, clip)
        except UploadError as error:
            if error.code != "ALREADY_EXISTS" or not grant.requires_complete:
                raise
            # An answer that got lost could have been a success: the cloud can tell.
            digest, has_proof = job.md5 or await clip.read_through(self._view), False
        else:
            digest = clip.digest
            has_proof = upload_proof.is_proven(digest, content_md5, etag)
            if not grant.requires_complete:
                upload_proof.check(digest, content_md5, etag)
        return await self._finish(digest, has_proof, etag)

    async def in_parts(self):
        grant, sender = self._grant, self._begin()
        parts = self._parts = PartUpload(self._up, self._job, self._view, sender, self._ask)
        self._up.on_started(self._job, grant)
        await parts.run(grant)
        reader = parts.reader
        parts_digest = reader.parts_digest() if grant.mode == MULTIPART else None
        return await self._finish(reader.digest, parts.has_proof(), None, parts_digest)

    def _begin(self):
        self._sender = BodySender(self._up, self._view)
        return self._sender

    async def _finish(self, digest, has_proof, etag, parts_digest=None):
        """All is stored: hear what the cloud says, if it wants to be asked."""
        grant, job = self._grant, self._job
        cloud_url = grant.upload_url or (grant.parts[0][1] if grant.parts else "")
        if grant.requires_complete:
            self._is_confirming = True
            ack = await self._up.complete(
                complete_fields(grant, job, "stored", digest=digest, parts_digest=parts_digest)
            )
            upload_proof.check_ack(ack, job.size_bytes, has_proof)
            cloud_url, etag = ack.cloud_url or cloud_url, ack.etag or etag
        return Outcome(
            url.without_query(cloud_url),
            grant.cloud_file_path,
            etag,
            job.size_bytes,
            digest,
            ticks_diff(self._up.ticks_ms(), self._sender.started_ms),
            self._sender.sent_bytes,
        )
