"""What umqtt takes for a socket: one packet to read, one bounded buffer to write to.

It never waits: a read beyond the packet that was loaded is a malformed packet,
a read with none loaded raises NeedData.

Pure: no IO.
"""

from protocol_error import ProtocolError


class NeedData(Exception):
    """The library wants a packet that has not arrived.

    Not an OSError: robust would take that for a lost connection, sleep, and
    connect again in a loop without end.
    """


class Wire:
    """The library's socket, and in its connect() the `socket` module as well."""

    def __init__(self, out_limit_bytes):
        self.out = bytearray(out_limit_bytes)
        self._view = memoryview(self.out)
        self.clear()

    def clear(self):
        self.out_bytes = 0
        self.unload()

    def sent(self, size):
        left = self.out_bytes - size
        self._view[:left] = self._view[size : self.out_bytes]
        self.out_bytes = left

    def load(self, packet):
        """Let the library read this packet, and not a byte beyond it."""
        self._packet = packet
        self._at = 0

    def unload(self):
        self._packet = None

    def read(self, size):
        if self._packet is None:
            raise NeedData
        end = self._at + size
        if end > len(self._packet):
            raise ProtocolError("a field runs past the end of its packet")
        data = bytes(self._packet[self._at : end])
        self._at = end
        return data

    def write(self, data, size=None):
        size = len(data) if size is None else size
        end = self.out_bytes + size
        if end > len(self.out):
            raise ValueError("packet larger than the %d bytes to hold it" % len(self.out))
        self._view[self.out_bytes : end] = memoryview(data)[:size]
        self.out_bytes = end

    def socket(self):
        return self

    def getaddrinfo(self, host, port):
        return ((None,),)

    def connect(self, address):
        """There is nothing to connect."""

    def settimeout(self, timeout):
        """Nothing here waits."""

    setblocking = settimeout

    def close(self):
        """The owner of the connection closes it."""
