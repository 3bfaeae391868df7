"""Tasks that may die, and somebody who owns them.

A supervised task that raises is logged with its traceback and started again
after a pause that doubles with every death in a row. When one dies
`deaths_in_a_row` times, each within `stable_ms` of its start, the supervisor
gives up: `run` returns that task's name, and the caller decides (the camera
resets). Cancelling `run` cancels and awaits every task.
"""

import asyncio
from time import ticks_diff, ticks_ms

from backoff import full_jitter


class Supervisor:
    def __init__(
        self, *, log, randbits, restart_ms=(500, 30000), deaths_in_a_row=8, stable_ms=60000
    ):
        """`log(text, error)`; `restart_ms` is (base, cap) of the pause before a restart."""
        self._log = log
        self._randbits = randbits
        self._base_ms, self._cap_ms = restart_ms
        self._most_deaths = deaths_in_a_row
        self._stable_ms = stable_ms
        self._wanted = []
        self._given_up = None

    def add(self, name, run):
        """Keep the coroutine function `run` going; one that returns has done its work."""
        self._wanted.append((name, run))

    async def run(self):
        """Run everything added until one task dies too often; return its name."""
        self._over = asyncio.Event()
        tasks = [asyncio.create_task(self._keep(name, run)) for name, run in self._wanted]
        try:
            await self._over.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._given_up

    async def _keep(self, name, run):
        deaths = 0
        while True:
            started_ms = ticks_ms()
            try:
                await run()
                return
            except Exception as error:
                self._log("%s died" % name, error)
            if ticks_diff(ticks_ms(), started_ms) >= self._stable_ms:
                deaths = 0
            deaths += 1
            if deaths >= self._most_deaths:
                self._given_up = name
                self._over.set()
                return
            pause_ms = full_jitter(self._base_ms, self._cap_ms, deaths - 1, self._randbits)
            await asyncio.sleep_ms(pause_ms)
