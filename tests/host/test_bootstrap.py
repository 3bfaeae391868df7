"""The set-up does each step once, and where it cannot go on it says what to run."""

import subprocess

import pytest

from tools import bootstrap
from tools.bootstrap import SetupError, install_packages, missing_packages, once, run


@pytest.fixture
def bare_machine(tmp_path, monkeypatch):
    """No command but apt-get, which must not be run, and no other file."""
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\nexit 99\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bootstrap, "COMMAND_PATH", str(tmp_path))
    monkeypatch.setattr(bootstrap, "FILE_ROOT", tmp_path / "root")
    monkeypatch.setattr(bootstrap, "STATE", tmp_path / "state")
    return tmp_path


def command(folder, name, script="exit 0"):
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_each_goal_asks_for_its_own_packages(bare_machine):
    demo = ["mosquitto", "ffmpeg", "mtools", "dosfstools"]
    assert missing_packages("demo") == demo
    gstreamer = ["python3-gi", "gir1.2-gst-rtsp-server-1.0"]
    assert missing_packages("demo-rtsp") == demo + gstreamer
    assert missing_packages("bench") == [*demo, "valgrind", "curl"]
    assert missing_packages("check") == []
    everything = [name for name, _, _ in bootstrap.APT_PACKAGES]
    assert missing_packages("test") == missing_packages("all") == everything


def test_what_is_there_is_not_asked_for(bare_machine):
    command(bare_machine, "mosquitto")
    assert missing_packages("demo") == ["ffmpeg", "mtools", "dosfstools"]


def test_a_package_without_a_command_is_known_by_its_file(bare_machine):
    package = "gir1.2-gst-rtsp-server-1.0"
    assert package in missing_packages("test")
    folder = bare_machine / "root" / "usr/lib/some-machine/girepository-1.0"
    folder.mkdir(parents=True)
    (folder / "GstRtspServer-1.0.typelib").touch()
    assert package not in missing_packages("test")


def test_a_python_without_ensurepip_needs_its_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing_packages("check") == [bootstrap.venv_package()]


def test_without_root_or_sudo_the_exact_command_is_told(bare_machine, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SetupError) as failed:
        install_packages(["ffmpeg", "mtools"])
    assert str(failed.value).splitlines()[-1].strip() == (
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends ffmpeg mtools"
    )


def test_sudo_that_asks_for_a_password_is_not_used(bare_machine, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    command(bare_machine, "sudo", "exit 1")
    with pytest.raises(SetupError, match="Debian packages are missing"):
        install_packages(["ffmpeg"])


def test_sudo_that_asks_nothing_installs(bare_machine, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    command(bare_machine, "sudo", f'printf "%s\\n" "$*" >>{bare_machine}/asked')
    install_packages(["ffmpeg"])
    asked = (bare_machine / "asked").read_text().splitlines()
    assert asked[1] == "-n env DEBIAN_FRONTEND=noninteractive apt-get update"
    assert asked[2].endswith("install -y --no-install-recommends ffmpeg")


def test_a_system_without_apt_is_told_what_is_missing(bare_machine):
    (bare_machine / "apt-get").unlink()
    with pytest.raises(SetupError, match="ffmpeg mtools"):
        install_packages(["ffmpeg", "mtools"])


def test_a_failed_step_shows_its_output_and_the_way_out(bare_machine):
    command(bare_machine, "step", "echo no route to host; exit 3")
    with pytest.raises(SetupError) as failed:
        run(["step"], "fetch", "Plug the cable in.")
    assert "no route to host" in str(failed.value)
    assert str(failed.value).endswith("Plug the cable in.")


def test_a_step_is_done_again_only_for_other_inputs(tmp_path):
    lock, made = tmp_path / "lock", tmp_path / "made"
    lock.write_text("one")
    done = []

    def make():
        made.mkdir(exist_ok=True)
        done.append(lock.read_text())

    for content in ("one", "one", "two", "two"):
        lock.write_text(content)
        once(made, (lock,), make)
    assert done == ["one", "two"]
    subprocess.run(["rm", "-r", str(made)], check=True)
    once(made, (lock,), make)
    assert done == ["one", "two", "two"]


def test_a_failed_step_is_not_taken_for_done(tmp_path):
    def fail():
        (tmp_path / "made").mkdir(exist_ok=True)
        raise SetupError("no")

    for _ in range(2):
        with pytest.raises(SetupError):
            once(tmp_path / "made", ("input",), fail)


def test_pip_installs_where_this_set_up_says(monkeypatch):
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_CERT", "/a/certificate")
    environment = bootstrap.clean_environment()
    assert environment["PIP_USER"] == "0"
    assert environment["PIP_CERT"] == "/a/certificate"
    assert not {"PIP_TARGET", "PYTHONPATH"} & set(environment)
