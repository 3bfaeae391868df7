"""The cloud in this process: a service that grants URLs and a store that keeps objects.

The service follows docs/protocol.md, the store answers as S3 does. Whatever changes in the store is
an operation that is told to `note` and can be done again: so the store can be had as it was at any
instant of a boot.
"""

import hashlib
import json
from binascii import a2b_base64, hexlify

HOST = "store.test"
_BUCKET = "/cams/"
_PART_BYTES = 64 * 1024
_PARTS_AT_ONCE = 4
_PACKET_BYTES = 188


class Object:
    def __init__(self, body, md5, etag):
        self.body = body
        self.md5 = md5
        self.etag = etag
        self.sha = hashlib.sha256(body).digest()


class Upload:
    """An upload in parts that is not complete."""

    def __init__(self, key):
        self.key = key
        self.parts = {}  # number: body


class Store:
    def __init__(self, ops=(), note=lambda *op: None):
        self.objects = {}
        self.uploads = {}
        self.resent = 0  # bodies that came although the store had them, under that name
        self._note = lambda *op: None
        for op in ops:
            self._do(*op)
        self._note = note

    def _do(self, op, *facts):
        getattr(self, op)(*facts)
        self._note(op, *facts)

    def put(self, key, held):
        self.objects[key] = held

    def begin(self, upload_id, key):
        self.uploads[upload_id] = Upload(key)

    def part(self, upload_id, number, body):
        self.uploads[upload_id].parts[number] = body

    def complete(self, upload_id, held):
        self.objects[self.uploads.pop(upload_id).key] = held

    def abort(self, upload_id):
        self.uploads.pop(upload_id)

    def holds(self, sha):
        """How many objects have these bytes."""
        return sum(held.sha == sha for held in self.objects.values())

    def holds_part(self, content, least_bytes):
        """Whether an object is this from its beginning, in whole packets, up to there at least."""
        for held in self.objects.values():
            size = len(held.body)
            if size >= least_bytes // _PACKET_BYTES * _PACKET_BYTES and not size % _PACKET_BYTES:
                if held.body == content[:size]:
                    return True
        return False

    # What HTTP asks

    def receive(self, target, headers, body):
        """A whole PUT: (status, ETag or None)."""
        path, _, query = target.partition("?")
        key = path[len(_BUCKET) :]
        md5 = hashlib.md5(body).digest()
        named = headers.get("content-md5")
        if named and a2b_base64(named) != md5:
            return 400, None
        etag = '"%s"' % hexlify(md5).decode()
        asked = dict([pair.split("=") for pair in query.split("&")])
        if "uploadId" in asked:
            upload = self.uploads.get(asked["uploadId"])
            if upload is None:
                return 404, None
            number = int(asked["partNumber"])
            self.resent += upload.parts.get(number) == body
            self._do("part", asked["uploadId"], number, body)
            return 200, etag
        held = Object(body, md5, etag)
        there = self.objects.get(key)
        if there:
            self.resent += there.sha == held.sha
            if headers.get("if-none-match") == "*":
                return 412, None
        self._do("put", key, held)
        return 200, etag

    # What the service asks

    def create(self, key, upload_id):
        self._do("begin", upload_id, key)

    def finish(self, upload_id, wanted_etag):
        """Put the parts together that the ETag stands for; False if they are not there."""
        upload = self.uploads[upload_id]
        count = int(wanted_etag.strip('"').split("-")[1])
        bodies = [upload.parts.get(number, b"") for number in range(1, count + 1)]
        sums = b"".join([hashlib.md5(body).digest() for body in bodies])
        etag = "%s-%d" % (hexlify(hashlib.md5(sums).digest()).decode(), count)
        if wanted_etag.strip('"') != etag:
            self._do("abort", upload_id)
            return False
        body = b"".join(bodies)
        held = Object(body, hashlib.md5(body).digest(), '"%s"' % etag)
        self._do("complete", upload_id, held)
        return True

    def drop(self, upload_id):
        if upload_id in self.uploads:
            self._do("abort", upload_id)


