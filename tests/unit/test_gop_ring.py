"""The ring of access units: what it keeps, what makes room, what its reader gets."""

import random

import micropython

from gop_ring import GopRing
from harness import eq

FRAME_90K = 3000
CLOCK = 1 << 33
LONG_GAP_90K = 90000


def unit(number, size):
    """So many bytes that tell the number in each of them."""
    return bytes([number % 251]) * size


def fill(ring, frames):
    """Push (size, is_key), numbered and timed from 0 on; the answers."""
    return [
        ring.push(unit(number, size), number * FRAME_90K, is_key)
        for number, (size, is_key) in enumerate(frames)
    ]


def gops(count, length, size=10):
    return [(size, number % length == 0) for number in range(count * length)]


def taken(ring):
    """The next unit: (number of 251, size, pts, is_key), or None."""
    if not ring.take():
        return None
    content = bytes(ring.buffer[ring.begin : ring.end])
    eq(content, content[:1] * len(content), "all bytes are one unit's")
    return content[0], len(content), ring.pts_90k, ring.is_key


def read_all(ring):
    found = []
    one = taken(ring)
    while one:
        found.append(one)
        one = taken(ring)
    return found


def kept(ring):
    """The numbers of what a reader would get."""
    if not ring.begin_reading():
        return []
    numbers = [one[2] // FRAME_90K for one in read_all(ring)]
    ring.end_reading()
    return numbers


def test_what_was_pushed_is_read_in_its_order():
    ring = GopRing(bytearray(1000), 20)
    frames = [(30, True), (1, False), (300, False), (20, True)]
    eq(fill(ring, frames), [True] * 4)
    eq(ring.span_90k, 3 * FRAME_90K)
    assert ring.begin_reading()
    expected = [(n, size, n * FRAME_90K, key) for n, (size, key) in enumerate(frames)]
    eq(read_all(ring), expected)
    eq((ring.unread, ring.dropped), (0, 0))


def test_whole_gops_make_room_the_oldest_first():
    for buffer_bytes, most_units, left in (
        (100, 99, range(5, 15)),  # ten units of ten bytes
        (109, 99, range(5, 15)),
        (150, 99, range(15)),
        (999, 10, range(5, 15)),
        (999, 14, range(5, 15)),
        (999, 15, range(15)),
        (50, 99, range(10, 15)),
    ):
        ring = GopRing(bytearray(buffer_bytes), most_units)
        fill(ring, gops(3, 5))
        eq(kept(ring), list(left), "%d bytes, %d units" % (buffer_bytes, most_units))
        eq(ring.dropped, 0)


def test_only_what_the_asked_age_needs_is_kept():
    for age, left in ((0, 10), (4, 10), (5, 5), (9, 5), (10, 0), (99, 0)):
        ring = GopRing(bytearray(1000), 99)
        fill(ring, gops(3, 5))
        ring.trim(age * FRAME_90K)  # the newest is 14: IDR units are 4, 9 and 14 frames old
        eq(kept(ring), list(range(left, 15)), "%d frames" % age)


def test_nothing_is_trimmed_that_somebody_reads():
    ring = GopRing(bytearray(1000), 99)
    fill(ring, gops(3, 5))
    ring.begin_reading()
    ring.trim(0)
    eq(len(read_all(ring)), 15)
    ring.end_reading()
    ring.trim(0)
    eq(kept(ring), list(range(10, 15)))


def test_units_before_the_first_idr_are_dropped():
    ring = GopRing(bytearray(1000), 99)
    eq(fill(ring, [(10, False)] * 3), [True] * 3)
    assert not ring.begin_reading()
    eq((ring.units, ring.dropped, ring.span_90k), (0, 3, 0))


def test_a_unit_larger_than_the_ring_takes_the_rest_of_its_gop_with_it():
    for place in (6, 5):  # within a GOP, and its IDR unit
        frames = gops(3, 5)
        frames[place] = (201, frames[place][1])
        ring = GopRing(bytearray(200), 99)
        eq(fill(ring, frames[:9]), [True] * 9)
        assert not ring.begin_reading(), "what comes next could not be decoded"
        for number in range(9, 15):
            ring.push(unit(number, 10), number * FRAME_90K, frames[number][1])
        eq(kept(ring), [n for n in range(15) if not place <= n < 10])
        eq(ring.dropped, 10 - place)


def test_what_lies_before_a_long_gap_is_not_kept():
    for gap_90k, left in ((LONG_GAP_90K, 4), (LONG_GAP_90K + 1, 1)):
        ring = GopRing(bytearray(100), 99)
        fill(ring, [(10, True), (10, False), (10, False), (101, False)])
        ring.push(unit(9, 10), 2 * FRAME_90K + gap_90k, True)
        eq(ring.units, left, "%d" % gap_90k)


def test_a_gop_longer_than_the_ring_is_dropped_up_to_the_next_idr():
    for buffer_bytes, most_units in ((100, 99), (9999, 10)):
        ring = GopRing(bytearray(buffer_bytes), most_units)
        fill(ring, gops(1, 50))
        assert not ring.begin_reading()
        eq(ring.dropped, 40)
        ring.push(unit(50, 10), 50 * FRAME_90K, True)
        eq(kept(ring), [50], "a gap of 40 frames is a long one")


def test_time_stamps_wrap():
    ring = GopRing(bytearray(1000), 99)
    for number, (size, is_key) in enumerate(gops(3, 5)):
        ring.push(unit(number, size), (number - 7) * FRAME_90K % CLOCK, is_key)
    eq(ring.span_90k, 14 * FRAME_90K)
    ring.trim(9 * FRAME_90K)
    eq(ring.units, 10)
    ring.begin_reading()
    times = [pts_90k for _, _, pts_90k, _ in read_all(ring)]
    eq(times, [(number - 7) * FRAME_90K % CLOCK for number in range(5, 15)])


def test_what_was_not_read_is_never_overwritten():
    ring = GopRing(bytearray(100), 99)
    fill(ring, gops(2, 5))
    ring.begin_reading()
    assert not ring.push(unit(10, 10), 10 * FRAME_90K, True)
    eq((ring.units, ring.unread, ring.dropped), (10, 10, 0))
    eq(taken(ring), (0, 10, 0, True))
    assert ring.push(unit(10, 10), 10 * FRAME_90K, True)
    eq([one[0] for one in read_all(ring)], list(range(1, 11)))


def test_what_was_read_is_there_for_the_next_reader():
    ring = GopRing(bytearray(100), 99)
    fill(ring, gops(2, 5))
    ring.begin_reading()
    for _ in range(4):
        taken(ring)
    for number in range(10, 13):  # they take the places of 0, 1 and 2
        assert ring.push(unit(number, 10), number * FRAME_90K, number == 10)
    ring.end_reading()
    eq(kept(ring), list(range(5, 13)))


def test_a_unit_that_the_reader_got_from_elsewhere():
    ring = GopRing(bytearray(100), 99)
    fill(ring, gops(1, 5))
    ring.begin_reading()
    assert not ring.push(unit(5, 101), 5 * FRAME_90K, False)
    eq(len(read_all(ring)), 5)
    assert not ring.push(unit(5, 101), 5 * FRAME_90K, False)
    ring.pass_by()
    for number in (6, 7):
        assert ring.push(unit(number, 10), number * FRAME_90K, False)
    eq([one[0] for one in read_all(ring)], [6, 7])
    ring.end_reading()
    eq(kept(ring), [], "they refer to a unit that is not there")
    ring.push(unit(8, 10), 8 * FRAME_90K, False)
    ring.push(unit(9, 10), 9 * FRAME_90K, True)
    eq((kept(ring), ring.dropped), ([9], 1))


def test_a_reader_that_begins_with_a_unit_from_elsewhere():
    ring = GopRing(bytearray(100), 99)
    fill(ring, gops(1, 5))
    assert ring.push(unit(5, 101), 5 * FRAME_90K, True)
    assert not ring.begin_reading()
    ring.follow()
    for number in (6, 7):
        assert ring.push(unit(number, 10), number * FRAME_90K, False)
    eq([one[0] for one in read_all(ring)], [6, 7])
    ring.end_reading()
    eq(kept(ring), [], "they refer to a unit that is not there")
    ring.push(unit(8, 10), 8 * FRAME_90K, False)
    ring.push(unit(9, 10), 9 * FRAME_90K, True)
    eq(kept(ring), [9])


def test_a_ring_that_was_cleared_waits_for_an_idr():
    ring = GopRing(bytearray(100), 99)
    fill(ring, gops(1, 5))
    ring.begin_reading()
    ring.clear()
    eq((ring.is_read, ring.take(), ring.begin_reading()), (False, False, False))
    ring.push(unit(0, 10), 0, False)
    ring.push(unit(1, 10), FRAME_90K, True)
    eq(kept(ring), [1])


class Model:
    """The same as a list of units; where room must be made, it judges how the ring made it."""

    def __init__(self, size, most):
        self.size, self.most = size, most
        self.units = []  # (number, size, pts, is_key)
        self.read = None  # how many of them were read
        self.is_cut_off = True
        self.dropped = 0

    def push(self, one, may_refuse):
        """`may_refuse`: the ring found no room, which must be true."""
        _, size, pts_90k, is_key = one
        if self.is_cut_off:
            if not is_key:
                self.dropped += 1
                return True
            if self.units and (pts_90k - self.units[-1][2]) % CLOCK > LONG_GAP_90K:
                self.units = []
        if may_refuse and self.read is not None:
            self.must_not_fit(size)
            return False
        if may_refuse:
            self.is_cut_off = True
            self.dropped += 1
            return True
        self.is_cut_off = False
        self.units.append(one)
        return True

    def must_not_fit(self, size):
        """A refusal is right if the unread units leave no gap of that size."""
        unread = sum([one[1] for one in self.units[self.read :]])
        full = len(self.units) - self.read == self.most
        # Two gaps at most are free, and what does not fit in the larger one is lost at the end.
        assert full or unread + size > self.size // 2 or 2 * size > self.size - unread, size

    def settle(self, count):
        """The ring has made room and has `count` units left: the oldest are gone, in whole GOPs."""
        gone = len(self.units) - count
        assert gone >= 0
        if self.read is None:
            assert not count or self.units[gone][3], "begins with an IDR unit"
        else:
            assert gone <= self.read, "was not read"
            self.read -= gone
        self.units = self.units[gone:]
        assert len(self.units) <= self.most
        assert sum([one[1] for one in self.units]) <= self.size


def play(seed, rounds):
    random.seed(seed)
    size, most = random.choice((200, 1000, 5000)), random.choice((3, 10, 40))
    largest = random.choice((size // 10, size // 3, size + size // 4))
    gop = random.choice((1, 4, 12))
    ring, model = GopRing(bytearray(size), most), Model(size, most)
    pts_90k = random.getrandbits(30) * 8
    for number in range(rounds):
        pts_90k = (pts_90k + FRAME_90K) % CLOCK
        is_key = random.randrange(gop) == 0
        one = number % 251, random.randrange(1, largest + 1), pts_90k, is_key
        dropped = ring.dropped
        answer = ring.push(unit(*one[:2]), *one[2:])
        refused = not answer or (ring.dropped > dropped and not (model.is_cut_off and not is_key))
        eq(answer, model.push(one, refused), "push")
        model.settle(ring.units)
        turn = random.randrange(20)
        if turn == 0 and model.read is None:
            can = bool(model.units) and not model.is_cut_off
            eq(ring.begin_reading(), can)
            model.read = 0 if can else None
        elif turn == 1 and model.read is not None:
            ring.end_reading()
            model.read = None
            while model.units and not model.units[0][3]:
                model.units.pop(0)
            model.is_cut_off = not model.units
        elif turn < 4 and model.read is None:
            age_90k = random.randrange(20) * FRAME_90K
            ring.trim(age_90k)
            trim(model, age_90k)
        elif model.read is not None:
            read_some(ring, model, 99 if not answer else random.randrange(3))
            if not answer and one[1] > size:
                ring.pass_by()
                model.units, model.read = [], 0
        eq((ring.units, ring.dropped), (len(model.units), model.dropped))
        if model.read is not None:
            eq(ring.unread, len(model.units) - model.read)


def trim(model, age_90k):
    while model.units:
        keys = [n for n in range(1, len(model.units)) if model.units[n][3]]
        if not keys or (model.units[-1][2] - model.units[keys[0]][2]) % CLOCK < age_90k:
            return
        model.units = model.units[keys[0] :]


def read_some(ring, model, count):
    for _ in range(count):
        one = taken(ring)
        if one is None:
            eq(model.read, len(model.units))
            return
        eq(one, model.units[model.read])
        model.read += 1


def test_whatever_happens_it_is_as_a_list_would_be():
    for number in range(60):
        play(number, 300)


def test_nothing_is_allocated():
    ring = GopRing(bytearray(10000), 50)
    units = bytes(900), bytearray(1900), memoryview(bytes(500)), bytes(20000)
    micropython.heap_lock()
    try:
        for number in range(400):
            one = units[number & 3] if number % 7 else units[3]
            if not ring.push(one, number * FRAME_90K, number % 10 == 0):
                while ring.take():
                    pass
                ring.pass_by()
            ring.trim(20 * FRAME_90K)
            if number % 50 == 20:
                ring.begin_reading()
            elif number % 50 == 40:
                ring.end_reading()
            ring.take()
    finally:
        micropython.heap_unlock()
