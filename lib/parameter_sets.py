"""SPS and PPS of an H.264 stream, kept for IDR pictures that come without.

    memory: | 00 | 00 00 01, SPS | 00 00 01, PPS ... | zeros up to whole packets, if need be |

Sets that do not fit into what is left of a first packet are padded with zero
bytes, which the standard allows behind a NAL unit (H.264, Annex B), so that a
packet begins with the picture itself.

Invariant: nothing is allocated after construction.

Pure: no IO.
"""

from annexb import PPS, SPS, START_CODE_BYTES, find_nal, is_slice, nal_begin, nal_type

_SETS = (SPS, PPS)


class ParameterSets:
    """The first `size_bytes` of the memory are the sets to put in; 0: none are known."""

    def __init__(self, memory, first_bytes, packet_bytes):
        """The first packet has room for `first_bytes` of the memory, the others for `packet_bytes`."""
        self._memory = memory
        self._first_bytes = first_bytes
        self._packet_bytes = packet_bytes
        self._begin = self._pps = self._end = 0  # in the unit that find() looked at
        self.forget()

    def forget(self):
        """Another stream follows."""
        self.size_bytes = self._sps_bytes = 0

    def find(self, unit, at, end):
        """Whether the unit in unit[at:end] has both before its slices; is_other() and keep() are about it."""
        at = find_nal(unit, at, end)
        while at >= 0 and nal_type(unit, at) != SPS:
            if is_slice(nal_type(unit, at)):
                return False
            at = find_nal(unit, at + START_CODE_BYTES, end)
        self._begin, self._pps = at, 0
        while at >= 0 and nal_type(unit, at) in _SETS:
            if not self._pps and nal_type(unit, at) == PPS:
                self._pps = at
            at = find_nal(unit, at + START_CODE_BYTES, end)
        self._end = nal_begin(unit, at) if at >= 0 else end
        return self._pps > 0

    def is_other(self, unit):
        """Whether the SPS that was found in it differs from the one that is kept."""
        begin, count = self._begin, self._sps_bytes
        if count and count != self._pps - begin:
            return True
        for i in range(count):
            if unit[begin + i] != self._memory[1 + i]:
                return True
        return False

    def keep(self, unit):
        """Take over what was found in it; sets that are too long for the memory are not kept."""
        begin, count = self._begin, self._end - self._begin
        size = self._padded(1 + count)
        self.forget()
        if size > len(self._memory):
            return
        for i in range(1, size):
            self._memory[i] = unit[begin + i - 1] if i <= count else 0
        self._sps_bytes = self._pps - begin
        self.size_bytes = size

    def _padded(self, size):
        more = size - self._first_bytes
        return size + -more % self._packet_bytes if more > 0 else size
