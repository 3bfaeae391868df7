"""Delivers a clip part by part, also one that is still being recorded.

    ask -> [part is there -> send -> proof -> kept in the journal] ... -> ask for more -> ... -> all stored

Where to go on is what the cloud says that the store holds (`parts_done`), not
what the camera remembers. To append a part, its MD5 must be told before its URL
comes, so it is read from the card first.

Invariant: a part counts only once the store has proven that it holds its bytes.
"""

from time import ticks_add, ticks_diff

from micropython import const

from firmware import upload_proof
from firmware.part_reader import PartReader
from firmware.upload_error import RENEW, UploadError
from firmware.upload_messages import APPEND, PUT, base64_of
from firmware.upload_request import usable_sec

_MOST_ASKS = const(3)  # for URLs of the same part
_LONGEST_SEC = const(86400)  # ticks do not reach much further


class PartUpload:
    """`up` is the OssUploader, `sender` a BodySender; `await ask(resume)` gives a Grant."""

    def __init__(self, up, job, view, sender, ask):
        self._up, self._job, self._view = up, job, view
        self._sender, self._ask = sender, ask
        self._urls = ()
        self._good_until_ms = None
        self._asks = 0
        self._refusal = None
        self._proven = 0  # leading parts that the store proved to hold in this run
        self.reader = None

    async def run(self, grant):
        """Until the store holds all parts; `reader` then has the digests."""
        await self._take(grant)
        while not await self._is_whole():
            number = self._job.parts_done + 1
            url = self._url_of(number)
            if url is None:
                await self._ask_for(number)
            else:
                await self._send(number, url)
        self.reader.end()

    def has_proof(self):
        """Whether the store itself proved every part to this camera in this run."""
        return self._proven >= self.reader.covered

    def close(self):
        if self.reader:
            self.reader.close()

    async def _take(self, grant):
        """Go on as the cloud says."""
        job = self._job
        if grant.mode == PUT or not grant.upload_id:
            raise UploadError("BAD_RESPONSE", "the cloud grants no parts any more")
        self._keep_urls(grant)
        is_same = (grant.upload_id, grant.part_size) == (job.upload_id, job.part_size)
        if self.reader is None or not is_same:
            self.close()
            self.reader, self._proven = PartReader(job, grant.part_size), 0
        if not is_same or grant.parts_done != job.parts_done:
            job.upload_id, job.part_size = grant.upload_id, grant.part_size
            job.parts_done, job.cloud_path = grant.parts_done, grant.cloud_file_path
            self._up.on_part(job)
        self._check_count()
        await self.reader.cover(job.parts_done, self._view)

    def _keep_urls(self, grant):
        self._grant, self._urls = grant, grant.parts
        usable = usable_sec(grant, self._up.unix_time()) if grant.parts else None
        self._good_until_ms = None
        if usable is not None:
            usable_ms = min(usable, _LONGEST_SEC) * 1000
            self._good_until_ms = ticks_add(self._up.ticks_ms(), usable_ms)

    def _check_count(self):
        """Only the last part may be shorter, and while the file grows no part is the last."""
        job = self._job
        spare = 1 if self._is_growing() else job.part_size
        if job.parts_done * job.part_size >= job.size_bytes + spare:
            raise UploadError("NO_UPLOAD", "the store holds more parts than the file has")

    async def _is_whole(self):
        """Whether the store holds all parts; else returns once the next part is on the card.

        A part that the file may end with is not sent before that is known.
        """
        job, growth = self._job, self._job.growth
        end = (job.parts_done + 1) * job.part_size
        while self._is_growing() and growth.size_bytes <= end:
            await growth.changed()
            self._give_way()
        self._check_count()
        return end - job.part_size >= job.size_bytes

    def _is_growing(self):
        growth = self._job.growth
        return growth is not None and not growth.is_done

    def _url_of(self, number):
        until_ms = self._good_until_ms
        if until_ms is not None and ticks_diff(until_ms, self._up.ticks_ms()) < 0:
            return None
        for part_number, url in self._urls:
            if part_number == number:
                return url
        return None

    async def _ask_for(self, number):
        """Get URLs from this part on."""
        self._asks += 1
        if self._asks > _MOST_ASKS:
            raise self._refusal or UploadError("BAD_RESPONSE", "no URL for part %d" % number)
        resume = {"upload_id": self._job.upload_id, "next_part": number}
        if self._grant.mode == APPEND:
            await self.reader.cover(number, self._view)
            self.reader.select(number)
            resume["part_md5"] = base64_of(self.reader.part_digest)
            resume["part_size"] = self.reader.size_bytes
        await self._take(await self._ask(resume))

    async def _send(self, number, url):
        job, reader = self._job, self.reader
        reader.select(number)
        try:
            content_md5, etag = await self._sender.send(self._grant, url, reader)
        except UploadError as error:
            if error.retry != RENEW:
                raise
            self._refusal, self._urls = error, ()
            return
        upload_proof.check(reader.part_digest, content_md5, etag)
        if self._proven == number - 1:
            self._proven = number
        self._asks, self._refusal = 0, None
        job.parts_done = number
        self._up.on_part(job)
        if not reader.is_last:
            self._give_way()

    def _give_way(self):
        if self._up.must_suspend(self._job):
            raise UploadError("SUSPENDED", "gives way to another upload")