class Service:
    """Answers requests and completes; `unix_time()` is its clock."""

    def __init__(self, store, unix_time, new_id):
        self._store = store
        self._unix_time = unix_time
        self._new_id = new_id
        self.asked = {}  # the last request for each name

    def answer(self, topic, payload):
        """`(topic, payload)` of the answer, None for a message that wants none."""
        if topic.endswith("/upload/request"):
            return self._reply(topic, "response", json.loads(payload), self._grant)
        if topic.endswith("/upload/complete"):
            return self._reply(topic, "complete_ack", json.loads(payload), self._complete)
        return None

    def _reply(self, topic, name, fields, make):
        answer = make(fields)
        answer["request_id"] = fields["request_id"]
        return topic.rsplit("/", 1)[0] + "/" + name, json.dumps(answer).encode()

    def _grant(self, fields):
        key, now = fields["file_name"], self._unix_time()
        self.asked[key] = fields
        grant = {
            "success": True,
            "method": "PUT",
            "content_type": "video/mp2t",
            "cloud_file_path": key,
            "expires_at": now + 900,
            "server_time": now,
            "expires_in": 900,
            "extra_headers": {},
        }
        if fields.get("protocol", 1) >= 2:
            grant["requires_complete"] = True
            if fields.get("resume"):
                return self._resume(fields, grant, **fields["resume"])
            is_large = fields.get("live") or fields["file_size"] > _PART_BYTES
            if is_large and "multipart" in fields["capabilities"]:
                upload_id = self._new_id()
                self._store.create(key, upload_id)
                return _grant_parts(fields, grant, upload_id, 0, 1)
            if fields.get("content_md5"):
                grant["extra_headers"]["Content-MD5"] = fields["content_md5"]
            grant["extra_headers"]["If-None-Match"] = "*"
        grant["upload_url"] = "http://%s%s%s?X-Signature=1" % (HOST, _BUCKET, key)
        return grant

    def _resume(self, fields, grant, upload_id, next_part):
        key, total = fields["file_name"], _total(fields)
        if upload_id in self._store.uploads:
            parts, done = self._store.uploads[upload_id].parts, 0
            while len(parts.get(done + 1, b"")) == _size(done + 1, total) > 0:
                done += 1
            return _grant_parts(fields, grant, upload_id, done, min(next_part, done + 1))
        held = self._store.objects.get(key)
        if held is None or len(held.body) != total:
            return _refusal("NO_UPLOAD")
        done = (total + _PART_BYTES - 1) // _PART_BYTES
        return _grant_parts(fields, grant, upload_id, done, done + 1)

    def _complete(self, fields):
        key, upload_id = fields["cloud_file_path"], fields.get("upload_id")
        if fields["outcome"] != "stored":
            if fields["outcome"] == "aborted" and upload_id:
                self._store.drop(upload_id)
            return {"success": True, "verified": False}
        if upload_id in self._store.uploads:
            if not self._store.finish(upload_id, fields.get("multipart_etag")):
                return _refusal("INTEGRITY")
        held = self._store.objects.get(key)
        if held is None:
            return _refusal("NO_UPLOAD")
        told = fields.get("content_md5")
        is_same = len(held.body) == fields["file_size"] and told
        if not is_same or a2b_base64(told) != held.md5:
            return _refusal("INTEGRITY")
        return {
            "success": True,
            "verified": True,
            "cloud_url": "http://%s%s%s" % (HOST, _BUCKET, key),
            "etag": held.etag,
            "size": len(held.body),
        }


def _total(fields):
    """The size of the whole file, None while it grows."""
    return None if fields.get("live") else fields["file_size"]


def _size(number, total):
    """How long a part is."""
    before = (number - 1) * _PART_BYTES
    return _PART_BYTES if total is None else max(0, min(_PART_BYTES, total - before))


def _grant_parts(fields, grant, upload_id, done, first):
    key, total = fields["file_name"], _total(fields)
    url = "http://%s%s%s?partNumber=%%d&uploadId=%s" % (HOST, _BUCKET, key, upload_id)
    grant["parts"] = [
        {"part_number": n, "upload_url": url % n}
        for n in range(first, first + _PARTS_AT_ONCE)
        if _size(n, total)
    ]
    grant.update({"mode": "multipart", "content_type": "", "part_size": _PART_BYTES})
    grant.update({"upload_id": upload_id, "parts_done": done})
    return grant


def _refusal(code):
    return {"success": False, "error_code": code, "error_message": code}
