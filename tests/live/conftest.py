"""Services that live tests share: one broker, one store of each kind, for the whole run."""

from collections.abc import Iterator

import pytest

from tests.live.cameras import COMMANDS
from tools.material import Footage, footage
from tools.services import Mosquitto, ObjectStore
from tools.services import minio as run_minio
from tools.services import mosquitto as run_mosquitto
from tools.services import seaweedfs as run_seaweedfs


@pytest.fixture(scope="session")
def broker() -> Iterator[Mosquitto]:
    with run_mosquitto() as running:
        yield running


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[ObjectStore]:
    with run_seaweedfs() as running:
        yield running


@pytest.fixture(scope="session")
def minio() -> Iterator[ObjectStore]:
    with run_minio() as running:
        yield running


@pytest.fixture(params=["seaweedfs", "minio"])
def any_store(request: pytest.FixtureRequest) -> ObjectStore:
    store: ObjectStore = request.getfixturevalue(request.param)
    return store


@pytest.fixture(params=sorted(COMMANDS))
def interpreter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def film() -> Footage:
    return footage("bikes")
