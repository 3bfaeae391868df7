"""Everything the board printed, in a file; and waiting for a text in it.

Host memory stays bounded: the file is the only copy.
"""

import re
import threading
import time
from pathlib import Path

_KEEP_BYTES = 65536
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")


class SerialLog:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb", buffering=0)
        self._grown = threading.Condition()
        self._seen_bytes = 0
        self._ends_in_return = False
        self.ended: BaseException | None = None

    def close(self) -> None:
        self._file.close()

    def cook(self, data: bytes) -> bytes:
        """Newlines as a board sends them; the unix port leaves that to the terminal."""
        before = b"\r" if self._ends_in_return else b""
        cooked = _BARE_NEWLINE.sub(b"\r\n", before + data)[len(before) :]
        self._ends_in_return = (before + data).endswith(b"\r")
        return cooked

    def write(self, data: bytes) -> None:
        with self._grown:
            self._file.write(data)
            self._grown.notify_all()

    def end(self, reason: BaseException) -> None:
        """Nothing more will come: who waits gets `reason`."""
        with self._grown:
            self.ended = reason
            self._grown.notify_all()

    def wait_for(self, text: str, timeout_sec: float) -> str:
        """The output from the end of the previous match to the end of `text`.

        At most the last 64 KiB of it. TimeoutError shows the end of what was printed instead.
        """
        wanted = text.encode()
        deadline = time.monotonic() + timeout_sec
        tail = b""
        with self.path.open("rb") as log, self._grown:
            log.seek(self._seen_bytes)
            while True:
                tail += log.read()
                end = tail.find(wanted) + len(wanted)
                if wanted in tail:
                    self._seen_bytes = log.tell() - len(tail) + end
                    return tail[:end].decode(errors="replace")
                tail = tail[-_KEEP_BYTES:]
                if self.ended:
                    raise self.ended
                if not self._grown.wait(deadline - time.monotonic()):
                    break
        shown = tail[-2000:].decode(errors="replace")
        raise TimeoutError(f"no {text!r} within {timeout_sec} s; the board printed:\n{shown}")
