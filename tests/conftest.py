"""Collect device tests twice, once per interpreter, each in its own process."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUNNER = ROOT / "tests" / "run_device.py"
DEVICE_FOLDERS = (ROOT / "tests" / "unit", ROOT / "tests" / "tasks")
DEVICE_TEST_TIMEOUT_SEC = 60

sys.path.insert(0, str(ROOT))

from tools.interpreters import micropython  # noqa: E402  (the path comes first)

# Programs that live tests need and that are built from source: begun at once, awaited when needed.
SERVERS_FROM_SOURCE = ("minio", "toxiproxy")
builds = []


def pytest_collection_modifyitems(items):
    """Tests that need no server first, those that need one built from source last."""
    order = ("unit", "tasks", "host", "faults", "live", "board")
    items.sort(key=lambda item: order.index(item.path.parent.name))


def pytest_collection_finish(session):
    needed = any(item.path.parent.name in ("live", "host") for item in session.items)
    if needed and not session.config.option.collectonly:
        for name in SERVERS_FROM_SOURCE:
            command = [sys.executable, "-m", "tools.gobuild", name]
            builds.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))


def pytest_sessionfinish(session):
    for build in builds:
        build.terminate()
        build.wait()


def interpreters():
    return {"cpython": Path(sys.executable), "micropython": micropython()}


def pytest_pycollect_makemodule(module_path, parent):
    """Keep pytest from importing device tests itself."""
    if module_path.parent in DEVICE_FOLDERS:
        return DeviceFile.from_parent(parent, path=module_path)
    return None


class DeviceFile(pytest.File):
    """A device test file: its functions are read, never imported, on the host."""

    def collect(self):
        tree = ast.parse(self.path.read_text(), self.path.name)
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if node.name.startswith("test_"):
                    for interpreter in interpreters():
                        yield DeviceTest.from_parent(
                            self,
                            name=f"{node.name}[{interpreter}]",
                            function=node.name,
                            interpreter=interpreter,
                            line=node.lineno,
                        )


class DeviceTest(pytest.Item):
    def __init__(self, *, function, interpreter, line, **kwargs):
        super().__init__(**kwargs)
        self.function, self.interpreter, self.line = function, interpreter, line

    def runtest(self):
        command = [interpreters()[self.interpreter], RUNNER, self.path, self.function]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DEVICE_TEST_TIMEOUT_SEC,
            env=environment,
            cwd=ROOT,
        )
        if done.returncode != 0 or f"ok {self.function}" not in done.stdout.splitlines():
            raise DeviceTestFailed(f"exit code {done.returncode}\n{done.stdout}")

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, DeviceTestFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, self.line - 1, self.name


class DeviceTestFailed(Exception):
    """The interpreter's output, shown as it is."""
