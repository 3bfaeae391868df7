"""Time from an NTP server: one 48-byte question, one 48-byte answer (RFC 4330).

Pure: no IO.
"""

import struct

from protocol_error import ProtocolError

PORT = 123
_PACKET_BYTES = 48
_UNIX_MINUS_NTP_SEC = 2208988800
_ERA_SEC = 1 << 32
_FIRST_YEAR_UNIX = 1735689600  # 2025: an earlier answer belongs to the era from 2036 on


def encode_request(nonce):
    """A client request; `nonce` (8 bytes) comes back in the answer and proves it ours."""
    return b"\x23" + bytes(39) + nonce


def decode_reply(reply, nonce):
    """Unix seconds out of an answer; ProtocolError if it is none, or not to be believed."""
    if len(reply) < _PACKET_BYTES or reply[0] & 7 != 4:
        raise ProtocolError("not an NTP answer")
    if bytes(reply[24:32]) != nonce:
        raise ProtocolError("an answer to another request")
    if reply[0] >> 6 == 3 or not 1 <= reply[1] <= 15:
        raise ProtocolError("the server has no time to give")
    seconds = struct.unpack("!I", reply[40:44])[0] - _UNIX_MINUS_NTP_SEC
    return seconds if seconds >= _FIRST_YEAR_UNIX else seconds + _ERA_SEC
