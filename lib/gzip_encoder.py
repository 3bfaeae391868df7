"""A gzip file (RFC 1952), made piece by piece in the caller's buffer.

    buffer: | window, 4 KiB: eight pieces in turn | block, 3 KiB, written when full | overhang |
    file:   | 1f 8b 08, no flags, no time | one deflate block, fixed codes | CRC-32 | length |

MicroPython's own writer is in few firmwares, and compares with every byte of its
window. This one looks only where the same four bytes came last: it is quicker, for a
few per cent more bytes.

    while True:
        n = file.readinto(encoder.free())
        if n == 0:
            break
        encoder.feed(n)
        while encoder.fill():
            target.write(encoder.block)
    encoder.finish(); again fill(); then the first `tail_bytes` of the block

Invariant: a piece is looked at once, and nothing is allocated for it: what is done
in one go is bounded by a piece, what is kept by the buffer. Whatever is repeated is
at most 3,584 bytes back, so 2**WINDOW_BITS bytes are enough to read the file.

Pure: no IO.
"""

import struct
from array import array
from binascii import crc32

from micropython import const

WINDOW_BITS = 12
PIECE_BYTES = const(512)
BLOCK_BYTES = const(3072)
BUFFER_BYTES = const(8192)

_WINDOW_BYTES = const(4096)
_WINDOW_MASK = const(4095)
_FARTHEST = const(4096 - 512)  # behind that lies the piece that is being made room for
_HASHES = const(1024)
_HASH_MASK = const(1023)
_SHORTEST = const(4)
_LONGEST = const(258)

_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_BEGIN = const(3)  # final block, fixed codes
_BEGIN_BITS = const(3)
_END_BITS = const(7)  # the code for the end is all zeros
_BITS = const(0xFFFF)  # of a code in a table; how many there are is above
_COUNT_AT = const(16)
_NEAR = const(32)  # distances with places of their own in the table


class GzipEncoder:
    """`buffer` has BUFFER_BYTES. `block` is what to write."""

    def __init__(self, buffer):
        if len(buffer) != BUFFER_BYTES:
            raise ValueError("the encoder's buffer must have %d bytes" % BUFFER_BYTES)
        view = memoryview(buffer)
        self._window = view[:_WINDOW_BYTES]
        starts = range(0, _WINDOW_BYTES, PIECE_BYTES)
        self._pieces = [view[at : at + PIECE_BYTES] for at in starts]
        self._out = view[_WINDOW_BYTES:]
        self.block = self._out[:BLOCK_BYTES]
        self._carry = self._out[: len(self._out) - BLOCK_BYTES], self._out[BLOCK_BYTES:]
        self._last_at = array("h", bytes(2 * _HASHES))
        self.restart()

    def restart(self):
        """Begin a new file in an empty block."""
        self._out[: len(_HEAD)] = _HEAD
        self.tail_bytes = len(_HEAD)  # bytes of the block that `fill()` did not ask to write
        self._is_full = False
        self._piece = 0
        self._fed = PIECE_BYTES
        self._size_bytes = self._crc = 0
        for i in range(_HASHES):
            self._last_at[i] = -1
        self._deflate = self._deflating()

    def free(self):
        """Where to put the next PIECE_BYTES of the file, or the last ones if they are fewer."""
        return self._pieces[self._piece]

    def feed(self, count):
        """Compress what was put there; then ask fill()."""
        if self._fed != PIECE_BYTES:
            raise ValueError("only the last piece of a file may be shorter")
        piece = self._pieces[self._piece]
        self._crc = crc32(piece if count == PIECE_BYTES else piece[:count], self._crc)
        self._size_bytes += count
        self._fed = count
        next(self._deflate)
        self._piece = (self._piece + 1) % len(self._pieces)

    def finish(self):
        """The file is complete; ask fill() once more, then write the tail."""
        self._fed = 0
        next(self._deflate)
        struct.pack_into(
            "<II", self._out, self.tail_bytes, self._crc, self._size_bytes & 0xFFFFFFFF
        )
        self.tail_bytes += 8

    def fill(self):
        """Whether the block is full: write it, and ask again before more is fed."""
        if self._is_full:
            front, overhang = self._carry
            front[:] = overhang
            self.tail_bytes -= BLOCK_BYTES
        self._is_full = self.tail_bytes >= BLOCK_BYTES
        return self._is_full

    def _deflating(self):
        """Every next() compresses a piece; one of no bytes ends the stream.

        It is a generator for its variables, which stay from piece to piece, and one
        function for the calls that it saves: it runs for every byte.
        """
        window, out, last_at = self._window, self._out, self._last_at
        literals, lengths, symbols, distances, extras = _tables()
        bits, n_bits = _BEGIN, _BEGIN_BITS
        while self._fed:
            at = self.tail_bytes
            i = self._piece * PIECE_BYTES
            end = i + self._fed
            last = end - _SHORTEST
            while i < end:
                n = 0
                if i <= last:
                    key = window[i] * 5 ^ window[i + 1] << 2 ^ window[i + 2] << 4
                    key = (key ^ window[i + 3] << 5) & _HASH_MASK
                    j = last_at[key]
                    last_at[key] = i
                    back = (i - j) & _WINDOW_MASK
                    if j >= 0 and 0 < back <= _FARTHEST:
                        most = end - i
                        if most > _LONGEST:
                            most = _LONGEST
                        while n < most and window[j] == window[i + n]:
                            n += 1
                            j = (j + 1) & _WINDOW_MASK
                if n < _SHORTEST:
                    code = literals[window[i]]
                    n = 1
                else:
                    code = lengths[n]
                    bits |= (code & _BITS) << n_bits
                    n_bits += code >> _COUNT_AT
                    while n_bits >= 8:
                        out[at] = bits & 0xFF
                        at += 1
                        bits >>= 8
                        n_bits -= 8
                    back -= 1
                    key = symbols[back if back < _NEAR else _NEAR + (back >> 4)]
                    code = distances[key] | (back & extras[key]) << 5
                bits |= (code & _BITS) << n_bits
                n_bits += code >> _COUNT_AT
                while n_bits >= 8:
                    out[at] = bits & 0xFF
                    at += 1
                    bits >>= 8
                    n_bits -= 8
                i += n
            self.tail_bytes = at
            yield
        n_bits += _END_BITS
        while n_bits > 0:
            out[self.tail_bytes] = bits & 0xFF
            self.tail_bytes += 1
            bits >>= 8
            n_bits -= 8
        yield


