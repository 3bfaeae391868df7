"""The chip: one MicroPython process per life, from power or reset to the next.

Standard input and output are the UART, one more pipe carries what the board tells its host, line
by line (see device/_wires.py). Pipes, not a terminal: a terminal may drop typed bytes when its mode
changes, a UART does not. The process is the leader of its own session and dies with its host.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tools.interpreters import micropython

DEVICE = Path(__file__).with_name("device")
_SIGINT_BIT = 1 << (signal.SIGINT - 1)


class Chip:
    def __init__(self, *, heap: str, panel_fd: int, flash: Path, card: Path, frozen: Path) -> None:
        """Start it. `frozen` is a folder of modules that a real board has in its firmware."""
        self.told, tell = os.pipe()
        fds = [panel_fd, tell, os.open(flash, os.O_RDWR), os.open(card, os.O_RDWR)]
        command = [str(micropython()), "-X", f"heapsize={heap}", "-i", "start.py", *map(str, fds)]
        try:
            self._process = subprocess.Popen(
                [_setpriv(), "--pdeathsig", "KILL", *command],
                cwd=DEVICE,
                env=_environment(frozen),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=fds,
                start_new_session=True,
            )
        finally:
            for fd in fds[1:]:
                os.close(fd)
        assert self._process.stdin and self._process.stdout
        self._stdin = self._process.stdin
        self.output = self._process.stdout.fileno()
        self.ended = os.pidfd_open(self.pid)  # readable from the death of the process on
        for fd in (self._stdin.fileno(), self.output, self.told):
            os.set_blocking(fd, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def type(self, data: bytes) -> None:
        """Put bytes into the UART's receive buffer; what does not fit is lost."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._stdin.fileno(), data)

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the running program; False when none listens for Ctrl-C.

        At its prompt the interpreter does not catch SIGINT: there Ctrl-C is a character.
        """
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if not int(caught.split()[1], 16) & _SIGINT_BIT:
            return False
        self._process.send_signal(signal.SIGINT)
        return True

    def kill(self) -> int:
        """End it at once, with all it started; what it wrote can still be read. Exit status."""
        if self._process.returncode is None:  # else its number may be somebody else's by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()

    def close(self) -> None:
        self._stdin.close()
        os.close(self.told)
        os.close(self.ended)
        if self._process.stdout:
            self._process.stdout.close()


def _environment(frozen: Path) -> dict[str, str]:
    """Nothing of the user's: no history file, no time zone, no Python settings."""
    environment = {"TZ": "UTC", "MICROPYPATH": str(frozen) if frozen.is_dir() else ""}
    return {"PATH": os.environ.get("PATH", os.defpath), **environment}


def _setpriv() -> str:
    found = shutil.which("setpriv")
    if found is None:
        raise FileNotFoundError("setpriv is missing; on Debian and Ubuntu it is in util-linux")
    return found
