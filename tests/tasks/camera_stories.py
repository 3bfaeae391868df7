"""What is told of either camera adapter: failures at work, a close that fails, stops and starts.

`make_rig(**settings)` builds a rig with `source`, `hardware` and `clock` of strict_camera.
"""

from errno import EIO

from harness import eq, raises_async


async def take(source, count):
    """The next `count` units as [(bytes, pts_90k, is_key)]."""
    taken = []
    for _ in range(count):
        unit, pts_90k, is_key = await source.next()
        taken.append((bytes(unit), pts_90k, is_key))
    return taken


async def a_start_fails(make_rig, call, error, words):
    """An OSError, nothing stays open, and the next start is as good as a first one."""
    rig = make_rig()
    rig.hardware.faults.fail(call, error)
    failure = await raises_async(OSError, rig.source.start())
    eq(failure.errno, EIO)
    assert words in str(failure) and str(error) in str(failure)
    rig.source.stop()
    eq(rig.hardware.open, [], call)
    await rig.source.start()
    eq([(unit, is_key) for unit, _, is_key in await take(rig.source, 2)], rig.hardware.film[:2])
    rig.source.stop()
    eq(rig.hardware.open, [], call)


async def it_fails_at_work(make_rig, call, error, words):
    rig = make_rig()
    await rig.source.start()
    rig.hardware.faults.fail(call, error, after=4)
    await take(rig.source, 4)
    failure = await raises_async(OSError, rig.source.next())
    eq(failure.errno, EIO)
    assert words in str(failure) and str(error) in str(failure)
    rig.source.stop()
    eq(rig.hardware.open, [])
    await rig.source.start()
    eq((await take(rig.source, 1))[0][2], True, "a new start begins with a key frame")
    rig.source.stop()
    eq(rig.hardware.open, [])


async def it_does_not_close(make_rig, camera_call):
    """What does not close is said, and the rest is closed."""
    for error in (OSError("busy"), RuntimeError("gone"), ValueError("closed"), MemoryError("full")):
        said = []
        rig = make_rig(log=said.append)
        for calls in (("close",), (camera_call,), ("close", camera_call)):
            await rig.source.start()
            for call in calls:
                rig.hardware.faults.fail(call, error)
            rig.source.stop()
            eq(rig.hardware.open, [])
        lines = ["the %s does not close: %s" % (name, error) for name in ("encoder", "camera")]
        eq(said, lines * 2)
        await rig.source.start()
        eq((await take(rig.source, 1))[0][2], True)
        rig.source.stop()
        eq(said, lines * 2)


async def it_stops_and_starts(make_rig):
    rig = make_rig()
    rig.source.stop()
    await rig.source.start()
    rig.source.stop()
    rig.source.stop()
    await rig.source.start()
    await rig.source.start()
    first = await take(rig.source, 3)
    rig.source.stop()
    rig.clock.advance(60000)
    await rig.source.start()
    second = await take(rig.source, 3)
    rig.source.stop()
    eq(rig.hardware.open, [])
    eq([first[0][2], second[0][2]], [True, True])
    assert second[0][1] - first[-1][1] >= 60 * 90000, "time went on while it was stopped"
