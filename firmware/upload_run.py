"""One try to deliver one clip: what is asked of the cloud, sent to the store, and told the cloud.

The file goes whole or in parts, as the cloud grants it. The cloud is told of the
end, whatever it was, where it wants to be.
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


class UploadRun:
    """One try to deliver one job; `up` is the OssUploader, which has what all uploads share."""

    _is_confirming = _has_begun_anew = False

    def __init__(self, up, job, view):
        self._up, self._job, self._view = up, job, view
        self._clip = ClipReader(job)
        self._grant = self._sender = self._parts = None

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
        """Tell the cloud; returns whether to begin anew, because an upload in parts is gone."""
        has_parts = self._job.upload_id is not None
        is_gone = has_parts and error.code == "NO_UPLOAD"
        is_over = has_parts and (is_gone or error.retry == NEVER or error.code == "INTEGRITY")
        # Whoever was not answered does not know that it failed.
        if not (self._is_confirming and error.code in ("NO_RESPONSE", "MQTT_UNAVAILABLE")):
            self.report("aborted" if is_over else "failed", error.code)
        if is_over:
            self._forget_parts()
        if not is_gone or self._has_begun_anew:
            return False
        self._has_begun_anew, self._is_confirming, self._grant = True, False, None
        return True

    def report(self, outcome, code):
        grant, job = self._grant, self._job
        if grant.requires_complete if grant else outcome == "aborted":
            self._up.report(complete_fields(grant, job, outcome, error_code=code))

    def close(self):
        for one in (self._sender, self._parts, self._clip):
            if one:
                one.close()
        self._parts = None

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
        grant, sender = self._grant, self._begin()
        usable_sec(grant, self._up.unix_time())
        sender.check(grant, grant.upload_url, self._job.size_bytes)
        self._up.on_started(self._job, grant)
        try:
            told = await sender.send(grant, grant.upload_url, self._clip)
        except UploadError as error:
            if error.code != "ALREADY_EXISTS" or not grant.requires_complete:
                raise
            return await self._finish_existing()
        return await self._finish_sent(*told)

    async def _finish_sent(self, content_md5, etag):
        digest = self._clip.digest
        if not self._grant.requires_complete:
            upload_proof.check(digest, content_md5, etag)
        return await self._finish(digest, upload_proof.is_proven(digest, content_md5, etag), etag)

    async def _finish_existing(self):
        """The object is there, perhaps by an upload whose answer got lost: the cloud can tell."""
        digest = self._job.md5 or await self._clip.read_through(self._view)
        return await self._finish(digest, False, None)

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
