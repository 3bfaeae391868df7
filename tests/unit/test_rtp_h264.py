"""H.264 out of RTP packets: every unit whole and in time, and after a loss none before an IDR."""

import random

import micropython

from harness import eq, raises
from nal_units import AUD, IDR, SEI, SLICE, idr_unit, nal, pps, slice_nal, sps, units
from protocol_error import ProtocolError
from rtp_h264 import DONE, NEED, UNIT, H264Depacketizer
from rtp_packets import PAYLOAD_TYPE, film, fragments, nal_units, packets, rtp, stap

SETS = sps(columns=40) + pps()
FIFO_BYTES = 4096


def large_idr(number, size=5000):
    return sps() + pps() + slice_nal(IDR, number, size)


# Pictures as (bytes, is_key): small, large, of several slices, with what stands around slices.
PICTURES = (
    (large_idr(0), True),
    (slice_nal(SLICE, 1), False),
    (slice_nal(SLICE, 2, 3000), False),
    (nal(AUD, b"\xf0") + slice_nal(SLICE, 3) + slice_nal(SLICE, 3, 2000, first=False), False),
    (nal(SEI, b"\x05\x01\x2a\x80") + slice_nal(SLICE, 4), False),
    (large_idr(5, 9000) + slice_nal(IDR, 5, 50, first=False), True),
    (slice_nal(SLICE, 6), False),
)


class Receiver:
    """Feeds packets and keeps [(unit, pts_90k, is_key)]."""

    def __init__(self, sets=b"", buffer_bytes=20000):
        self.fifo = micropython.RingIO(FIFO_BYTES)
        self.packets = H264Depacketizer(bytearray(buffer_bytes), self.fifo)
        self.packets.restart(PAYLOAD_TYPE, sets)
        self.found = []

    def take(self, packet, cuts=None):
        """One packet, in pieces of the lengths that `cuts()` gives."""
        self.packets.begin(len(packet))
        at = 0
        while at < len(packet):
            n = min(cuts() if cuts else FIFO_BYTES, len(packet) - at)
            self.fifo.write(packet, at, n)
            at += n
            eq(self._pull(), DONE if at == len(packet) else NEED, "after %d" % at)
        return self

    def _pull(self):
        unit = self.packets.unit
        state = self.packets.pull()
        while state == UNIT:
            self.found.append((bytes(unit.bytes[: unit.size]), unit.pts_90k, unit.is_key))
            unit.release()
            state = self.packets.pull()
        return state

    def take_all(self, made, cuts=None):
        for packet in made:
            self.take(packet, cuts)
        return self

    def pictures(self):
        return [(unit, is_key) for unit, _, is_key in self.found]

    def numbers(self, pictures):
        """The units by their places in `pictures`, -1 for what is none of them."""
        return [pictures.index(unit) if unit in pictures else -1 for unit in self.pictures()]

    def counts(self):
        unit = self.packets.unit
        return self.packets.lost_packets, unit.dropped_units, unit.oversized_units


def received(made, **options):
    """The units of these packets; nothing may be lost."""
    receiver = Receiver(**options).take_all(made)
    eq(receiver.counts(), (0, 0, 0))
    return receiver.found


def test_every_packet_size():
    for mtu in (20, 100, 997, 1400, 9000, 20000):
        found = received(film(PICTURES, mtu=mtu))
        eq(found, [(unit, n * 3600, key) for n, (unit, key) in enumerate(PICTURES)], mtu)


def test_every_cut():
    made = film(PICTURES, mtu=300)
    for size in range(1, 40):
        receiver = Receiver().take_all(made, lambda: size)  # noqa: B023
        eq(receiver.pictures(), list(PICTURES), "pieces of %d" % size)


def test_random_cuts_and_packet_sizes():
    random.seed(5)
    for _ in range(30):
        made = film(
            PICTURES, random.getrandbits(16), random.getrandbits(32), mtu=random.randint(9, 3000)
        )
        receiver = Receiver().take_all(made, lambda: random.randint(1, 2000))
        eq(receiver.pictures(), list(PICTURES))
        eq([pts for _, pts, _ in receiver.found], [n * 3600 for n in range(len(PICTURES))])