_made = []


def _tables():
    """Made when the first file is compressed; few cameras ever do."""
    if not _made:
        _made.extend((_literals(), _lengths(), _symbols(), _distances(), _extras()))
    return _made


def _literals():
    """By byte: its fixed code (RFC 1951, 3.2.6)."""
    short = [_code(0x30 + byte, 8) for byte in range(144)]
    return array("I", short + [_code(0x190 + byte - 144, 9) for byte in range(144, 256)])


def _lengths():
    """By length: the code of its symbol with the extra bits (RFC 1951, 3.2.5)."""
    table = array("I", bytes(4 * (_LONGEST + 1)))
    length = 3
    for symbol in range(257, 285):
        extra_bits = max(0, (symbol - 261) >> 2)
        for extra in range(1 << extra_bits):
            table[length] = _length_code(symbol, extra, extra_bits)
            length += 1
    table[_LONGEST] = _length_code(285, 0, 0)
    return table


def _length_code(symbol, extra, extra_bits):
    count = 7 if symbol < 280 else 8
    code = _code(symbol - 256 if symbol < 280 else 0xC0 + symbol - 280, count)
    return code + (extra << count) + (extra_bits << _COUNT_AT)


def _symbols():
    """By distance less one: its symbol; from 32 on sixteen distances share a place."""
    near = [_symbol(back) for back in range(_NEAR)]
    return bytes(near + [_symbol(place << 4) for place in range((_FARTHEST >> 4) + 1)])


def _symbol(back):
    doublings = 0
    while back > 3:
        back >>= 1
        doublings += 1
    return 2 * doublings + back


def _distances():
    """By symbol: its code, and how many bits it and its extra bits are together."""
    symbols = range(max(_symbols()) + 1)
    return array("I", [_code(s, 5) + (_extra_bits(s) << _COUNT_AT) for s in symbols])


def _extras():
    """By symbol: the part of the distance that is sent in extra bits."""
    return array("H", [(1 << _extra_bits(s)) - 1 for s in range(max(_symbols()) + 1)])


def _extra_bits(symbol):
    return max(0, (symbol >> 1) - 1)


def _code(value, count):
    """A code of so many bits as it lies in the stream: the first bit lowest. The count above it."""
    turned = 0
    for _ in range(count):
        turned = turned << 1 | value & 1
        value >>= 1
    return turned | count << _COUNT_AT
