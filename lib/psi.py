"""Program specific information of a transport stream with one video (ISO/IEC 13818-1, 2.4.4).

    PAT: program 1 -> PMT on PID 0x1000        PMT: H.264 and the clock on PID 0x100

Both tables are constant; only the continuity counter of their packets moves on.

Pure: no IO.
"""

from micropython import const

_PMT_PID = const(0x1000)  # this and the other numbers as ffmpeg chooses them
_PACKET_BYTES = const(188)

# Table id, length, stream or program id 1, version 0 in force, section 0 of 0; then the entries.
_PAT = b"\x00\xb0\x0d\x00\x01\xc1\x00\x00\x00\x01\xf0\x00"
_PMT = b"\x02\xb0\x12\x00\x01\xc1\x00\x00\xe1\x00\xf0\x00\x1b\xe1\x00\xf0\x00"


def crc32(data):
    """CRC-32/MPEG-2 (ISO/IEC 13818-1, annex A): neither reflected nor inverted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


def pat_packet():
    return _packet(0, _PAT)


def pmt_packet():
    return _packet(_PMT_PID, _PMT)


def _packet(pid, section):
    """A packet as a bytearray, counter 0: header, pointer field, section with CRC, stuffing."""
    packet = bytes((0x47, 0x40 | pid >> 8, pid & 0xFF, 0x10, 0)) + section
    packet += crc32(section).to_bytes(4, "big")
    return bytearray(packet + b"\xff" * (_PACKET_BYTES - len(packet)))
