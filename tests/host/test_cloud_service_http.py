"""The cloud service over HTTP: the same answers, a token for each device, figures for operators."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from pydantic import SecretStr

from tests.host.cloud_fakes import DEVICE, PATH, REQUEST
from tests.live.protocol_camera import ProtocolCamera
from tools.cloud_service.http_api import Tokens
from tools.services import CloudService, Minio, Mosquitto

OTHER = "OTHER_CAM"
Served = tuple[Mosquitto, CloudService]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Broker and service; the store is only an address, which nobody answers at."""
    with (
        Mosquitto() as broker,
        CloudService(broker, Minio(), [DEVICE, OTHER], http=True) as service,
    ):
        yield broker, service


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


def post(
    session: requests.Session,
    service: CloudService,
    kind: str,
    body: bytes,
    token: str | None = None,
) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    url = f"{service.http_url}/upload/{kind}"
    return session.post(url, data=body, headers=headers, timeout=30)


def asked(**fields: Any) -> bytes:
    return json.dumps({**REQUEST, **fields}).encode()


def test_the_answer_is_that_of_mqtt(served: Served, session: requests.Session) -> None:
    broker, service = served
    answer = post(session, service, "request", asked(), service.tokens[DEVICE])
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    with ProtocolCamera(broker, DEVICE) as camera:
        over_mqtt = camera.say("request", REQUEST)
    over_http = answer.json()
    assert list(over_http) == list(over_mqtt)
    changing = {"request_id", "upload_url", "expires_at", "server_time"}
    for name in over_http.keys() - changing:
        assert over_http[name] == over_mqtt[name]
    urls = [urlsplit(reply["upload_url"]) for reply in (over_http, over_mqtt)]
    assert urls[0].path == urls[1].path == f"/cams/{PATH}"


def test_a_refusal_has_status_200_as_in_the_specification(
    served: Served, session: requests.Session
) -> None:
    _, service = served
    answer = post(session, service, "request", asked(file_size=0), service.tokens[DEVICE])
    assert (answer.status_code, answer.json()["error_code"]) == (200, "BAD_REQUEST")
    for kind in ("request", "complete"):
        answer = post(session, service, kind, b"[" * 5000, service.tokens[DEVICE])
        assert (answer.status_code, answer.json()["error_code"]) == (200, "BAD_REQUEST")


