"""The NTP codec against answers byte by byte."""

import struct

from harness import eq, raises
from protocol_error import ProtocolError
from sntp import decode_reply, encode_request

NONCE = b"12345678"
UNIX = 1763856000


def reply(first=0x24, stratum=2, nonce=NONCE, seconds=UNIX + 2208988800):
    return bytes((first, stratum)) + bytes(22) + nonce + bytes(8) + struct.pack("!II", seconds, 0)


def test_request():
    eq(encode_request(NONCE), b"\x23" + bytes(39) + NONCE)


def test_answer():
    eq(decode_reply(reply(), NONCE), UNIX)


def test_the_era_after_2036():
    eq(decode_reply(reply(seconds=0), NONCE), 2085978496)


def test_unbelievable_answers():
    for wrong in (
        reply()[:47],
        reply(first=0x23),
        reply(first=0xE4),
        reply(stratum=0),
        reply(stratum=16),
        reply(nonce=b"somebody"),
    ):
        raises(ProtocolError, decode_reply, wrong, NONCE)
