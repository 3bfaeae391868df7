"""Logs reach the store as gzip and nothing is lost on the way; what cannot be compressed goes as it is."""

import asyncio
import os
import sys
from hashlib import md5

import deflate

import block_writer
from firmware.compression import Compression, can_compress, compress, is_compressible
from firmware.job import Job
from firmware.upload_error import UploadError
from gzip_encoder import BUFFER_BYTES, PIECE_BYTES, WINDOW_BITS, GzipEncoder
from harness import eq, exists, raises_async, tmp_dir

LINE = b"1763856%03d upload completed: /sdcard/recordings/m%07d.ts\n"


def log_file(path, lines=500):
    with open(path, "wb") as file:
        for n in range(lines):
            file.write(LINE % (n, n * 7919 % 10000000))
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def unpacked(path):
    with open(path, "rb") as file:
        return deflate.DeflateIO(file, deflate.GZIP, WINDOW_BITS).read()


class Rig:
    """A compression before a store that keeps what it gets; `fail` is raised, `then()` done, after that."""

    def __init__(self, slots=1, fail=None, then=None):
        root = tmp_dir()
        self.recordings, self.work = root + "/recordings", root + "/work"
        os.mkdir(self.recordings)
        self.log, self.stored = [], []
        self.fail, self.then, self.may_write = fail, then, True
        os.mkdir(self.work)
        self.compression = Compression(
            self._store,
            buffers=[bytearray(BUFFER_BYTES) for _ in range(slots)],
            directory=self.work,
            may_write=lambda: self.may_write,
            log=lambda *line: self.log.append(line),
        )

    def job(self, name="boot.log", lines=500):
        path = log_file(self.recordings + "/" + name, lines)
        job = Job(path, os.stat(path)[6], 1, "historical_recording")
        job.body_path = job.content_encoding = None
        return job

    async def _store(self, job, slot):
        """Judges as the uploader does: the body must be what the job says."""
        path = job.body_path or job.path
        body = read(path)
        eq(len(body), job.size_bytes)
        if job.body_path:
            eq(md5(body).digest(), job.md5)
        await asyncio.sleep_ms(0)
        plain = unpacked(path) if job.content_encoding else body
        self.stored.append((job.content_encoding, job.size_bytes, plain))
        if self.then:
            self.then()
        if self.fail:
            raise self.fail
        return "proof"

    async def upload(self, job, slot=0):
        """The outcome or the UploadError; job, card and original must be as they were."""
        before, content = vars_of(job), exists(job.path) and read(job.path)
        try:
            result = await self.compression.upload(job, slot)
        except UploadError as error:
            result = error
        eq(vars_of(job), before)
        if not self.then:
            eq(exists(job.path) and read(job.path), content)
        eq(os.listdir(self.work), [], "left in the work directory")
        return result


def vars_of(job):
    names = ("path", "size_bytes", "md5", "content_encoding", "body_path")
    return [getattr(job, name) for name in names]


def test_what_is_compressible():
    for name, expected in (
        ("boot.log", True),
        ("/sdcard/recordings/BOOT.LOG", True),
        ("notes.txt", True),
        ("m0000042.json", True),
        ("battery.csv", True),
        ("m0000042.ts", False),
        ("boot.log.gz", False),
        ("photo.jpg", False),
        ("log", False),
        ("", False),
    ):
        eq(is_compressible(name), expected, name)


def test_a_firmware_that_cannot_read_deflate_says_so():
    eq(can_compress(), True)
    sys.modules["deflate"] = sys.modules["harness"]  # has none of the names
    del sys.modules["firmware.compression"]
    from firmware.compression import can_compress as can_now

    eq(can_now(), False)


