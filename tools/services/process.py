"""A server program run for a while on loopback: started, frozen, killed, restarted, removed.

Invariant: between `__enter__` and `__exit__` the service owns its ports and one temporary
directory; after `__exit__` no process of its group and no file of it is left. Should this
process itself be killed, the reaper (see reaper.py) does the same.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tools.services import reaper

HOST = "127.0.0.1"
GRPC_OFFSET = 10_000  # SeaweedFS expects a gRPC port this far above each HTTP port
_PORTS = range(11_000, 22_000)  # with the offset still below the kernel's ephemeral ports
_given: set[int] = set()  # a stopped service comes back to its port
_LOG_TAIL_LINES = 25
_Self = TypeVar("_Self", bound="Service")


class ServiceError(RuntimeError):
    """A service is missing, did not come up or ended by itself; the text says what to do."""


def free_port() -> int:
    """A loopback port that nobody listens on, nor on the port GRPC_OFFSET above it."""
    for port in random.sample(_PORTS, 200):
        if port not in _given and _is_free(port) and _is_free(port + GRPC_OFFSET):
            _given.add(port)
            return port
    raise ServiceError(f"no free loopback port between {_PORTS.start} and {_PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class Service:
    """Base of all services; subclasses give `name`, `command()` and `probe()`."""

    name = "service"
    start_timeout_sec = 30.0
    stop_timeout_sec = 10.0

    def __init__(self) -> None:
        self.directory = Path()  # both exist from __enter__ to __exit__
        self.log_path = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def probe(self) -> None:
        """Use the service as a client would; raises anything while it is not ready."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Write what the program needs before its first start."""

    def environment(self) -> dict[str, str]:
        """Home and temporary files stay inside the service's own directory."""
        return {**os.environ, "HOME": str(self.directory), "TMPDIR": str(self.directory)}

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the running program; raises ServiceError when it is stopped."""
        if self._process is None:
            raise ServiceError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start on the same port and data, return when `probe` succeeds; raises ServiceError."""
        if self.is_running:
            raise ServiceError(f"{self.name} is already running")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self.environment(),
                start_new_session=True,
            )
        reaper.add_group(self._process.pid)
        try:
            self._wait_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """SIGTERM and wait; SIGKILL if it does not end in time. Harmless when stopped."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL the whole process group. Harmless when stopped."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze (SIGSTOP): connections stay open and nothing answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.killpg(self.pid, signal.SIGCONT)

    def leftovers(self) -> list[Path]:
        """Files the program makes outside its directory."""
        return []

    def log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:]) or "(its log is empty)"

    def __enter__(self: _Self) -> _Self:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.log_path = self.directory / "service.log"
        for path in (self.directory, *self.leftovers()):
            reaper.add_path(path)
        try:
            self.prepare()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        self.stop()
        for path in (self.directory, *self.leftovers()):
            reaper.delete(path)
            reaper.remove_path(path)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout_sec
        problem: Exception | None = None
        while time.monotonic() < deadline:
            if not self.is_running:
                raise ServiceError(
                    f"{self.name} ended with status {self._status()}:\n{self.log_tail()}"
                )
            try:
                return self.probe()
            except Exception as error:  # not ready yet; told below if it stays so
                problem = error
            time.sleep(0.05)
        raise ServiceError(
            f"{self.name} was not ready in {self.start_timeout_sec:.0f} s"
            f" ({problem!r}):\n{self.log_tail()}"
        )

    def _status(self) -> int | None:
        return None if self._process is None else self._process.returncode

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        reaper.kill(process.pid, how)
        reaper.kill(process.pid, signal.SIGCONT)  # a frozen process acts on SIGTERM only then
        try:
            process.wait(self.stop_timeout_sec)
        except subprocess.TimeoutExpired:
            reaper.kill(process.pid)
            process.wait()
        reaper.kill(process.pid)  # whatever it started itself
        reaper.remove_group(process.pid)


class Server(Service):
    """A service that listens on a port of its own, the same one after every restart."""

    def __init__(self) -> None:
        super().__init__()
        self.host = HOST
        self.port = free_port()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"
