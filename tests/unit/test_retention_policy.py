"""What goes first, what may be recorded, and a naive model that is never contradicted."""

import random

from firmware.job import DELIVERED, FAILED, HOPELESS, RECORDING, RUNNING, WAITING
from firmware.retention_policy import (
    IN_USE,
    QUOTA,
    RESERVE,
    RetentionPolicy,
    Tally,
    kib_of,
    pack,
    rank_of,
    unpack,
)
from firmware.trigger import HIGH, LOW, MOTION, NAMES, NORMAL, SECURITY, URGENT
from harness import eq

MIB = 1024
NONE_MAY = URGENT + 1


def test_rank_by_state_and_priority():
    for state, priority, rank in (
        (DELIVERED, URGENT, 0),
        (DELIVERED, LOW, 0),
        (WAITING, LOW, 1),
        (WAITING, NORMAL, 2),
        (FAILED, HIGH, 3),
        (HOPELESS, URGENT, 4),
        (RECORDING, LOW, IN_USE),
        (RUNNING, LOW, IN_USE),
    ):
        eq(rank_of(state, priority), rank, (state, priority))


def test_a_clip_is_a_number_of_30_bits():
    for rank in range(IN_USE):
        for trigger in NAMES:
            for number in (0, 1, 9999999):
                packed = pack(rank, trigger, number)
                assert packed < 1 << 30, packed
                eq(unpack(packed), (rank, trigger, number))


def test_what_was_delivered_in_part_ranks_as_if_not():
    eq(rank_of(DELIVERED, URGENT, True), URGENT + 1)
    eq(rank_of(RUNNING, LOW, True), IN_USE)


def test_order_is_rank_then_age():
    clips = [
        pack(0, SECURITY, 900),
        pack(1, NAMES[-1], 2),
        pack(1, MOTION, 3),
        pack(3, MOTION, 1),
        pack(4, SECURITY, 0),
    ]
    eq(sorted(clips), clips)


def test_sizes_of_a_large_card_fit_31_bits():
    for count, unit_bytes, kib in (
        (4000000, 32768, 128000000),  # 128 GB
        (3, 512, 2),
        (4, 512, 2),
        (7, 1024, 7),
        (0, 65536, 0),
    ):
        eq(kib_of(count, unit_bytes), kib)
        assert kib < 1 << 30


def test_a_tally_keeps_the_few_that_go_first():
    clips = [pack(rank, MOTION, number) for rank in range(5) for number in range(10)]
    shuffle(clips)
    tally = Tally(3)
    for packed in clips:
        tally.take(packed, 2)
    eq(tally.first, sorted(clips)[:3])
    eq(tally.kib, [20] * 5)
    above = pack(0, MOTION, 8)
    tally.restart(above)
    for packed in clips:
        tally.take(packed, 1)
    eq(tally.first, [pack(0, MOTION, 9), pack(1, MOTION, 0), pack(1, MOTION, 1)])
    eq(tally.kib, [1, 10, 10, 10, 10], "of those behind")


def policy(reserve_mib, quota_mib=0, card_mib=10000):
    made = RetentionPolicy(reserve_mib * MIB, quota_mib * MIB)
    made.fit(card_mib * MIB)
    return made


def test_how_much_is_missing_and_for_what():
    for reserve, quota, free, used, missing, reason in (
        (64, 0, 65, 9000, -1, RESERVE),
        (64, 0, 60, 9000, 4, RESERVE),
        (64, 500, 60, 490, 4, RESERVE),
        (64, 500, 70, 510, 10, QUOTA),
        (64, 500, 50, 510, 14, RESERVE),
        (64, 500, 70, 490, -6, RESERVE),
        (64, 500, 90, 495, -5, QUOTA),
    ):
        made = policy(reserve, quota)
        found = made.missing_kib(free * MIB, used * MIB), made.reason(free * MIB, used * MIB)
        eq(found, (missing * MIB, reason), (reserve, quota, free, used))


