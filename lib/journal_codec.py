"""Journal records: 512 bytes each, so that the card writes or loses one as a whole.

    magic "JR" | version u8 | 0 | sequence number u32 | length u16 | payload | zeros | CRC-32 u32

All numbers are little-endian; the CRC covers all that comes before it. What is
no record by magic, version, length or CRC is None to the reader: an empty
place, a torn or a damaged one.

Pure: no IO.
"""

import struct
from binascii import crc32

from micropython import const

SLOT_BYTES = const(512)
VERSION = const(1)
MOST_BYTES = const(498)  # of payload

_HEAD = "<2sBxIH"
_HEAD_BYTES = const(10)
_CRC_AT = const(508)
_MAGIC = b"JR"
_BLANK = bytes(SLOT_BYTES)


def encode(slot, sequence, payload):
    """Write a record into `slot`, a bytearray or memoryview of SLOT_BYTES; ValueError if it is too long."""
    if len(payload) > MOST_BYTES:
        raise ValueError("a record holds at most %d bytes" % MOST_BYTES)
    slot[:] = _BLANK
    struct.pack_into(_HEAD, slot, 0, _MAGIC, VERSION, sequence, len(payload))
    slot[_HEAD_BYTES : _HEAD_BYTES + len(payload)] = payload
    struct.pack_into("<I", slot, _CRC_AT, crc32(memoryview(slot)[:_CRC_AT]))


def sequence_of(slot):
    """The sequence number of the record in `slot`; None if there is no whole one."""
    magic, version, sequence, length = struct.unpack_from(_HEAD, slot, 0)
    if magic != _MAGIC or version != VERSION or length > MOST_BYTES:
        return None
    if struct.unpack_from("<I", slot, _CRC_AT)[0] != crc32(memoryview(slot)[:_CRC_AT]):
        return None
    return sequence


def payload_of(slot):
    """The payload of the record in `slot`, as bytes; only for one that has a sequence number."""
    length = struct.unpack_from("<H", slot, 8)[0]
    return bytes(slot[_HEAD_BYTES : _HEAD_BYTES + length])
