"""DNS messages (RFC 1035): one question for an IPv4 address, and its answer.

    header   id, flags, 4 counts                        6 × 16 bits
    question name, type, class                          name ends with a zero label
    record   name, type, class, ttl 32, length, data    a name may end in a pointer (0xC0xx)

Invariant: a reply is read within its bounds; pointers lead backwards only, so
no reply can make the decoder loop.

Pure: no IO.
"""

from micropython import const

from protocol_error import ProtocolError

_A = const(1)
_CNAME = const(5)
_IN = const(1)
_RECURSE = const(0x0100)
_IS_REPLY = const(0x8000)
_OPCODE = const(0x7800)
_RCODE = const(0x000F)
_NAME_LIMIT = const(255)
_ALIAS_LIMIT = const(8)


def is_ipv4(text):
    """Whether the text is a dotted IPv4 address."""
    parts = text.split(".")
    return len(parts) == 4 and all(p.isdigit() and len(p) <= 3 and int(p) <= 255 for p in parts)


def encode_query(query_id, host):
    """The question "A record of host", recursion wanted; ProtocolError for a name DNS cannot carry."""
    query = bytearray()
    for number in (query_id, _RECURSE, 1, 0, 0, 0):
        query += number.to_bytes(2, "big")
    for label in host.encode().split(b"."):
        if not 0 < len(label) < 64:
            raise ProtocolError("not a host name")
        query.append(len(label))
        query += label
    if len(host) > _NAME_LIMIT - 2:
        raise ProtocolError("host name too long")
    query += b"\0"
    for number in (_A, _IN):
        query += number.to_bytes(2, "big")
    return bytes(query)


def decode_reply(reply, query_id, host):
    """The dotted IPv4 address that the reply gives for the host, through aliases if need be.

    ProtocolError when it answers something else, refuses, or is malformed.
    """
    at = _check_header(reply, query_id)
    question, at = _name(reply, at)
    at += 4
    wanted = host.lower()
    if question != wanted:
        raise ProtocolError("reply to another question")
    records = _records(reply, at, _u16(reply, 6))
    for _ in range(_ALIAS_LIMIT):
        kind, data = _find(records, wanted)
        if kind == _A:
            return data
        wanted = data
    raise ProtocolError("too many aliases")


def _check_header(reply, query_id):
    flags = _u16(reply, 2)
    if _u16(reply, 0) != query_id or not flags & _IS_REPLY or flags & _OPCODE:
        raise ProtocolError("not the reply")
    if flags & _RCODE:
        raise ProtocolError("name server says %d" % (flags & _RCODE))
    if _u16(reply, 4) != 1:
        raise ProtocolError("reply without the question")
    return 12


def _records(reply, at, count):
    """(name, type, value) of the A and CNAME records among `count` answers."""
    records = []
    for _ in range(count):
        name, at = _name(reply, at)
        kind, size = _u16(reply, at), _u16(reply, at + 8)
        is_internet = _u16(reply, at + 2) == _IN
        at += 10
        if at + size > len(reply):
            raise ProtocolError("record cut short")
        if kind == _A and is_internet and size == 4:
            records.append((name, _A, "%d.%d.%d.%d" % tuple(reply[at : at + 4])))
        elif kind == _CNAME and is_internet:
            records.append((name, _CNAME, _name(reply, at)[0]))
        at += size
    return records


def _find(records, wanted):
    for name, kind, value in records:
        if name == wanted:
            return kind, value
    raise ProtocolError("no address in the reply")


def _u16(message, at):
    if at + 2 > len(message):
        raise ProtocolError("reply cut short")
    return message[at] << 8 | message[at + 1]


def _name(message, at):
    """The name at an offset, in lower case, and the offset after it."""
    labels, after, length, floor = [], None, 0, at
    while True:
        if at >= len(message):
            raise ProtocolError("name cut short")
        size = message[at]
        if size >= 0xC0:
            target = _u16(message, at) & 0x3FFF
            if target >= floor:
                raise ProtocolError("pointer does not lead backwards")
            after = at + 2 if after is None else after
            at = floor = target
            continue
        if size >= 0x40:
            raise ProtocolError("unknown kind of label")
        at += 1
        if not size:
            return ".".join(labels).lower(), at if after is None else after
        length += size + 1
        if at + size > len(message) or length > _NAME_LIMIT:
            raise ProtocolError("name cut short or too long")
        labels.append("".join(chr(c) for c in message[at : at + size]))
        at += size
