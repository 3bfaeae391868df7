"""package.json and manifest.py carry exactly the device files, under the names they are imported by."""

import json
import re
from pathlib import Path, PurePosixPath

from tools.bootstrap import TYPINGS
from tools.device_tree import ROOT, device_files, module_name
from tools.mip_package import PACKAGE, render, version


def device_names(*, without: tuple[str, ...] = ()) -> set[str]:
    return {module_name(path) for path in device_files()} - set(without)


def imported_as(installed: str) -> str:
    """The name under which a file at this place below a directory of sys.path is imported."""
    path = PurePosixPath(installed).with_suffix("")
    return ".".join(path.parent.parts if path.name == "__init__" else path.parts)


class Recorder:
    """Stands for MicroPython's manifestfile.py: notes what would be frozen, and under which path."""

    def __init__(self) -> None:
        self.frozen: list[str] = []

    def names(self) -> dict[str, object]:
        return {"include": self.include, "module": self.module, "package": self.package}

    def include(self, manifest: str) -> None:
        assert manifest == "$(PORT_DIR)/boards/manifest.py"

    def module(self, path: str, base_path: str = ".") -> None:
        assert (Path(base_path) / path).is_file(), path
        self.frozen.append(path)

    def package(self, folder: str) -> None:
        self.frozen += [path.as_posix() for path in Path(folder).rglob("*.py")]


def test_package_json_is_up_to_date():
    assert PACKAGE.read_text() == render(), "run: make package"


def test_mip_installs_what_a_users_own_main_imports():
    urls = json.loads(PACKAGE.read_text())["urls"]
    assert {imported_as(installed) for installed, _ in urls} == device_names(
        without=("boot", "main")
    )
    assert all((ROOT / source).is_file() for _, source in urls)


def test_manifest_freezes_every_device_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    recorder = Recorder()
    exec((ROOT / "manifest.py").read_text(), recorder.names())
    names = [imported_as(path) for path in recorder.frozen]
    assert sorted(names) == sorted(device_names())


def test_versions_agree():
    (stated,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert stated == version() == json.loads(PACKAGE.read_text())["version"]


def test_lib_hides_no_module_of_the_board():
    """Frozen and built-in modules win over /lib, so one of the same name would never be imported."""
    of_the_board = {path.name.split(".")[0] for path in TYPINGS.iterdir()}
    of_the_board |= {path.name.split(".")[0] for path in (TYPINGS / "stdlib").iterdir()}
    ours = {name.split(".")[0] for name in device_names(without=("boot", "main"))}
    assert {"umqtt", "asyncio"} <= of_the_board
    assert not ours & of_the_board
