"""The file of a clip: whole blocks, flushes, digest, and a handle that dies with its first error."""

from errno import EIO
from hashlib import md5

import micropython

import block_writer
from block_writer import BlockWriter
from harness import eq, exists, raises, tmp_dir

BLOCK_BYTES = 8192
ENOSPC = 28


class Card:
    """Stands for open(): notes what is done to its file, and fails when told to."""

    def __init__(self, fail=None, error=EIO, short=False):
        self.calls = []
        self.fail = fail  # the call that fails, counted from 0
        self.error = error
        self.short = short

    def __enter__(self):
        block_writer.open = self.open
        return self

    def __exit__(self, *failure):
        del block_writer.open

    def open(self, path, mode):
        eq(mode, "wb")
        self.note("open")
        return self

    def write(self, data):
        self.note(len(data))
        return len(data) - self.short

    def flush(self):
        self.note("flush")

    def seek(self, position):
        self.note(("seek", position))

    def close(self):
        self.note("close")

    def note(self, call):
        self.calls.append(call)
        if len(self.calls) - 1 == self.fail:
            raise OSError(self.error, "as told")


def block_of(number):
    return bytes([number]) * BLOCK_BYTES


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, numbers, tail_bytes=0, **options):
    """A file of blocks, each filled with its number; what close() returns."""
    block = bytearray(BLOCK_BYTES)
    writer = BlockWriter(block, **options)
    writer.open(path)
    for number in numbers:
        block[:] = block_of(number)
        writer.write_block()
    block[:] = block_of(99)
    return writer.close(tail_bytes)


def test_the_file_is_its_blocks_and_its_tail():
    path = tmp_dir() + "/clip.ts"
    for numbers, tail_bytes in (
        (b"", 0),
        (b"\x01", 0),
        (b"\x01\x02\x03", 188),
        (b"", 7),
        (b"\x05", 8191),
    ):
        expected = b"".join([block_of(number) for number in numbers]) + block_of(99)[:tail_bytes]
        eq(write(path, numbers, tail_bytes), (len(expected), None))
        assert read(path) == expected, (numbers, tail_bytes)


def test_the_digest_is_that_of_the_file():
    path = tmp_dir() + "/clip.ts"
    for tail_bytes in (0, 1, 1880):
        size_bytes, digest = write(path, range(3), tail_bytes, new_digest=md5)
        content = read(path)
        eq((size_bytes, digest), (len(content), md5(content).digest()))


def test_a_writer_serves_one_file_after_the_other():
    folder = tmp_dir()
    writer = BlockWriter(bytearray(BLOCK_BYTES), new_digest=md5)
    for path in (folder + "/a.ts", folder + "/b.ts", folder + "/a.ts"):
        writer.open(path)
        writer.write_block()
        eq(writer.close(188), (8380, md5(bytes(8380)).digest()))
    eq(len(read(folder + "/a.ts")), 8380)


def test_only_whole_blocks_are_written_and_flushed_every_64_kb():
    with Card() as card:
        write("x", range(17), 188)
    blocks = [BLOCK_BYTES] * 8
    rest = [BLOCK_BYTES, 188, "flush", "close"]
    eq(card.calls, ["open"] + blocks + ["flush"] + blocks + ["flush"] + rest)


def test_a_flush_asked_for_counts_for_the_64_kb():
    with Card() as card:
        writer = BlockWriter(bytearray(BLOCK_BYTES))
        writer.open("x")
        writer.flush()
        for _ in range(5):
            writer.write_block()
        writer.flush()
        eq(writer.flushed_bytes, 5 * BLOCK_BYTES)
        writer.flush()
        for _ in range(8):
            writer.write_block()
        writer.close()
    blocks = [BLOCK_BYTES] * 5 + ["flush"] + [BLOCK_BYTES] * 8 + ["flush"]
    eq(card.calls, ["open"] + blocks + ["flush", "close"])


def test_a_flush_that_fails_ends_the_file():
    with Card(2) as card:
        writer = BlockWriter(bytearray(BLOCK_BYTES))
        writer.open("x")
        writer.write_block()
        eq(raises(OSError, writer.flush).errno, EIO)
        eq((card.calls, writer.flushed_bytes), (["open", BLOCK_BYTES, "flush", "close"], 0))
        raises(OSError, writer.flush)


def first_error(writer):
    """Write on until it fails."""
    while True:
        try:
            writer.write_block()
        except OSError as error:
            return error.errno


def test_after_an_error_the_handle_is_closed_and_never_used_again():
    for fail, error, calls in (
        (1, EIO, ["open", BLOCK_BYTES, "close"]),
        (2, ENOSPC, ["open", BLOCK_BYTES, BLOCK_BYTES, "close"]),
        (3, EIO, ["open", BLOCK_BYTES, BLOCK_BYTES, "flush", "close"]),
    ):
        with Card(fail, error) as card:
            writer = BlockWriter(bytearray(BLOCK_BYTES), flush_bytes=2 * BLOCK_BYTES)
            writer.open("x")
            eq((first_error(writer), card.calls), (error, calls))
            raises(OSError, writer.write_block)
            raises(OSError, writer.close, 188)
            writer.abandon()
            eq(card.calls, calls, "nothing more")


def test_an_error_while_closing_still_closes():
    for fail, calls in (
        (1, ["open", 188, "close"]),
        (2, ["open", 188, "flush", "close"]),
        (3, ["open", 188, "flush", "close"]),
    ):
        with Card(fail) as card:
            writer = BlockWriter(bytearray(BLOCK_BYTES))
            writer.open("x")
            eq(raises(OSError, writer.close, 188).errno, EIO)
            eq(card.calls, calls)
            raises(OSError, writer.close)
            eq(card.calls, calls, "nothing more")


def test_a_short_write_is_an_error():
    with Card(short=True) as card:
        writer = BlockWriter(bytearray(BLOCK_BYTES))
        writer.open("x")
        eq((first_error(writer), card.calls[-1]), (EIO, "close"))


def test_an_abandoned_file_keeps_what_was_written():
    path = tmp_dir() + "/clip.ts"
    writer = BlockWriter(bytearray(BLOCK_BYTES))
    writer.open(path)
    writer.write_block()
    writer.abandon()
    writer.abandon()
    eq(len(read(path)), BLOCK_BYTES)


def test_a_file_that_cannot_be_made():
    path = tmp_dir() + "/missing/clip.ts"
    writer = BlockWriter(bytearray(BLOCK_BYTES))
    raises(OSError, writer.open, path)
    raises(OSError, writer.write_block)
    assert not exists(path)


def test_opening_again_abandons_the_file_before():
    folder = tmp_dir()
    writer = BlockWriter(bytearray(BLOCK_BYTES))
    writer.open(folder + "/a.ts")
    writer.write_block()
    writer.open(folder + "/b.ts")
    writer.write_block()
    writer.write_block()
    eq(writer.close()[0], 2 * BLOCK_BYTES)
    eq(len(read(folder + "/a.ts")), BLOCK_BYTES)


def test_writing_allocates_nothing():
    writer = BlockWriter(bytearray(BLOCK_BYTES), new_digest=md5)
    writer.open(tmp_dir() + "/clip.ts")
    micropython.heap_lock()
    try:
        for _ in range(20):
            writer.write_block()
    finally:
        micropython.heap_unlock()
    eq(writer.close()[0], 20 * BLOCK_BYTES)