def test_a_packet_of_64_kib_is_never_held_whole():
    unit = sps() + pps() + slice_nal(IDR, 1, 65000)
    eq(received(film([(unit, True)], mtu=65500), buffer_bytes=66000), [(unit, 0, True)])


def test_without_marker_the_time_ends_a_unit():
    made = film(PICTURES, has_marker=False)
    made.append(rtp(len(made), 999 * 3600, slice_nal(SLICE, 9)[4:]))
    eq([found[0] for found in received(made)], [unit for unit, _ in PICTURES])


def test_marker_behind_parameter_sets_alone_ends_nothing():
    sets, picture = nal_units(sps() + pps()), slice_nal(IDR, 0)
    made = [rtp(0, 0, sets[0], True), rtp(1, 0, sets[1], True), rtp(2, 90, picture[4:], True)]
    eq(received(made), [(sps() + pps() + picture, 0, True)])


def test_aggregated_units():
    sets, picture = nal_units(sps() + pps()), slice_nal(IDR, 0)
    whole = [(sps() + pps() + picture, 0, True)]
    eq(received([rtp(0, 0, stap(*(sets + [picture[4:]])), True)]), whole)
    eq(received([rtp(0, 0, stap(*sets)), rtp(1, 0, picture[4:], True)]), whole)
    large = slice_nal(IDR, 0, 3000)
    made = [rtp(0, 0, stap(*sets))]
    made += [rtp(1 + n, 0, part, n == 2) for n, part in enumerate(fragments(large[4:], 1000))]
    eq(received(made), [(sps() + pps() + large, 0, True)])


def test_header_fields_that_are_passed_over():
    unit = idr_unit(0, 100)
    parts = nal_units(unit)
    for options in (
        {"csrc": 3},
        {"csrc": 15, "ext": 0},
        {"ext": 5},
        {"ext": 300, "csrc": 1, "padding": 7},
        {"padding": 1},
        {"padding": 255},
    ):
        made = [rtp(n, 0, part, n == len(parts) - 1, **options) for n, part in enumerate(parts)]
        eq(received(made), [(unit, 0, True)], repr(options))
        cut = Receiver().take_all(made, lambda: 1)
        eq((cut.pictures(), cut.counts()), ([(unit, True)], (0, 0, 0)))
    aggregated = [rtp(0, 0, stap(*parts), True, padding=8)]
    eq(received(aggregated), [(unit, 0, True)])
    large = [
        rtp(n, 0, part, n == 3, padding=3)
        for n, part in enumerate(parts[:2] + fragments(slice_nal(IDR, 0, 100)[4:], 60))
    ]
    eq(received(large), [(unit, 0, True)])


def test_other_payload_types_and_reserved_units_are_passed_over():
    first, second = idr_unit(0), slice_nal(SLICE, 1)
    made = packets(first, 0, 0)
    made += [rtp(3, 77, b"\x41\x80", True, kind=97)]
    made += [rtp(4, 3600, b"\x1e\x80"), rtp(5, 3600, b"\x1f"), rtp(6, 3600, b"\x00" * 9)]
    made += [rtp(7, 3600, b""), rtp(8, 3600, b"", csrc=1, ext=0, padding=9)]
    made += packets(second, 9, 3600)
    eq(received(made), [(first, 0, True), (second, 3600, False)])


def test_parameter_sets_from_outside_go_before_an_idr_without():
    bare = nal(AUD, b"\xf0") + slice_nal(IDR, 0) + slice_nal(IDR, 0, first=False)
    own = idr_unit(1)
    made = film([(bare, True), (slice_nal(SLICE, 2), False), (own, True)])
    eq(
        [found[0] for found in received(made, sets=SETS)],
        [
            nal(AUD, b"\xf0") + SETS + slice_nal(IDR, 0) + slice_nal(IDR, 0, first=False),
            slice_nal(SLICE, 2),
            own,
        ],
    )


def test_idr_pictures_that_never_have_parameter_sets():
    """The first may have lost them; the second shows that it is meant so."""
    bare = [(slice_nal(SLICE if n % 2 else IDR, n), n % 2 == 0) for n in range(6)]
    eq([unit for unit, _, _ in received(film(bare))], [unit for unit, _ in bare[2:]])


