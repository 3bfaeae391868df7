"""One thread that waits for file descriptors and for calls from other threads."""

import os
import queue
import select
import threading
from collections.abc import Callable
from concurrent.futures import Future

_CALL_SEC = 30


class Loop:
    def __init__(self, tend: Callable[[], float | None], at_end: Callable[[], None]) -> None:
        """`tend` runs before each wait and says how many seconds it may last, None for ever.

        `at_end` runs last in the thread, also when a handler failed: `failure` then has the error.
        """
        self._tend, self._at_end = tend, at_end
        self.failure: BaseException | None = None
        self._handlers: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], Future[None]]]
        self._calls = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._stopping = False
        self.watch(self._wake, self._on_call)
        self._thread = threading.Thread(target=self._run, name="virtual board", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def call(self, action: Callable[[], None]) -> None:
        """Run `action` in the loop's thread and wait for it; what it raises is raised here."""
        if not self._thread.is_alive():
            raise RuntimeError("the virtual board has stopped") from self.failure
        done: Future[None] = Future()
        self._calls.put((action, done))
        os.eventfd_write(self._wake, 1)
        done.result(_CALL_SEC)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.call(self._leave)
        self._thread.join()
        self._epoll.close()
        os.close(self._wake)

    # From here on: only in the loop's thread, or before it starts.

    def watch(self, fd: int, handler: Callable[[], None], events: int = select.EPOLLIN) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def ignore(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def watches(self, fd: int) -> bool:
        return fd in self._handlers

    def _leave(self) -> None:
        self._stopping = True

    def _run(self) -> None:
        try:
            while not self._stopping:
                # One event at a time: a handler may close what another event was about.
                for fd, _ in self._epoll.poll(self._tend(), 1):
                    self._handlers[fd]()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._at_end()

    def _on_call(self) -> None:
        os.eventfd_read(self._wake)
        while not self._calls.empty():
            action, done = self._calls.get()
            try:
                action()
                done.set_result(None)
            except Exception as error:
                done.set_exception(error)
