"""A cloud service and its object store in one, for uploads in parts; what it does can be spoiled.

    rig = Parts(part_size)
    rig.faults[3] = behaviour          what the store does with its third request
    outcome = await rig.upload(job)

The store keeps the parts; the service looks there what it has, as with ListParts,
and says so with every grant. `complete` compares what the camera tells.
"""

import hashlib
from binascii import b2a_base64, hexlify

from firmware.upload_error import UploadError
from harness import eq
from tasks import tls_server
from tasks.camera_upload import SECRET, Camera, ack, grant
from tasks.fake_store import FakeStore

UPLOAD_ID = "u-1"


class Parts:
    """`options` are the uploader's; `batch` is how many URLs there are in a grant.

    `tls`: the server's certificate, for a store that speaks TLS.
    """

    def __init__(self, part_size, mode="multipart", batch=4, tls=None, **options):
        self.part_size, self.mode, self.batch, self.tls = part_size, mode, batch, tls
        self.options = {"multipart_bytes": part_size}
        self.options.update(options)
        self.upload_id = UPLOAD_ID
        self.stored = {}  # part number: (bytes, MD5)
        self.faults = {}  # number of a request to the store: behaviour(exchange, rig)
        self.asked, self.completed, self.reported = [], [], []
        self.requests = 0
        self.grants = {}  # number of a request for URLs: changes to the grant, or an exception
        self.acks = []  # exceptions and acks that come before the true one
        self.is_verified = True

    async def upload(self, job):
        """The Outcome or the UploadError. The store can be used again, its parts stay."""
        listening = {"ssl": tls_server.context(self.tls)} if self.tls else {}
        self.store = await FakeStore(self._serve).start(**listening)
        self.camera = Camera(None, **self.options)
        uploader = self.camera.uploader
        uploader.request_url, uploader.complete = self.request_url, self.complete
        uploader.report = self.reported.append
        try:
            return await self.camera.upload(job)
        finally:
            await self.store.stop()

    async def request_url(self, job, fields):
        self.asked.append(fields)
        given = self.grants.get(len(self.asked), {})
        if isinstance(given, Exception):
            raise given
        resume = fields.get("resume")
        if resume and resume["upload_id"] != self.upload_id:
            raise UploadError("NO_UPLOAD", "there is no such upload")
        total = None if fields.get("live") else job.size_bytes
        done = self.done(total)
        changes = {
            "upload_url": "",
            "content_type": "",
            "cloud_file_path": "CAM/b.ts",
            "mode": self.mode,
            "upload_id": self.upload_id,
            "part_size": self.part_size,
            "parts_done": done,
            "requires_complete": True,
        }
        if self.mode == "append":
            changes.update(self._append(resume, done))
        else:
            changes["parts"] = self._urls(done + 1, total)
        changes.update(given)
        if changes["mode"] == "put":
            changes["upload_url"] = self.url(0)
        return grant(self.store.port, **changes)

    async def complete(self, fields):
        self.completed.append(fields)
        if self.acks:
            given = self.acks.pop(0)
            if isinstance(given, Exception):
                raise given
            return given
        whole = b"".join(self.stored[number][0] for number in sorted(self.stored))
        eq(fields["file_size"], len(whole))
        eq(fields["content_md5"], b2a_base64(hashlib.md5(whole).digest()).decode().strip())
        if self.mode == "multipart":
            eq(fields["multipart_etag"], self.etag())
        else:
            assert "multipart_etag" not in fields, fields
        return ack(is_verified=self.is_verified, etag=self.etag(), size_bytes=len(whole))

    def done(self, total):
        """How many leading parts are there in full."""
        number = 0
        while number + 1 in self.stored:
            expected = self.part_size
            if total is not None:
                expected = min(expected, total - number * self.part_size)
            if len(self.stored[number + 1][0]) != expected:
                break
            number += 1
        return number

    def object(self):
        return b"".join(self.stored[number][0] for number in sorted(self.stored))

    def etag(self):
        digests = b"".join(self.stored[number][1] for number in sorted(self.stored))
        return "%s-%d" % (hexlify(hashlib.md5(digests).digest()).decode(), len(self.stored))

    def url(self, number):
        host = "https://localhost" if self.tls else "http://127.0.0.1"
        place = (host, self.store.port, self.upload_id, number, SECRET)
        return "%s:%d/cams/b.ts?uploadId=%s&partNumber=%d&%s" % place

    def _urls(self, first, total):
        last = 10000 if total is None else max(1, -(-total // self.part_size))
        numbers = range(first, min(last, first + self.batch - 1) + 1)
        return tuple((number, self.url(number)) for number in numbers)

    def _append(self, resume, done):
        changes = {"upload_id": "append", "method": "POST"}
        if resume and "part_md5" in resume and resume["next_part"] == done + 1:
            changes["parts"] = ((done + 1, self.url(done + 1)),)
            changes["extra_headers"] = (("Content-MD5", resume["part_md5"]),)
        return changes

    async def _serve(self, exchange):
        self.requests += 1
        fault = self.faults.get(self.requests)
        if fault:
            await fault(exchange, self)
        else:
            await self.take(exchange)

    async def take(self, exchange, etag=None):
        """Store a part and say so, as a good store does."""
        target = exchange.head.split(b" ")[1].decode()
        fields = dict(pair.split("=") for pair in target.split("?")[1].split("&"))
        number = int(fields["partNumber"])
        if fields["uploadId"] != self.upload_id:
            return await refuse(b"404 Not Found", b"NoSuchUpload")(exchange, self)
        body = await exchange.read_all()
        if len(body) < exchange.size_bytes:
            return
        digest = hashlib.md5(body).digest()
        if self.mode == "append":
            named = b"\r\nContent-MD5: %s\r\n" % b2a_base64(digest).strip()
            assert named in exchange.head, exchange.head
            if number != len(self.stored) + 1:
                return await refuse(b"409 Conflict", b"PositionNotEqualToLength")(exchange, self)
        self.stored[number] = (body, digest)
        if etag is None:
            etag = '"CRC"' if self.mode == "append" else '"%s"' % hexlify(digest).decode()
        await exchange.answer(etag=etag)


def refuse(status, code, message=b"...", headers=b""):
    """A fault: the store refuses the part once it has it."""

    async def behaviour(exchange, rig):
        await exchange.read_all()
        text = b"<Error><Code>%s</Code><Message>%s</Message></Error>" % (code, message)
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status, len(text), headers)
        await exchange.send(head + text)

    return behaviour


def cut(read_bytes=0):
    """A fault: the connection goes after so much of the body."""

    async def behaviour(exchange, rig):
        await exchange.read_body(read_bytes)
        exchange.reset_at_close()

    return behaviour


async def forget_answer(exchange, rig):
    """A fault: the part is stored, the answer gets lost."""

    async def no_answer(etag=None):
        exchange.reset_at_close()

    exchange.answer = no_answer
    await rig.take(exchange)