def test_where_the_sps_is():
    for sets, unit, at in ((b"", idr_unit(0), 0), (SETS, nal(AUD, b"\xf0") + slice_nal(IDR, 0), 6)):
        receiver = Receiver(sets)
        for packet in packets(unit, 0, 0):
            receiver.packets.begin(len(packet))
            receiver.fifo.write(packet)
            state = receiver.packets.pull()
        eq((state, receiver.packets.unit.sps_at), (UNIT, at))


def test_time_has_33_bits_and_begins_at_zero():
    step = 0x7000_0000
    pictures = [(idr_unit(0), True)] + [(slice_nal(SLICE, n), False) for n in range(1, 12)]
    found = received(film(pictures, timestamp=0xFFFF_FF00, step=step))
    eq([pts for _, pts, _ in found], [n * step % (1 << 33) for n in range(12)])


def test_two_units_of_one_time():
    first, second = idr_unit(0), slice_nal(SLICE, 1)
    found = received(packets(first, 0, 5) + packets(second, 3, 5))
    eq(found, [(first, 0, True), (second, 0, False)])


def at_times(times, idr_every=5):
    """The times of the units of a film whose pictures have these times."""
    made, pictures = [], units(len(times), idr_every)
    for (unit, _), time in zip(pictures, times):
        made += packets(unit, len(made), time * 3600)
    return [pts if pts < 1 << 32 else pts - (1 << 33) for _, pts, _ in received(made)]


def test_a_clock_that_is_set():
    for times in (
        (10, 11, 12, 3, 4, 5, 6, 7),
        (10, 11, 12, 9, 10, 2, 3, 1, 2, 3, 4, 0),  # once between two IDR pictures
        (500000, 500001, 2, 3, 4),
    ):
        eq(at_times(times), [(time - times[0]) * 3600 for time in times])


def test_b_frames_are_refused():
    for times in ((0, 3, 1, 2, 6, 4, 5), (0, 2, 1, 4, 3)):
        error = raises(ProtocolError, at_times, times, 20)
        assert "B-frames" in str(error), error


def test_sequence_numbers_wrap():
    found = received(film(PICTURES, sequence=65530, mtu=400))
    eq(len(found), len(PICTURES))


# Twelve pictures, an IDR at 0, 4 and 8, of several packets each.
FILM = [
    (slice_nal(SLICE, n, 1000), False) if n % 4 else (large_idr(n, 1000), True) for n in range(12)
]
MADE = film(FILM, sequence=65500, mtu=300)


def owner(index):
    """The number of the picture that a packet belongs to."""
    return (int.from_bytes(MADE[index][4:8], "big")) // 3600


def after_loss(lost):
    """What must come of FILM without these packets: all before, and all from the next whole IDR on."""
    hit = [owner(index) for index in lost]
    left, is_broken = [], False
    for number in range(len(FILM)):
        if number in hit:
            is_broken = True
        elif number % 4 == 0:
            is_broken = False
        if not is_broken:
            left.append(number)
    return left


def test_any_one_packet_lost():
    for lost in range(1, len(MADE) - 1):
        receiver = Receiver().take_all(MADE[:lost] + MADE[lost + 1 :])
        expected = after_loss([lost])
        note = "lost %d of picture %d" % (lost, owner(lost))
        eq(receiver.numbers(FILM), expected, note)
        dropped = 12 - len(expected) if owner(lost) else 0  # before the first, nothing was promised
        eq(receiver.counts(), (1, dropped, 0), note)


def test_the_last_packet_lost():
    """Nothing tells that the last picture ended, so nothing of it comes."""
    receiver = Receiver().take_all(MADE[:-1])
    eq((receiver.numbers(FILM), receiver.counts()), (list(range(11)), (0, 0, 0)))


def test_runs_of_lost_packets():
    random.seed(7)
    for _ in range(60):
        begin = random.randint(1, len(MADE) - 13)
        lost = list(range(begin, begin + random.randint(1, 11)))
        receiver = Receiver().take_all([p for n, p in enumerate(MADE) if n not in lost])
        eq(receiver.numbers(FILM), after_loss(lost), repr(lost))
        eq(receiver.packets.lost_packets, len(lost))