def test_a_complete_comes_by_http_as_well(served: Served, session: requests.Session) -> None:
    _, service = served
    told = {"request_id": "c1", "device_id": DEVICE, "cloud_file_path": PATH, "outcome": "failed"}
    answer = post(session, service, "complete", json.dumps(told).encode(), service.tokens[DEVICE])
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "request_id": "c1", "verified": False}


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic TOKEN", "TOKEN", "Bearer TOKENx"],
)
def test_a_stranger_gets_no_url(
    served: Served, session: requests.Session, header: str | None
) -> None:
    _, service = served
    headers = {}
    if header is not None:
        headers["Authorization"] = header.replace("TOKEN", service.tokens[DEVICE])
    for kind in ("request", "complete"):
        url = f"{service.http_url}/upload/{kind}"
        answer = session.post(url, data=asked(), headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHORIZED")
        assert "upload_url" not in answer.json()


def test_a_token_is_good_for_its_own_device_alone(
    served: Served, session: requests.Session
) -> None:
    _, service = served
    answer = post(session, service, "request", asked(), service.tokens[OTHER])
    assert (answer.status_code, answer.json()["error_code"]) == (200, "UNAUTHORIZED")
    assert answer.json()["error_message"] == "device_id is not that of the token"


def test_a_large_body_is_not_read(served: Served, session: requests.Session) -> None:
    _, service = served
    body = asked(padding="x" * 20_000)
    answer = post(session, service, "request", body, service.tokens[DEVICE])
    assert (answer.status_code, answer.json()["error_code"]) == (413, "BAD_REQUEST")


def test_what_is_no_http_does_not_stop_it(served: Served, session: requests.Session) -> None:
    _, service = served
    address = urlsplit(service.http_url)
    with socket.create_connection((address.hostname, address.port or 0), 10) as raw:
        raw.sendall(b"\x16\x03\x01 not http\r\n\r\n")
        assert b"400" in raw.recv(1000).partition(b"\r\n")[0]
    assert post(session, service, "request", asked(), service.tokens[DEVICE]).status_code == 200
    assert session.get(f"{service.http_url}/upload/request", timeout=30).status_code == 405
    assert session.get(f"{service.http_url}/nothing", timeout=30).status_code == 404


def figures(session: requests.Session, service: CloudService) -> dict[str, float]:
    answer = session.get(f"{service.http_url}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_what_happens_is_counted(served: Served, session: requests.Session) -> None:
    _, service = served

    def grown(name: str) -> float:
        return figures(session, service).get(name, 0) - before.get(name, 0)

    before = figures(session, service)
    token = service.tokens[DEVICE]
    told = {"request_id": "c1", "device_id": DEVICE, "cloud_file_path": PATH, "outcome": "stored"}
    post(session, service, "request", asked(protocol=2), token)
    post(session, service, "request", asked(file_size=0), token)
    assert before["cloud_service_broker_connected"] == 1
    assert grown("cloud_service_upload_slots_held") == 1
    answer = post(session, service, "complete", json.dumps(told).encode(), token)
    assert answer.json()["error_code"] == "STORE_UNAVAILABLE", "nobody is there"
    assert grown("cloud_service_upload_slots_held") == 0
    expected = {
        'cloud_service_requests_total{result="granted",transport="http"}',
        'cloud_service_requests_total{result="refused",transport="http"}',
        'cloud_service_refusals_total{code="BAD_REQUEST",kind="upload/request"}',
        'cloud_service_refusals_total{code="STORE_UNAVAILABLE",kind="upload/complete"}',
        'cloud_service_completes_total{outcome="stored",result="refused",transport="http"}',
        'cloud_service_store_call_seconds_count{call="head"}',
        'cloud_service_store_errors_total{call="head",error="EndpointConnectionError"}',
    }
    assert {name: grown(name) for name in expected} == dict.fromkeys(expected, 1.0)


def test_the_log_keeps_tokens_and_urls(served: Served, session: requests.Session) -> None:
    _, service = served
    post(session, service, "request", asked(), service.tokens[DEVICE])
    post(session, service, "request", asked(), "a-wrong-token-that-is-a-secret-too")
    log = service.log_path.read_text()
    assert '"transport":"http"' in log
    for secret in ("X-Amz", "token-of", "a-wrong-token", Minio.secret_key):
        assert secret not in log


def test_health_follows_the_broker(session: requests.Session) -> None:
    with Mosquitto() as broker, CloudService(broker, Minio(), [DEVICE], http=True) as service:
        url = f"{service.http_url}/healthz"
        assert session.get(url, timeout=30).status_code == 200
        broker.kill()
        while session.get(url, timeout=30).status_code == 200:
            assert service.is_running
        assert session.get(url, timeout=30).status_code == 503
        assert figures(session, service)["cloud_service_broker_connected"] == 0
        answer = post(session, service, "request", asked(), service.tokens[DEVICE])
        assert answer.json()["success"] is True, "HTTP needs no broker"


def test_tokens_are_told_apart() -> None:
    tokens = Tokens({"a": SecretStr("token-of-a"), "b": SecretStr("token-of-b")})
    assert tokens.owner("Bearer token-of-a") == "a"
    assert tokens.owner("Bearer token-of-b") == "b"
    for header in ("", "Bearer", "Bearer ", "token-of-a", "bearer token-of-a", "Bearer \udcff"):
        assert tokens.owner(header) is None
    assert Tokens({}).owner("Bearer ") is None
