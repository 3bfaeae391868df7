"""What the encoder makes is what every other decoder of gzip reads back."""

import json
import random
from io import BytesIO

import deflate
import micropython

from gzip_encoder import BLOCK_BYTES, BUFFER_BYTES, PIECE_BYTES, WINDOW_BITS, GzipEncoder
from harness import eq, raises


def compress(content, encoder=None):
    encoder = encoder or GzipEncoder(bytearray(BUFFER_BYTES))
    made = bytearray()
    for at in range(0, len(content), PIECE_BYTES):
        piece = content[at : at + PIECE_BYTES]
        encoder.free()[: len(piece)] = piece
        encoder.feed(len(piece))
        take(encoder, made)
    encoder.finish()
    take(encoder, made)
    return bytes(made) + bytes(encoder.block[: encoder.tail_bytes])


def take(encoder, made):
    while encoder.fill():
        eq(len(encoder.block), BLOCK_BYTES)
        made.extend(encoder.block)


def read_back(made):
    return deflate.DeflateIO(BytesIO(made), deflate.GZIP, WINDOW_BITS).read()


def noise(size, bits=8):
    random.seed(size)
    return bytes([random.getrandbits(bits) for _ in range(size)])


def log_lines(size):
    random.seed(7)
    lines, length, now = [], 0, 1763856000
    while length < size:
        now += random.getrandbits(4)
        number = random.getrandbits(13)
        lines.append("%d upload completed: /sdcard/recordings/m%07d.ts\n" % (now, number))
        length += len(lines[-1])
    return "".join(lines)[:size].encode()


def test_everything_reads_back():
    encoder = GzipEncoder(bytearray(BUFFER_BYTES))
    for content in (
        b"",
        b"a",
        b"abcd",
        b"abcabcabcabcabc",
        bytes(3),
        bytes(511),
        bytes(512),
        bytes(513),
        bytes(100000),
        bytes(range(256)) * 40,
        b"\xff" * 20000,
        noise(30000),
        noise(30000, 1),
        noise(30000, 2),
        noise(700) * 30,
        noise(3584) * 5,
        noise(3585) * 5,
        noise(4096) * 5,
        noise(5000) * 5,
        log_lines(50000),
    ):
        encoder.restart()
        made = compress(content, encoder)
        if read_back(made) != content:
            raise AssertionError("%d bytes that begin %r" % (len(content), content[:20]))


def test_every_length_and_every_distance_reads_back():
    marker = noise(300)
    for length in range(1, 262):
        content = marker[:length] + b"\x00" + marker[:length] + b"\x01"
        eq(read_back(compress(content)), content, length)
    encoder = GzipEncoder(bytearray(BUFFER_BYTES))
    filler = noise(4096)
    for distance in (
        list(range(5, 70))
        + [2**n + d for n in range(7, 12) for d in (-1, 0, 1)]
        + [3583, 3584, 3585, 4000]
    ):
        content = b"needle" + filler[: max(0, distance - 6)] + b"needle" + b"."
        encoder.restart()
        eq(read_back(compress(content, encoder)), content, distance)


def test_a_match_is_never_read_from_what_has_replaced_it():
    """Twice the same place of the window: what came 4,096 bytes ago, and what comes soon."""
    for distance in (3590, 3700, 4000, 4090):
        for offset in (0, 5, 60):
            content = bytearray(noise(4096 + 512 + offset))
            begin = 4096 + offset - distance
            content[begin : begin + 8] = b"needleYY"
            for at in (begin + distance, begin + 4096):
                content[at : at + 8] = b"needleXX"
            eq(read_back(compress(bytes(content))), bytes(content), (distance, offset))


def test_a_long_match_may_end_with_the_file():
    encoder = GzipEncoder(bytearray(BUFFER_BYTES))
    for rest in range(250, 310):
        encoder.restart()
        eq(len(read_back(compress(bytes(PIECE_BYTES + rest), encoder))), PIECE_BYTES + rest)


def test_logs_shrink_to_a_fifth():
    for content in (
        log_lines(60000),
        json.dumps([{"event": "upload_progress", "bytes": n * 7919} for n in range(1500)]).encode(),
    ):
        made = compress(content)
        assert len(made) * 5 <= len(content), "%d of %d" % (len(made), len(content))


def test_what_cannot_shrink_hardly_grows():
    assert len(compress(noise(50000))) <= 50000 * 9 // 8 + 32


def test_the_same_content_gives_the_same_file():
    content = log_lines(9000)
    encoder = GzipEncoder(bytearray(BUFFER_BYTES))
    first = compress(content, encoder)
    encoder.restart()
    compress(noise(6000), encoder)
    encoder.restart()
    eq(compress(content, encoder), first)
    eq(
        compress(content, GzipEncoder(bytearray(b"\x55" * BUFFER_BYTES))),
        first,
        "whatever lay in the buffer",
    )


def test_a_damaged_file_does_not_read_back():
    made = compress(log_lines(3000))
    for at in (len(made) // 2, len(made) - 6):
        damaged = made[:at] + bytes([made[at] ^ 0x10]) + made[at + 1 :]
        try:
            content = read_back(damaged)
        except (OSError, EOFError):
            continue
        assert content != log_lines(3000), "damage at %d was not seen" % at


def test_only_the_last_piece_may_be_short():
    encoder = GzipEncoder(bytearray(BUFFER_BYTES))
    encoder.feed(100)
    raises(ValueError, encoder.feed, 100)
    raises(ValueError, GzipEncoder, bytearray(BUFFER_BYTES - 1))


def test_a_piece_allocates_nothing():
    encoder = GzipEncoder(bytearray(BUFFER_BYTES))
    source = BytesIO(log_lines(40 * PIECE_BYTES))
    encoder.feed(source.readinto(encoder.free()))  # makes the tables
    for _ in range(39):
        micropython.heap_lock()
        try:
            encoder.feed(source.readinto(encoder.free()))
        finally:
            micropython.heap_unlock()
        encoder.fill()