async def test_a_compressed_file_is_the_file():
    folder = tmp_dir()
    encoder = GzipEncoder(bytearray(BUFFER_BYTES))
    for lines in (0, 1, 3, 500, 3000):
        path = log_file(folder + "/boot.log", lines)
        made = await compress(path, folder + "/z0.gz", encoder)
        content, packed = read(path), read(folder + "/z0.gz")
        eq((made.source_bytes, made.source_md5), (len(content), md5(content).digest()))
        eq((made.size_bytes, made.md5), (len(packed), md5(packed).digest()))
        assert unpacked(folder + "/z0.gz") == content, "%d lines" % lines


async def test_others_have_their_turns_meanwhile():
    folder, turns = tmp_dir(), 0
    path = log_file(folder + "/boot.log", 2000)

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep_ms(0)

    task = asyncio.create_task(other())
    await compress(path, folder + "/z0.gz", GzipEncoder(bytearray(BUFFER_BYTES)))
    task.cancel()
    pieces = os.stat(path)[6] // PIECE_BYTES
    assert turns >= 2 * pieces, "%d turns in %d pieces, there and back" % (turns, pieces)


async def test_a_log_is_delivered_compressed():
    rig = Rig()
    job = rig.job()
    eq(await rig.upload(job), "proof")
    ((encoding, size_bytes, plain),) = rig.stored
    eq(encoding, "gzip")
    assert size_bytes * 2 < job.size_bytes, size_bytes
    assert plain == read(job.path)
    eq(rig.log, [])


async def test_the_same_log_gives_the_same_bytes_in_every_attempt():
    rig = Rig(fail=UploadError("CONNECTION_LOST", "the store hung up"))
    job = rig.job()
    for _ in range(2):
        eq((await rig.upload(job)).code, "CONNECTION_LOST")
    eq(rig.stored[0], rig.stored[1])


async def test_two_slots_do_not_meet():
    rig = Rig(slots=2)
    jobs = [rig.job("a.log", 300), rig.job("b.log", 700)]
    results = await asyncio.gather(
        rig.compression.upload(jobs[0], 0), rig.compression.upload(jobs[1], 1)
    )
    eq(list(results), ["proof"] * 2)
    eq(sorted(len(plain) for _, _, plain in rig.stored), [job.size_bytes for job in jobs])
    eq(os.listdir(rig.work), [])


async def test_what_would_gain_nothing_goes_as_it_is():
    rig = Rig()
    footage = rig.job("m0000042.ts")
    short = rig.job("short.log", 3)
    noise = rig.job("noise.txt", 0)
    with open(noise.path, "wb") as file:
        file.write(os.urandom(5000))
    noise.size_bytes = 5000
    for job in (footage, short, noise):
        eq(await rig.upload(job), "proof")
        encoding, size_bytes, plain = rig.stored.pop()
        eq((encoding, size_bytes), (None, job.size_bytes), job.path)
        assert plain == read(job.path)


async def test_a_card_without_room_does_not_keep_a_log_from_its_delivery():
    rig = Rig()
    job = rig.job()
    os.rmdir(rig.work)
    open(rig.work, "wb").close()  # no directory can be made
    eq(await rig.compression.upload(job, 0), "proof")
    eq(rig.stored[0][:2], (None, job.size_bytes))
    assert "not compressed" in rig.log[0][0], rig.log
    assert isinstance(rig.log[0][1], OSError)


