"""Who we are, to an RTSP server that asks: Basic and Digest with MD5 (RFC 7616, RFC 7617).

Invariant: the password is in no text but the header that is asked for, and with
Digest not even there. A server that goes on refusing is not answered for ever.

Pure: no IO.
"""

from binascii import b2a_base64, hexlify
from hashlib import md5

from micropython import const

from protocol_error import ProtocolError

_MOST_CHALLENGES = const(3)  # in a row


class Authentication:
    def __init__(self, user, password, random_bytes):
        self._user = user
        self._password = password
        self._random_bytes = random_bytes
        self.restart()

    def restart(self):
        """Another connection: nothing was asked yet."""
        self._scheme = None
        self._fields = {}
        self._count = self._challenges = 0
        self._is_proven = False

    def accepted(self):
        """The last header was good."""
        self._is_proven = True
        self._challenges = 0

    def challenged(self, headers):
        """Take the challenge of a 401; ProtocolError if there is no sense in asking again."""
        if not self._user:
            raise ProtocolError("RTSP: 401, the camera asks for a user and a password")
        scheme, fields = _choose(headers)
        is_stale = fields.get("stale", "").lower() == "true"
        self._challenges += 1
        if self._scheme and not (is_stale or self._is_proven):
            raise ProtocolError("RTSP: 401, the camera does not accept this user and password")
        if self._challenges > _MOST_CHALLENGES:
            raise ProtocolError("RTSP: 401 again and again")
        self._scheme, self._fields = scheme, fields
        self._count = 0
        self._is_proven = False

    def headers(self, method, uri):
        """The headers that a request needs now: none, or one."""
        if self._scheme is None:
            return ()
        value = self._basic() if self._scheme == "basic" else self._digest(method, uri)
        return (("Authorization", value),)

    def _basic(self):
        secret = ("%s:%s" % (self._user, self._password)).encode()
        return "Basic " + b2a_base64(secret).strip().decode()

    def _digest(self, method, uri):
        fields = self._fields
        realm, nonce = fields.get("realm", ""), fields.get("nonce", "")
        first = _hash("%s:%s:%s" % (self._user, realm, self._password))
        last = _hash("%s:%s" % (method, uri))
        user = self._user.replace("\\", "\\\\").replace('"', '\\"')
        value = 'Digest username="%s", realm="%s", nonce="%s", uri="%s"' % (user, realm, nonce, uri)
        if "qop" in fields:
            self._count += 1
            count = "%08x" % self._count
            cnonce = hexlify(self._random_bytes(8)).decode()
            middle = "%s:%s:%s:auth" % (nonce, count, cnonce)
            value += ', qop=auth, nc=%s, cnonce="%s"' % (count, cnonce)
        else:
            middle = nonce
        value += ', response="%s"' % _hash("%s:%s:%s" % (first, middle, last))
        if "opaque" in fields:
            value += ', opaque="%s"' % fields["opaque"]
        if "algorithm" in fields:
            value += ", algorithm=MD5"
        return value


def _hash(text):
    return hexlify(md5(text.encode()).digest()).decode()


def _choose(headers):
    """The best challenge we can answer: `(scheme, fields)`."""
    offered = []
    for name, value in headers:
        if name == "www-authenticate":
            offered += _challenges(value)
    for scheme, fields in offered:
        if scheme == "digest" and _is_known(fields):
            return scheme, fields
    for scheme, fields in offered:
        if scheme == "basic":
            return scheme, fields
    raise ProtocolError("RTSP: 401, the camera asks for neither Basic nor Digest with MD5")


def _is_known(fields):
    ways = [way.strip().lower() for way in fields.get("qop", "auth").split(",")]
    return fields.get("algorithm", "MD5").upper() == "MD5" and "auth" in ways


def _challenges(text):
    """[(scheme, {name: value})] of a header, which may hold several."""
    found: list = []
    for part in _split(text):
        name, _, value = part.partition("=")
        scheme, _, name = name.strip().rpartition(" ")
        if scheme or not value:  # a scheme stands before its first field, or alone
            found.append(((scheme or name).strip().lower(), {}))
        if found and value:
            value = value.strip()
            is_quoted = len(value) > 1 and value[0] == '"'
            found[-1][1][name.lower()] = value[1:-1] if is_quoted else value
    return found


def _split(text):
    """The parts between commas that stand in no quotes."""
    parts, begin, in_quotes = [], 0, False
    for at, character in enumerate(text):
        if character == '"' and text[at - 1 : at] != "\\":
            in_quotes = not in_quotes
        elif character == "," and not in_quotes:
            parts.append(text[begin:at])
            begin = at + 1
    return parts + [text[begin:]]