def test_the_clock_goes_on_over_a_loss():
    lost = [n for n in range(len(MADE)) if owner(n) == 5]
    receiver = Receiver().take_all([p for n, p in enumerate(MADE) if n not in lost])
    eq([pts // 3600 for _, pts, _ in receiver.found], [0, 1, 2, 3, 4, 8, 9, 10, 11])


def test_repeated_packets_change_nothing():
    for twice in range(len(MADE)):
        receiver = Receiver().take_all(MADE[: twice + 1] + MADE[twice:])
        eq(receiver.numbers(FILM), list(range(12)), "packet %d" % twice)
        eq(receiver.counts(), (0, 0, 0))


def test_packets_in_the_wrong_order():
    for at in range(1, len(MADE) - 2):
        swapped = MADE[:at] + [MADE[at + 1], MADE[at]] + MADE[at + 2 :]
        receiver = Receiver().take_all(swapped)
        eq(receiver.numbers(FILM), after_loss([at]), "swapped %d" % at)


def test_a_sender_that_counts_anew():
    """Its first packet may be a late one; the second is not. What the first held is lost."""
    for second in (100, 20000):
        again = film(FILM, second, 12 * 3600, mtu=300)
        receiver = Receiver().take_all(film(FILM, sequence=40000, mtu=300) + again)
        eq(receiver.pictures()[:12], FILM)
        eq(receiver.pictures()[-8:], FILM[4:])


def test_the_first_unit_is_an_idr():
    for begin in range(1, len(MADE)):
        receiver = Receiver().take_all(MADE[begin:])
        found = receiver.numbers(FILM)
        eq(found, list(range(found[0], 12)) if found else [], "from packet %d" % begin)
        eq([number % 4 for number in found[:1]], [0] * len(found[:1]))
        eq(receiver.counts(), (0, 0, 0), "nothing was promised yet")


def test_an_idr_whose_first_slice_is_missing():
    slices = slice_nal(IDR, 4, 60), slice_nal(IDR, 4, 60, first=False)
    picture = (sps() + pps() + slices[0] + slices[1], True)
    pictures = [FILM[0], FILM[1], picture, FILM[5], FILM[8]]
    made = film(pictures)
    sets = [n for n, packet in enumerate(made) if packet[4:8] == (7200).to_bytes(4, "big")]
    without_first = [p for n, p in enumerate(made) if n not in sets[:3]]
    eq(Receiver().take_all(without_first).pictures(), FILM[:2] + [FILM[8]])
    # The parameter sets alone can be had from elsewhere.
    without_sets = [p for n, p in enumerate(made) if n not in sets[:2]]
    eq(Receiver(SETS).take_all(without_sets).pictures()[2], (SETS + slices[0] + slices[1], True))


def test_a_unit_larger_than_the_buffer():
    limit = len(large_idr(4, 1000))
    for larger, oversized in ((0, 0), (1, 1), (700, 1)):
        pictures = FILM[:2] + [(large_idr(4, 1000 + larger), True)] + FILM[5:]
        for mtu in (300, 1400):
            receiver = Receiver(buffer_bytes=limit).take_all(film(pictures, mtu=mtu))
            expected = [0, 1] + list(range(6 if larger else 2, 10))
            eq(receiver.numbers(pictures), expected, "%d more" % larger)
            eq(receiver.counts(), (0, 4 if larger else 0, oversized))
    small = Receiver(SETS, buffer_bytes=len(SETS) + 5).take_all(packets(slice_nal(IDR, 0), 0, 0))
    eq((small.found, small.packets.unit.oversized_units), ([], 1))


def damaged(packet):
    """What becomes of the film when this packet comes in place of a whole picture 5."""
    made = []
    for number, (unit, _) in enumerate(FILM):
        at, time = len(made), number * 3600
        made += [packet(at, time)] if number == 5 else packets(unit, at, time)
    return Receiver().take_all(made).numbers(FILM)


REST = [0, 1, 2, 3, 4, 8, 9, 10, 11]  # of FILM when picture 5 is damaged


def test_malformed_packets_cost_what_they_would_have_been():
    piece = slice_nal(SLICE, 1)[4:]
    first, middle, last = fragments(piece, 6)[:3]
    for name, packet in (
        ("empty", lambda n, t: b""),
        ("one byte", lambda n, t: b"\x80"),
        ("half a header", lambda n, t: rtp(n, t, b"")[:11]),
        ("version 1", lambda n, t: b"\x40" + rtp(n, t, piece, True)[1:]),
        ("more sources than bytes", lambda n, t: b"\x8f" + rtp(n, t, piece, True)[1:]),
        ("extension longer than the packet", lambda n, t: rtp(n, t, piece, True, ext=9)[:30]),
        ("extension cut short", lambda n, t: rtp(n, t, b"", True, ext=0)[:14]),
        ("padding of nothing", lambda n, t: b"\xa0" + rtp(n, t, piece + b"\x00", True)[1:]),
        (
            "padding longer than the payload",
            lambda n, t: b"\xa0" + rtp(n, t, piece + b"\x50", True)[1:],
        ),
        ("a fragment without its begin", lambda n, t: rtp(n, t, middle, True)),
        ("a fragment without its end", lambda n, t: rtp(n, t, first, True)),
        ("the end alone", lambda n, t: rtp(n, t, last, True)),
        ("a fragment without a header", lambda n, t: rtp(n, t, b"\x7c", True)),
        ("STAP-B", lambda n, t: rtp(n, t, b"\x79\x00\x00" + piece, True)),
        ("FU-B", lambda n, t: rtp(n, t, b"\x7d\x85\x00\x00" + piece, True)),
        ("size cut short", lambda n, t: rtp(n, t, stap(piece) + b"\x00", True)),
        ("size beyond the packet", lambda n, t: rtp(n, t, stap(piece) + b"\x01\x00\x41", True)),
        ("size of zero", lambda n, t: rtp(n, t, stap(piece) + b"\x00\x00", True)),
    ):
        eq(damaged(packet), REST, name)


def test_a_fragment_between_others():
    whole = slice_nal(SLICE, 5, 900)[4:]
    first, middle, last = fragments(whole, 300)
    for name, parts in (
        ("begun twice", (first, first, middle, last)),
        ("another unit in between", (first, slice_nal(SLICE, 5)[4:], middle, last)),
        ("aggregated in between", (first, stap(whole), middle, last)),
        ("the time changes", (first, None, middle, last)),
    ):
        made = film(FILM[:5])
        for number, part in enumerate(parts):
            if part is not None:
                late = name == "the time changes" and number > 1
                made.append(rtp(len(made), (5 + late) * 3600, part, number == 3))
        made += film(FILM[6:], len(made), 7 * 3600)
        eq(Receiver().take_all(made).numbers(FILM), REST, name)


def test_garbage_is_survived():
    """Whatever the bytes: no exception but ProtocolError, and the next IDR is taken."""
    random.seed(11)
    for _ in range(150):
        receiver = Receiver(SETS, buffer_bytes=3000)
        receiver.take_all(film(FILM[:2]))
        for n in range(20):
            junk = bytes([random.getrandbits(8) for _ in range(random.randint(0, 80))])
            if random.getrandbits(1):
                junk = rtp(n + 8, 3600, b"") + junk
            try:
                receiver.take(junk)
            except ProtocolError:
                continue  # a time that goes back
        receiver.packets.restart(PAYLOAD_TYPE, SETS)
        receiver.found = []
        receiver.take_all(film(FILM))
        eq(receiver.numbers(FILM), list(range(12)))


def test_nothing_is_allocated_for_a_packet():
    """The last packet of a unit may cost a little: its time has more bits than a small integer."""
    receiver = Receiver(SETS)
    depacketizer, unit, fifo = receiver.packets, receiver.packets.unit, receiver.fifo
    made = film([(large_idr(0, 9000), True)] + list(units(40, 20, 90))[1:], mtu=1000)
    made.append(
        rtp(len(made), 41 * 3600, stap(b"\x41\x80\x01", b"\x41\x40\x02"), True, csrc=2, ext=1)
    )
    taken = 0
    for packet in made:
        size = len(packet)
        fifo.write(packet)
        micropython.heap_lock()
        try:
            depacketizer.begin(size)
            state = depacketizer.pull()
        finally:
            micropython.heap_unlock()
        if state == UNIT:
            taken += 1
            unit.release()
            eq(depacketizer.pull(), DONE)
    eq(taken, 41)