class Card:
    """Stands for open() in the block writer and notes what is open; a lying one stores another byte."""

    def __init__(self, lies=False):
        self.lies = lies
        self.opened = self.closed = 0

    def __enter__(self):
        block_writer.open = self.open
        return self

    def __exit__(self, *failure):
        del block_writer.open

    def open(self, path, mode):
        self.opened += 1
        self.file = open(path, mode)
        return self

    def write(self, data):
        stored = bytearray(data)
        if self.lies:
            stored[len(stored) // 2] ^= 0x04
        return self.file.write(stored)

    def flush(self):
        self.file.flush()

    def close(self):
        self.closed += 1
        self.file.close()


async def test_what_does_not_read_back_is_not_sent():
    rig = Rig()
    job = rig.job()
    with Card(lies=True):
        eq(await rig.upload(job), "proof")
    eq(rig.stored[0][:2], (None, job.size_bytes))
    assert "read back" in str(rig.log[0][1]), rig.log


async def test_a_log_that_grows_meanwhile_is_not_called_delivered():
    rig = Rig()
    job = rig.job()

    def grow():
        with open(job.path, "ab") as file:
            file.write(b"one more line\n")

    rig.then = grow
    eq((await rig.upload(job)).code, "FILE_CHANGED")
    eq(len(rig.stored), 1)


async def test_a_log_of_another_size_than_queued_is_not_sent():
    rig = Rig()
    job = rig.job()
    job.size_bytes -= 1
    eq((await rig.upload(job)).code, "FILE_CHANGED")
    eq(rig.stored, [])


async def test_a_log_with_another_digest_than_recorded_is_not_sent():
    rig = Rig()
    job = rig.job()
    job.md5 = bytes(16)
    eq((await rig.upload(job)).code, "LOCAL_CORRUPT")
    job.md5 = md5(read(job.path)).digest()
    eq(await rig.upload(job), "proof")
    eq(len(rig.stored), 1)


async def test_a_log_that_is_gone_is_missing():
    rig = Rig()
    job = rig.job()
    os.remove(job.path)
    eq((await rig.upload(job)).code, "FILE_MISSING")


async def test_a_damaged_compressed_file_is_made_anew_at_the_next_attempt():
    for code in ("LOCAL_CORRUPT", "FILE_MISSING", "FILE_CHANGED"):
        rig = Rig(fail=UploadError(code, "told of the body"))
        error = await rig.upload(rig.job())
        eq((error.code, error.retry), ("CARD_ERROR", "retry"), code)


async def test_what_a_power_cut_left_is_cleared_away_or_written_over():
    rig = Rig()
    for _ in range(2):
        with open(rig.work + "/z0.gz", "wb") as file:
            file.write(b"half of a file" * 1000)
        rig.compression.clear_away()
        eq(os.listdir(rig.work), [])
    with open(rig.work + "/z0.gz", "wb") as file:
        file.write(b"half of a file" * 1000)
    job = rig.job()
    eq(await rig.upload(job), "proof")
    assert rig.stored[0][2] == read(job.path)


async def test_a_cancelled_upload_leaves_nothing():
    rig = Rig()
    job = rig.job(lines=3000)
    with Card() as card:
        task = asyncio.create_task(rig.compression.upload(job, 0))
        while not exists(rig.work + "/z0.gz"):
            await asyncio.sleep_ms(0)
        task.cancel()
        await raises_async(asyncio.CancelledError, task)
    eq((card.opened, card.closed), (1, 1))
    eq(os.listdir(rig.work), [])
    eq(rig.stored, [])
    eq(await rig.upload(job), "proof")


async def test_nothing_is_touched_on_a_card_that_takes_no_writes():
    rig = Rig()
    leftover = rig.work + "/z0.gz"
    with open(leftover, "wb") as file:
        file.write(b"half of a file")
    rig.may_write = False
    rig.compression.clear_away()
    job = rig.job()
    eq(await rig.compression.upload(job, 0), "proof")
    eq((rig.stored[0][0], read(leftover)), (None, b"half of a file"))


async def test_a_card_that_fails_during_an_upload_is_not_asked_to_delete():
    rig = Rig(then=lambda: None)
    rig.then = lambda: setattr(rig, "may_write", False)
    eq(await rig.compression.upload(rig.job(), 0), "proof")
    eq(os.listdir(rig.work), ["z0.gz"])
    rig.may_write, rig.then = True, None
    eq(await rig.upload(rig.job()), "proof")


async def test_another_card_gets_its_directory():
    rig = Rig()
    os.rmdir(rig.work)
    eq(await rig.upload(rig.job()), "proof")
    eq(rig.stored[0][0], "gzip")