def test_what_is_claimed_to_be_free_and_what_is_believed():
    """Reserve 64, slack 8, in MiB. Claimed; whether a write found no room; what is believed free."""
    for story in (
        ((500, False, 500), (60, True, 0), (70, False, 10), (50, False, 0), (60, False, 10)),
        ((72, True, 0), (80, False, 8)),  # no more than reserve and slack
        # More is doubted, and room is made once for the slack; when seen again it is believed.
        ((500, True, 64), (509, False, 509), (500, True, 0), (600, False, 100), (580, True, 80)),
        ((500, True, 64), (494, True, 0), (565, True, 0), (700, False, 135)),
        ((500, True, 64), (509, True, 509), (509, True, 509), (500, True, 0)),  # room was no help
        ((500, True, 64), (491, False, 491), (500, True, 64)),  # written since: it was not missing
        ((500, True, 64), (300, True, 64), (300, False, 300), (500, True, 500)),
    ):
        made = policy(64)
        for step, (claimed, is_full, believed) in enumerate(story):
            made.end_doubt()
            if is_full:
                made.card_is_full(claimed * MIB)
            free = -(-made.free_kib(claimed * MIB) // MIB)
            eq(free, believed, "%r, step %d" % (story, step))
    made.restart()
    eq(made.free_kib(500 * MIB), 500 * MIB, "another card")


def test_the_reserve_is_a_quarter_of_a_small_card():
    for reserve, card, kept in ((64, 10000, 64), (64, 100, 25), (0, 10000, 1)):
        eq(policy(reserve, 0, card).missing_kib(0, 0), kept * MIB, (reserve, card))


def test_the_slack():
    for reserve, quota, slack_kib in (
        (64, 0, 8 * MIB),
        (2, 0, MIB),
        (9000, 0, 64 * MIB),
        (64, 6400, 64 * MIB),
        (64, 8, 2 * MIB),
        (1, 2, MIB // 2),
    ):
        eq(policy(reserve, quota, 100000).slack_kib, slack_kib, (reserve, quota))


def test_who_may_record():
    """What there is that may go, by rank, in MiB; slack is 8."""
    made = policy(64)
    for missing, there, before, after in (
        (-9, (0, 0, 0, 0, 0), LOW, LOW),
        (1, (5, 0, 0, 0, 0), LOW, LOW),
        (1, (0, 5, 0, 0, 0), LOW, LOW),
        (1, (0, 0, 5, 0, 0), LOW, NORMAL),
        (1, (0, 0, 0, 5, 0), LOW, HIGH),
        (1, (0, 0, 0, 0, 5), LOW, URGENT),
        (1, (0, 0, 0, 0, 0), LOW, NONE_MAY),
        # What was stopped begins again with some slack only.
        (-1, (0, 0, 0, 0, 0), NONE_MAY, NONE_MAY),
        (-8, (0, 0, 0, 0, 0), NONE_MAY, LOW),
        (1, (0, 5, 0, 5, 0), HIGH, HIGH),
        (1, (0, 9, 0, 5, 0), HIGH, LOW),
        (1, (0, 3, 6, 5, 0), HIGH, NORMAL),
        (1, (0, 0, 0, 5, 0), NONE_MAY, NONE_MAY),
        (1, (0, 0, 0, 5, 4), NONE_MAY, URGENT),
    ):
        found = made.bar(missing * MIB, [mib * MIB for mib in there], before)
        eq(found, after, (missing, there, before))


def test_recording_does_not_flap_at_the_brink():
    made, bar, changes = policy(64), LOW, 0
    for missing_kib in (1, -1, 1, -100, 5, -5000, 1) * 5:
        found = made.bar(missing_kib, [0] * 5, bar)
        changes += found != bar
        bar = found
    eq((bar, changes), (NONE_MAY, 1))


def shuffle(items):
    for last in range(len(items) - 1, 0, -1):
        other = random.getrandbits(16) % (last + 1)
        items[last], items[other] = items[other], items[last]


class Card:
    """Clips as (is delivered, priority, number, KiB), and a naive choice among them."""

    def __init__(self):
        self.clips = {}
        for number in range(1 + random.getrandbits(6)):
            state = (DELIVERED, WAITING, WAITING, RUNNING)[random.getrandbits(2)]
            self.clips[number] = (state, random.getrandbits(2), 1 + random.getrandbits(12))

    def pack(self, number):
        state, priority, _ = self.clips[number]
        return pack(rank_of(state, priority), MOTION, number)

    def naive(self, priority):
        """Which clip goes for a recording of that priority, or None."""
        for is_delivered, of_priority in [(True, None)] + [(False, p) for p in range(priority + 1)]:
            for number in sorted(self.clips):
                state, mine, _ = self.clips[number]
                if is_delivered and state == DELIVERED:
                    return number
                if not is_delivered and state == WAITING and mine == of_priority:
                    return number
        return None

    def go(self, tally, priority, missing_kib):
        """As retention does: looks, and evictions of what a look kept."""
        gone, more = [], True
        while more:
            more = False
            tally.restart()
            for number in self.clips:
                packed = self.pack(number)
                if packed >> 27 < IN_USE:
                    tally.take(packed, self.clips[number][2])
            for packed in tally.first:
                rank, _, number = unpack(packed)
                if missing_kib <= 0 or rank > priority + 1:
                    break
                eq(number, self.naive(priority), "goes before others")
                missing_kib -= self.clips.pop(number)[2]
                gone.append(number)
                more = True
        return missing_kib


def test_random_cards_against_a_naive_model():
    random.seed(7)
    for _ in range(150):
        card, priority = Card(), random.getrandbits(3) % 5 - 1
        urgent = [clip for clip in card.clips.values() if clip[:2] == (WAITING, URGENT)]
        in_use = [clip for clip in card.clips.values() if clip[0] == RUNNING]
        tally = Tally(1 + random.getrandbits(3))
        missing_kib = card.go(tally, priority, random.getrandbits(15))
        left = card.clips.values()
        eq([clip for clip in left if clip[0] == RUNNING], in_use)
        if priority < URGENT:
            eq([clip for clip in left if clip[:2] == (WAITING, URGENT)], urgent)
        if missing_kib > 0:
            eq(card.naive(priority), None, "room could have been made")
            bar = policy(64).bar(missing_kib, tally.kib, LOW)
            assert bar > priority, (bar, priority, tally.kib)
