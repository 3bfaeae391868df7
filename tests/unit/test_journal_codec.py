from binascii import hexlify

from harness import eq, raises
from journal_codec import MOST_BYTES, SLOT_BYTES, encode, payload_of, sequence_of


def record(sequence, payload):
    slot = bytearray(b"\xa5" * SLOT_BYTES)
    encode(slot, sequence, payload)
    return slot


def test_layout_to_the_byte():
    slot = record(0x01020304, b"job")
    eq(bytes(slot[:13]), b"JR\x01\x00\x04\x03\x02\x01\x03\x00job")
    eq(bytes(slot[13:508]), bytes(495))
    eq(hexlify(bytes(slot[508:])), b"bb2251f0")


def test_what_goes_in_comes_out():
    for size in (0, 1, 100, MOST_BYTES):
        payload = bytes(i & 255 for i in range(size))
        slot = record(7 + size, payload)
        eq((sequence_of(slot), payload_of(slot)), (7 + size, payload))


def test_too_long_a_payload_is_refused():
    eq(
        str(raises(ValueError, record, 1, bytes(MOST_BYTES + 1))),
        "a record holds at most 498 bytes",
    )


def test_the_highest_sequence_number():
    eq(sequence_of(record(0xFFFFFFFF, b"")), 0xFFFFFFFF)


def test_an_empty_place_holds_no_record():
    for byte in (b"\x00", b"\xff", b"\xa5"):
        eq(sequence_of(byte * SLOT_BYTES), None)


def test_every_changed_bit_is_noticed():
    slot = record(42, b'{"p": "/sdcard/recordings/m0000001.ts"}')
    for at in range(SLOT_BYTES):
        slot[at] ^= 1 << (at & 7)
        eq(sequence_of(slot), None, "byte %d" % at)
        slot[at] ^= 1 << (at & 7)
    eq(sequence_of(slot), 42)


def test_a_torn_record_is_none():
    old, new = record(1, b"old" * 100), record(2, b"new" * 100)
    for cut in range(1, SLOT_BYTES):
        torn = new[:cut] + old[cut:]
        if bytes(torn) not in (bytes(old), bytes(new)):
            eq(sequence_of(torn), None, "cut at %d" % cut)


def test_a_later_version_is_left_alone():
    slot = record(1, b"job")
    slot[2] = 2
    eq(sequence_of(slot), None)
