"""Logs and metadata go out as gzip; footage does not, for it is compressed already.

    m0000042.log ──gzip──▶ z0.gz ──read back, MD5──▶ upload ──▶ proof ──▶ both go

The compressed file is made on the card first, because a request must tell length
and MD5 before the first byte. It is uploaded only after the interpreter's own
decoder made the very file of it again. One that a power cut left half done is
written over; it lives no longer than one attempt, for making it again gives the
same bytes. What cannot be compressed, for the card is full perhaps, goes as it is.

Invariant: the original is only read. Whoever deletes it has an Outcome, and there is
none if it changed between the first look at it and the store's proof.
"""

import asyncio
import os
from collections import namedtuple
from errno import EIO
from hashlib import md5

from micropython import const

from block_writer import BlockWriter
from firmware.clip_reader import card_error, changed
from firmware.clip_store import file_facts, is_there
from firmware.upload_error import UploadError
from gzip_encoder import PIECE_BYTES, WINDOW_BITS, GzipEncoder
from turns import others_due

try:
    from deflate import GZIP, DeflateIO

    _CAN_READ_BACK = True
except ImportError:  # a firmware built without it
    _CAN_READ_BACK = False

ENCODING = "gzip"
SUFFIX = ".gz"

_KINDS = ("log", "txt", "json", "csv")
_LEAST_BYTES = const(1024)  # less is a packet or two, compressed or not
# With these the compressed file is at fault, which can be made anew.
_OF_THE_CARD = ("LOCAL_CORRUPT", "FILE_MISSING", "FILE_CHANGED")

# md5: 16 bytes each; source: what was read.
Compressed = namedtuple("Compressed", ("size_bytes", "md5", "source_bytes", "source_md5"))


def is_compressible(name):
    """Whether files of that name shrink, by their suffix."""
    return "." in name and name.rsplit(".", 1)[1].lower() in _KINDS


def can_compress():
    """Whether this firmware can: writing needs nothing of it, but what is written is read back."""
    return _CAN_READ_BACK


async def compress(path, target, encoder):
    """Make `target` of the file and prove that it is the file again; OSError if it is not.

    `encoder`: a GzipEncoder, whose buffer is all that is used besides the decoder's window of
    4 KiB. Other tasks have their turns between pieces.
    """
    encoder.restart()
    source_md5, source_bytes = md5(), 0
    writer = BlockWriter(encoder.block, new_digest=md5)
    others = others_due()
    with open(path, "rb") as source:
        writer.open(target)
        try:
            while True:
                piece = encoder.free()
                n = source.readinto(piece)
                if not n:
                    break
                source_md5.update(piece if n == PIECE_BYTES else piece[:n])
                source_bytes += n
                encoder.feed(n)
                _write_full(encoder, writer)
                if next(others):
                    await asyncio.sleep_ms(0)
            encoder.finish()
            _write_full(encoder, writer)
            size_bytes, digest = writer.close(encoder.tail_bytes)
        finally:
            writer.abandon()
    source_digest = source_md5.digest()
    if await _plain_md5(target, encoder.free()) != source_digest:
        raise OSError(EIO, "what was compressed does not read back")
    return Compressed(size_bytes, digest, source_bytes, source_digest)


def _write_full(encoder, writer):
    while encoder.fill():
        writer.write_block()


async def _plain_md5(path, piece):
    """The MD5 of what a gzip file holds; None if it is damaged or cut off. OSError of the card."""
    digest = md5()
    others = others_due()
    with open(path, "rb") as file:
        reader = DeflateIO(file, GZIP, WINDOW_BITS)
        while True:
            try:
                n = reader.readinto(piece)
            except (OSError, EOFError):
                return None
            if not n:
                return digest.digest()
            digest.update(piece if n == len(piece) else piece[:n])
            if next(others):
                await asyncio.sleep_ms(0)


class Compression:
    """Stands before an uploader: `upload` as its own, which it calls."""

    def __init__(self, upload, *, buffers, directory, may_write, log):
        """`buffers`: one of 8 KiB per slot, unused until that slot's upload begins.

        While may_write() is false nothing on the card is touched: files go as they are.
        """
        self._upload = upload
        self._encoders = [GzipEncoder(buffer) for buffer in buffers]
        self._directory = directory
        self._may_write = may_write
        self._log = log

    def clear_away(self):
        """Delete what a power cut left."""
        for slot in range(len(self._encoders)):
            self._clear(slot)

    async def upload(self, job, slot):
        """Deliver the job's file, compressed if that makes it smaller."""
        is_small = job.size_bytes < _LEAST_BYTES
        if is_small or not is_compressible(job.path) or not self._may_write():
            return await self._upload(job, slot)
        try:
            before = _facts(job)
            made = await self._compress(job, slot)
            if made is None:
                return await self._upload(job, slot)
            _check(job, made)
            outcome = await self._upload_body(job, slot, made)
            if _facts(job) != before:
                raise changed()
            return outcome
        finally:
            self._clear(slot)

    async def _compress(self, job, slot):
        """The Compressed of the job's file, or None if it is to go as it is."""
        try:
            if not is_there(self._directory):
                os.mkdir(self._directory)
            made = await compress(job.path, self._target(slot), self._encoders[slot])
        except OSError as error:
            self._log("not compressed: " + job.path, error)
            return None
        return made if made.size_bytes < made.source_bytes else None

    async def _upload_body(self, job, slot, made):
        """Upload with the compressed file as the job's body."""
        whole = job.size_bytes, job.md5
        job.body_path, job.content_encoding = self._target(slot), ENCODING
        job.size_bytes, job.md5 = made.size_bytes, made.md5
        try:
            return await self._upload(job, slot)
        except UploadError as error:
            if error.code in _OF_THE_CARD:
                raise UploadError("CARD_ERROR", "compressed file: " + error.message)
            raise
        finally:
            job.body_path = job.content_encoding = None
            job.size_bytes, job.md5 = whole

    def _clear(self, slot):
        if not self._may_write():
            return  # FAT could not be read on; the next file takes its place
        try:
            if is_there(self._target(slot)):
                os.remove(self._target(slot))
        except OSError as error:  # the next one takes its place
            self._log("cannot be deleted: " + self._target(slot), error)

    def _target(self, slot):
        return "%s/z%d%s" % (self._directory, slot, SUFFIX)


def _check(job, made):
    """UploadError unless what was read is what the job is about."""
    if made.source_bytes != job.size_bytes:
        raise changed()
    if job.md5 and job.md5 != made.source_md5:
        raise UploadError("LOCAL_CORRUPT", "file is not what was recorded")


def _facts(job):
    """Size and time of the job's file; UploadError if it cannot be looked at."""
    try:
        return file_facts(job.path)
    except OSError as error:
        raise card_error(error)
