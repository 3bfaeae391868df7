"""The serial port of the board as the rest of the machine sees it: a pty that mpremote opens.

The pty outlives resets and power cuts. As with a real port nobody listens on, what the board says
while nobody has it open is lost here (the serial log still has it), and a listener that does not
read cannot stop the board for longer than STALL_SEC.
"""

import contextlib
import os
import pty
import select
import termios
import time
import tty

STALL_SEC = 1.0
_CHUNK_BYTES = 4096


class SerialPort:
    def __init__(self) -> None:
        self.fd, slave = pty.openpty()
        self.path = os.ttyname(slave)
        tty.setraw(slave)  # stays so while the master is open, whoever opens and closes the slave
        os.close(slave)
        os.set_blocking(self.fd, False)
        self._backlog = bytearray()
        self._unread = False
        self._progress_at = 0.0
        self._given_up = False
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)

    def close(self) -> None:
        os.close(self.fd)

    def is_open(self) -> bool:
        """Whether anybody has the port open."""
        return not any(event & select.POLLHUP for _, event in self._poll.poll(0))

    def read(self) -> bytes:
        """What was sent to the board, or b"" when there is nothing (more)."""
        try:
            return os.read(self.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError:  # EIO: the last one who had it open closed it
            return b""

    def write(self, data: bytes) -> None:
        if not self.is_open():
            self._backlog.clear()
            return
        if not self._backlog and not self._given_up:
            self._progress_at = time.monotonic()
        self._backlog += data
        self._unread = True
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as it goes; lose it if nobody has read for STALL_SEC."""
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = os.write(self.fd, self._backlog) if self._backlog else 0
        self._backlog[:sent] = b""
        now = time.monotonic()
        if sent:
            self._progress_at, self._given_up = now, False
        elif self._backlog and (now - self._progress_at > STALL_SEC or not self.is_open()):
            self._given_up = True
            self._backlog.clear()

    @property
    def is_clogged(self) -> bool:
        """Whether bytes wait for a listener that does not read."""
        return bool(self._backlog)

    def forget_unread(self) -> None:
        """Throw away what the last listener left unread, so that the next does not get it."""
        if not self._unread:
            return
        self._unread = False
        self._backlog.clear()
        slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        try:
            termios.tcflush(slave, termios.TCIFLUSH)
        finally:
            os.close(slave)
