"""Supervised tasks: restarted, given up in the end, cancelled together."""

import asyncio

from harness import eq
from supervise import Supervisor


def supervisor(lines, **settings):
    return Supervisor(
        log=lambda text, error: lines.append((text, str(error))),
        randbits=lambda bits: 0,
        restart_ms=(1, 1),
        **settings,
    )


async def test_a_dead_task_is_logged_and_started_again():
    lines, starts, done = [], [], asyncio.Event()

    async def frail():
        starts.append(1)
        if len(starts) < 3:
            raise ValueError("death %d" % len(starts))
        done.set()

    crew = supervisor(lines)
    crew.add("frail", frail)
    task = asyncio.create_task(crew.run())
    await asyncio.wait_for_ms(done.wait(), 2000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    eq(lines, [("frail died", "death 1"), ("frail died", "death 2")])


async def test_repeated_death_ends_all():
    lines, ended = [], []

    async def frail():
        raise OSError(5)

    async def steady():
        try:
            await asyncio.sleep_ms(10000)
        finally:
            ended.append("steady")

    crew = supervisor(lines, deaths_in_a_row=3)
    crew.add("steady", steady)
    crew.add("frail", frail)
    eq(await asyncio.wait_for_ms(crew.run(), 2000), "frail")
    eq((len(lines), ended), (3, ["steady"]))


async def test_deaths_far_apart_do_not_add_up():
    lines, starts, done = [], [], asyncio.Event()

    async def frail():
        starts.append(1)
        if len(starts) == 5:
            done.set()
        raise OSError(5)

    crew = supervisor(lines, deaths_in_a_row=2, stable_ms=0)
    crew.add("frail", frail)
    task = asyncio.create_task(crew.run())
    await asyncio.wait_for_ms(done.wait(), 2000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
