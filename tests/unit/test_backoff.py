"""Full jitter: bounds, growth, cap."""

from backoff import ceiling_ms, full_jitter
from harness import eq


def test_the_ceiling_doubles_up_to_the_cap():
    eq([ceiling_ms(1000, 5000, n) for n in range(5)], [1000, 2000, 4000, 5000, 5000])
    eq(ceiling_ms(1000, 60000, 10**6), 60000, "after very many attempts")


def test_delays_fill_the_range():
    for attempt in range(4):
        ceiling = ceiling_ms(1000, 5000, attempt)
        eq(full_jitter(1000, 5000, attempt, lambda bits: 0), 0)
        eq(full_jitter(1000, 5000, attempt, lambda bits: (1 << bits) - 1), ceiling)
    eq(full_jitter(0, 5000, 3, lambda bits: (1 << bits) - 1), 0, "no delay wanted")
