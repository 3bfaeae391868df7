"""Cuts a stream of bytes into MQTT control packets (MQTT 3.1.1, section 2.2).

    | type and flags | remaining length: 1 to 4 bytes | body           |
    0                1                                body_at          size

Holds one packet at a time, in a buffer made at the start. Of a packet that is
larger the beginning is kept and the rest is counted.

Pure: no IO.
"""

from micropython import const

from protocol_error import ProtocolError

_MAX_HEADER_BYTES = const(5)


class PacketFramer:
    """The packet of the last next_packet() is `packet[:kept_bytes]`, its body at `body_at`."""

    def __init__(self, limit_bytes):
        self._limit_bytes = limit_bytes
        self.packet = memoryview(bytearray(limit_bytes))
        self.reset()

    def reset(self):
        """Forget the bytes of an earlier connection."""
        self.feed(b"")
        self._begin()

    def feed(self, chunk):
        """Hand over received bytes, borrowed until next_packet() returns False."""
        self._chunk = chunk
        self._at = 0

    def next_packet(self):
        """True with a whole packet, which lasts until the next call; False: feed more.

        Raises ProtocolError for a remaining length of more than four bytes.
        """
        if self._whole:
            self._begin()
        while not self._whole and self._at < len(self._chunk):
            if self.body_at:
                self._take_body()
            else:
                self._take_header(self._chunk[self._at])
        return self._whole

    @property
    def size(self):
        """Bytes of the packet as it was sent."""
        return self.body_at + self.body_bytes

    @property
    def is_cut(self):
        """Whether the packet was too large to keep."""
        return self.size > self._limit_bytes

    def _begin(self):
        self.kept_bytes = 0
        self.body_at = 0  # until the fixed header is complete
        self.body_bytes = 0
        self._missing = 0
        self._whole = False

    def _take_header(self, byte):
        self._at += 1
        self.packet[self.kept_bytes] = byte
        self.kept_bytes += 1
        if self.kept_bytes == 1:
            return
        self.body_bytes |= (byte & 0x7F) << 7 * (self.kept_bytes - 2)
        if not byte & 0x80:
            self.body_at = self.kept_bytes
            self._missing = self.body_bytes
            self._whole = not self._missing
        elif self.kept_bytes == _MAX_HEADER_BYTES:
            raise ProtocolError("remaining length of more than four bytes")

    def _take_body(self):
        taken = min(self._missing, len(self._chunk) - self._at)
        kept = min(taken, self._limit_bytes - self.kept_bytes)
        end = self.kept_bytes + kept
        self.packet[self.kept_bytes : end] = self._chunk[self._at : self._at + kept]
        self.kept_bytes = end
        self._at += taken
        self._missing -= taken
        self._whole = not self._missing
