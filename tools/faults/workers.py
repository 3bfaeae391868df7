"""MicroPython processes that carry out shares of the plan, as many as there are processors."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tools.faults import images
from tools.interpreters import micropython

ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = Path("tools/faults/device/main.py")
# The stand-ins come first; then as on the board, with what tests have for making H.264.
_MODULES = "tools/faults/device:.:lib:tests:build/micropython-lib:.frozen"
_HEAP = "96M"
_ANSWER = "> "
_LONGEST_SHARE_SEC = 300
_SHOWN_LINES = 30

Share = dict[str, Any]
Answer = dict[str, Any]


class WorkerDied(RuntimeError):
    """A process ended, or did not answer in time; the text has what it said last."""


class Worker:
    """One process; `say` gets what the product prints."""

    def __init__(self, say: Callable[[str], None] | None = None, program: Path = _PROGRAM) -> None:
        self._say = say
        self._last: list[str] = []
        images.FOLDER.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(dir=images.FOLDER)
        self._process = subprocess.Popen(
            [micropython(), "-X", f"heapsize={_HEAP}", str(program)],
            cwd=ROOT,
            env={
                **os.environ,
                "MICROPYPATH": _MODULES,
                "TZ": "UTC",
                "PATH": images.PATH,
                "FAULTS_SCRATCH": self._scratch.name,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def ask(self, share: Share) -> Answer:
        """Carry out a share; WorkerDied."""
        assert self._process.stdin and self._process.stdout
        self._last.clear()
        limit = threading.Timer(_LONGEST_SHARE_SEC, self._process.kill)
        limit.start()
        try:
            self._process.stdin.write(json.dumps(share) + "\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith(_ANSWER):
                    answer: Answer = json.loads(line.removeprefix(_ANSWER))
                    return answer
                self._last = [*self._last[1 - _SHOWN_LINES :], line.rstrip()]
                if self._say:
                    self._say(line.rstrip())
        except BrokenPipeError:
            self._last.append("it takes no more input")
        finally:
            limit.cancel()
        status = self._process.wait()
        raise WorkerDied("\n".join([f"{share} ended with {status}:", *self._last]))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._scratch.cleanup()


def carry_out(shares: Iterable[Share], count: int) -> Iterator[tuple[Share, Answer | WorkerDied]]:
    """Answers of all shares, as they come; a process that died of one is replaced."""
    waiting = list(shares)[::-1]
    done: SimpleQueue[tuple[Share, Answer | WorkerDied] | Exception | None] = SimpleQueue()
    workers: set[Worker] = set()

    def work() -> None:
        try:
            while waiting:
                worker = Worker()
                workers.add(worker)
                try:
                    while (share := _next(waiting)) is not None:
                        done.put((share, worker.ask(share)))
                except WorkerDied as error:
                    assert share is not None
                    done.put((share, error))
        except Exception as error:  # told to who waits for answers
            done.put(error)
        finally:
            done.put(None)

    with ThreadPoolExecutor(count) as pool:
        for _ in range(count):
            pool.submit(work)
        try:
            running = count
            while running:
                answer = done.get()
                if answer is None:
                    running -= 1
                elif isinstance(answer, Exception):
                    raise answer
                else:
                    yield answer
        finally:
            waiting.clear()
            for worker in workers:
                worker.close()


def _next(waiting: list[Share]) -> Share | None:
    try:
        return waiting.pop()
    except IndexError:  # another one was faster
        return None
