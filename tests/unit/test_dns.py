"""DNS messages byte by byte: real ones, aliases, and replies made to hurt."""

import dns
from harness import eq, raises
from protocol_error import ProtocolError

HOST = "bucket.example.com"
NAME = b"\x06bucket\x07example\x03com\0"
QUESTION = NAME + b"\0\x01\0\x01"
HEADER = b"\x12\x34\x81\x80\0\x01"
TO_QUESTION = b"\xc0\x0c"


def record(name, kind, data, family=1):
    return name + bytes((0, kind, 0, family)) + b"\0\0\0\x3c" + len(data).to_bytes(2, "big") + data


def reply(*records, header=HEADER, question=QUESTION):
    return header + len(records).to_bytes(2, "big") + b"\0\0\0\0" + question + b"".join(records)


def decode(message, query_id=0x1234, host=HOST):
    return dns.decode_reply(message, query_id, host)


ANSWER = record(TO_QUESTION, 1, b"\x0a\x01\x02\xff")


def test_query():
    eq(dns.encode_query(0x1234, HOST), b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + QUESTION)


def test_unusable_names():
    for host in ("", ".", "a..b", ".a", "a.", 64 * "x" + ".com", ".".join(60 * ["abcd"])):
        raises(ProtocolError, dns.encode_query, 1, host)
    dns.encode_query(1, 63 * "x" + ".com")


def test_address():
    eq(decode(reply(ANSWER)), "10.1.2.255")
    eq(decode(reply(record(NAME, 1, b"\0\0\0\0"))), "0.0.0.0")


def test_names_match_in_any_case():
    eq(decode(reply(ANSWER), host="Bucket.EXAMPLE.com"), "10.1.2.255")
    eq(decode(reply(ANSWER, question=QUESTION.upper())), "10.1.2.255")


def test_first_of_several_addresses():
    eq(decode(reply(ANSWER, record(TO_QUESTION, 1, b"\x0a\0\0\x02"))), "10.1.2.255")


def test_aliases_are_followed():
    alias = record(TO_QUESTION, 5, b"\x04edge\xc0\x13")  # edge.example.com
    target = record(b"\x04edge\xc0\x13", 1, b"\x0a\0\0\x07")
    eq(decode(reply(alias, target)), "10.0.0.7")
    eq(decode(reply(target, alias)), "10.0.0.7", "in the other order")
    eq(decode(reply(record(b"\x01x\0", 1, b"\x01\x01\x01\x01"), alias, target)), "10.0.0.7")


def test_alias_that_points_at_an_earlier_alias():
    first = record(TO_QUESTION, 5, b"\x01b\0")
    second = record(b"\x01b\0", 5, b"\x01c\0")
    eq(decode(reply(first, second, record(b"\x01c\0", 1, b"\x01\x02\x03\x04"))), "1.2.3.4")


def test_alias_loops_end():
    raises(ProtocolError, decode, reply(record(TO_QUESTION, 5, NAME)))
    there, back = record(TO_QUESTION, 5, b"\x01b\0"), record(b"\x01b\0", 5, TO_QUESTION)
    raises(ProtocolError, decode, reply(there, back))


def test_other_records_are_passed_over():
    text = record(TO_QUESTION, 16, b"\x03abc")
    six = record(TO_QUESTION, 28, 16 * b"\x01")
    chaos = record(TO_QUESTION, 1, b"\x01\x01\x01\x01", family=3)
    odd = record(TO_QUESTION, 1, b"\x01\x01\x01")
    eq(decode(reply(text, six, chaos, odd, ANSWER)), "10.1.2.255")
    raises(ProtocolError, decode, reply(six))
    raises(ProtocolError, decode, reply())


def test_foreign_replies():
    raises(ProtocolError, decode, reply(ANSWER), 0x4321)
    raises(ProtocolError, decode, reply(ANSWER), 0x1234, "other.example.com")
    raises(ProtocolError, decode, reply(ANSWER, header=b"\x12\x34\x01\0\0\x01"))  # a query
    raises(ProtocolError, decode, reply(ANSWER, header=b"\x12\x34\x91\x80\0\x01"))  # other opcode
    raises(ProtocolError, decode, reply(ANSWER, header=b"\x12\x34\x81\x80\0\0"))  # no question


def test_refusals():
    error = raises(ProtocolError, decode, reply(header=b"\x12\x34\x81\x83\0\x01"))
    eq(str(error), "name server says 3")
    raises(ProtocolError, decode, reply(ANSWER, header=b"\x12\x34\x81\x82\0\x01"))


def test_pointers_lead_backwards_only():
    at = len(reply())
    itself = bytes((0xC0, at))
    for name in (itself, b"\x01a" + bytes((0xC0, at)), bytes((0xC0, at + 2)), b"\xff\xff"):
        raises(ProtocolError, decode, reply(record(name, 1, b"\x01\x01\x01\x01"), ANSWER))


def test_reserved_label_kinds():
    for first in (0x40, 0x80):
        name = bytes((first,)) + 63 * b"a" + b"\0"
        raises(ProtocolError, decode, reply(record(name, 1, b"\x01\x01\x01\x01")))


def test_endless_name():
    """Pointers that lead backwards through the same long labels, again and again."""
    name = 4 * (b"\x3f" + 63 * b"a") + b"\0"
    raises(ProtocolError, decode, reply(record(name, 1, b"\x01\x01\x01\x01"), ANSWER))


def test_cut_short_anywhere():
    message = reply(
        record(TO_QUESTION, 5, b"\x04edge\xc0\x13"), record(b"\x04edge\xc0\x13", 1, b"abcd")
    )
    eq(decode(message), "97.98.99.100")
    for end in range(len(message)):
        raises(ProtocolError, decode, message[:end])


def test_counts_that_promise_too_much():
    raises(ProtocolError, decode, HEADER + b"\xff\xff\0\0\0\0" + QUESTION + ANSWER)


def test_ipv4_text():
    for text in ("0.0.0.0", "127.0.0.1", "255.255.255.255"):
        assert dns.is_ipv4(text), text
    for text in (
        "",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.x",
        "1.2.3.",
        "a.b.c.d",
        "::1",
        "0001.1.1.1",
    ):
        assert not dns.is_ipv4(text), text
