"""Transport stream packets made from bytes, many at a time and without allocating.

    slot: | 47 01 00 | 10: payload alone; counter | 184 bytes |

To name a part of a buffer MicroPython allocates a view, but a stream's
`write(buf, off, n)` does without. So bytes pass through a RingIO into the
payloads of slots, views made beforehand. The headers never change: slot i has
the continuity counter i mod 16, and there are 15 slots more than in a run, so
that a run can begin with any counter.

Pure: no IO.
"""

from micropython import const

_PACKET = const(188)
_PAYLOAD = const(184)


class Slots:
    """`write` appends bytes, `run` makes packets of them, `take` takes them out again."""

    def __init__(self, ring, run_packets):
        """`ring`: a RingIO for the payloads of a run."""
        headers = [b"\x47\x01\x00" + bytes((0x10 | i & 15,)) for i in range(run_packets + 15)]
        slots = memoryview(bytearray(bytes(_PAYLOAD).join(headers) + bytes(_PAYLOAD)))
        starts = range(0, len(slots), _PACKET)
        payloads = [slots[at + 4 : at + _PACKET] for at in starts]
        self.counter = 0  # of the next packet
        self.write = ring.write
        self.take = ring.readinto
        self._run_packets = run_packets
        self._runs = tuple([tuple(payloads[i : i + run_packets]) for i in range(16)])
        self._images = tuple([slots[at : at + run_packets * _PACKET] for at in starts[:16]])
        self._stuffing = bytearray(bytes(2) + b"\xff" * (_PAYLOAD - 2))

    def write_rest(self, unit, off, count):
        """Write fewer bytes than a packet holds, behind an adaptation field of stuffing."""
        self._stuffing[0] = _PAYLOAD - 1 - count
        self.write(self._stuffing, _PAYLOAD - count)
        self.write(unit, off, count)

    def run(self, count):
        """A view of a run's packets, of which the first `count` hold all bytes written."""
        counter = self.counter
        self.counter = (counter + count) & 15
        take = self.take
        if count < self._run_packets:
            _fill(take, self._runs[counter])
        else:
            for view in self._runs[counter]:
                take(view)
        return self._images[counter]


def _fill(take, views):
    for view in views:
        if not take(view):
            return
