"""The harness itself: both interpreters see the same product and can fail."""

import sys

from harness import eq, exists, raises, tmp_dir


def test_failing_comparison_fails():
    error = raises(AssertionError, eq, 1, 2, "note")
    eq(str(error), "note: 1, expected 2")


def test_missing_exception_fails():
    raises(AssertionError, raises, ValueError, int, "7")


def test_scratch_folder_exists():
    assert exists(tmp_dir())


def test_shim_is_only_for_cpython():
    eq("shim" in sys.modules, sys.implementation.name == "cpython")


async def test_coroutines_run_under_asyncio():
    import asyncio

    await asyncio.sleep_ms(1)
