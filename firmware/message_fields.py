"""What a received message must look like: JSON objects and their fields, one by one.

Every value has a bound. What is not there or null has its default, if it has one.

Pure: no IO.
"""

import json

from protocol_error import ProtocolError

_MOST_HEADERS = 16
# Of the marks that cost memory once they are parsed: 8 KB of brackets would be 200 KB of lists.
_MARKS = ('"', ",", "[", "{")
_MOST_MARKS = 400


def object_in(payload):
    """The JSON object that a message, bytes or text, is; ProtocolError for none or for too much in it."""
    is_text = isinstance(payload, str)
    if sum(payload.count(mark if is_text else mark.encode()) for mark in _MARKS) > _MOST_MARKS:
        raise ProtocolError("too many fields")
    try:
        fields = json.loads(payload)
    except (ValueError, RuntimeError):  # RuntimeError: nested deeper than the stack
        raise ProtocolError("not JSON")
    if not isinstance(fields, dict):
        raise ProtocolError("not a JSON object")
    return fields


def text(fields, key, longest, default=None):
    value = fields.get(key)
    if value is None:
        value = default
    if not isinstance(value, str) or len(value) > longest:
        raise ProtocolError("%s must be text of at most %d characters" % (key, longest))
    return value


def whole(fields, key, low, high, default=None):
    value = fields.get(key)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProtocolError("%s must be a whole number from %d to %d" % (key, low, high))
    return value


def seconds(fields, key):
    """Seconds, whole or not, as a whole number; None when not given."""
    value = fields.get(key)
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1 << 40:  # an infinite one is no number of seconds
        raise ProtocolError("%s must be Unix seconds" % key)
    return int(value)


def headers(value):
    """An object, a list of pairs or either as a JSON string, as a tuple of pairs."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RuntimeError):
            raise ProtocolError("extra_headers is not JSON")
    pairs = value.items() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or len(value) > _MOST_HEADERS:
        raise ProtocolError("extra_headers must hold at most %d headers" % _MOST_HEADERS)
    return tuple(_header(pair) for pair in pairs)


def _header(pair):
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ProtocolError("extra_headers must hold pairs")
    for text in pair:
        if not isinstance(text, str) or any(not 32 <= ord(c) < 127 for c in text):
            raise ProtocolError("extra_headers must be printable ASCII text")
    if not pair[0] or any(c in ':() <>@,;\\"/[]?={}' for c in pair[0]):
        raise ProtocolError("extra_headers has a bad header name")
    return (pair[0], pair[1])
