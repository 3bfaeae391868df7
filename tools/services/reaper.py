"""Cleans up after a process that was killed before it could clean up itself.

A small child reads what to clean from a pipe; the pipe closes when its parent ends, in whatever
way, and the child then kills the process groups and deletes the paths still on its list.
Lines: `+group 123`, `-group 123`, `+path /tmp/x`, `-path /tmp/x`.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TextIO

_child: subprocess.Popen[str] | None = None


def add_group(group: int) -> None:
    _tell(f"+group {group}")


def remove_group(group: int) -> None:
    _tell(f"-group {group}")


def add_path(path: Path) -> None:
    _tell(f"+path {path}")


def remove_path(path: Path) -> None:
    _tell(f"-path {path}")


def kill(group: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process group, which may have ended already."""
    try:
        os.killpg(group, how)
    except ProcessLookupError:
        return


def delete(path: Path) -> None:
    """Delete a directory tree or a file, which may be gone already."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tell(line: str) -> None:
    global _child
    if _child is None:
        _child = subprocess.Popen(
            [sys.executable, "-I", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent alone
        )
        atexit.register(_finish, _child)
    assert _child.stdin is not None
    _child.stdin.write(line + "\n")
    _child.stdin.flush()


def _finish(child: subprocess.Popen[str]) -> None:
    child.communicate()  # closes the pipe; the child cleans what is still listed


def _watch(pipe: TextIO) -> None:
    listed: dict[str, None] = {}
    for line in pipe:
        sign, entry = line[0], line[1:].rstrip("\n")
        if sign == "+":
            listed[entry] = None
        else:
            listed.pop(entry, None)
    for entry in sorted(listed):  # groups come before the paths they write to
        kind, _, value = entry.partition(" ")
        if kind == "group":
            kill(int(value))
        else:
            delete(Path(value))


if __name__ == "__main__":
    _watch(sys.stdin)
