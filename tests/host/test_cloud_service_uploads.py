"""Grants of protocol 2 in the cloud service's pure core: one PUT, parts, appends, slots."""

from __future__ import annotations

import json

import pytest

from tests.host.cloud_fakes import (
    DEVICE,
    ETAG,
    FULL,
    MD5,
    MIB,
    NOW,
    PART,
    PATH,
    REQUEST,
    Answer,
    Recorder,
    Service,
    part,
)
from tools.cloud_service.config import UploadPolicy
from tools.cloud_service.handlers import REQUEST as ASK
from tools.cloud_service.handlers import UploadHandler
from tools.cloud_service.messages import Refusal
from tools.cloud_service.plan import Part
from tools.cloud_service.slots import Slots
from tools.cloud_service.store import StoredObject, StoreError


@pytest.fixture
def service() -> Service:
    return Service()


# ---- one PUT


async def test_the_md5_is_signed_and_nothing_overwritten(service: Service) -> None:
    granted = await service.ask(file_size=PART, content_md5=MD5)
    assert granted["requires_complete"] is True
    assert granted["upload_url"].startswith("https://store.test/")
    more = {"content_md5": MD5, "forbid_overwrite": True}
    assert service.signer.signed == [(PATH, "video/mp2t", 3600, more)]
    assert service.store.calls == [], "no store is asked for one PUT"


@pytest.mark.parametrize(
    "fields",
    [
        {"file_size": PART},
        {"capabilities": ["put"]},
        {"capabilities": []},
        {"capabilities": ["put"], "live": True},
    ],
    ids=str,
)
async def test_a_small_file_or_a_plain_sender_gets_one_put(
    service: Service, fields: Answer
) -> None:
    granted = await service.ask(**fields)
    assert "upload_url" in granted and "mode" not in granted


async def test_what_is_compressed_is_called_so(service: Service) -> None:
    await service.ask(file_size=PART, content_md5=MD5, content_encoding="gzip")
    more = {"content_md5": MD5, "content_encoding": "gzip", "forbid_overwrite": True}
    assert service.signer.signed == [(PATH, "video/mp2t", 3600, more)]


async def test_overwriting_may_be_allowed() -> None:
    service = Service(forbid_overwrite=False)
    await service.ask(file_size=1)
    assert service.signer.signed == [(PATH, "video/mp2t", 3600)]


async def test_a_plain_camera_gets_what_it_always_got(service: Service) -> None:
    plain = await service.say(DEVICE, ASK, {**REQUEST, "content_md5": MD5, "live": True})
    assert "requires_complete" not in plain and "upload_url" in plain
    assert service.signer.signed == [(PATH, "video/mp2t", 3600)]
    assert service.handler.slots.held() == 0


async def test_large_files_may_be_left_whole() -> None:
    service = Service(large_files="put")
    assert "upload_url" in await service.ask(live=True)
    assert service.store.calls == []


# ---- parts


async def test_a_large_file_is_granted_in_batches(service: Service) -> None:
    granted = await service.ask(file_size=6 * PART - 1)
    expected = {
        "success": True,
        "request_id": "upload_1a2b3c4d",
        "method": "PUT",
        "content_type": "",
        "cloud_file_path": PATH,
        "expires_at": NOW + 3600,
        "extra_headers": {},
        "server_time": NOW,
        "expires_in": 3600,
        "mode": "multipart",
        "upload_id": "upload-1",
        "part_size": PART,
        "parts_done": 0,
        "parts": [
            {
                "part_number": number,
                "upload_url": f"https://store.test/{PATH}?part={number}&signature=",
            }
            for number in (1, 2, 3, 4)
        ],
        "requires_complete": True,
    }
    assert granted == expected
    assert service.store.calls == [("create", PATH, "video/mp2t", None)]
    assert "signature" not in json.dumps(service.reply.log)
    later = await service.ask(
        file_size=6 * PART - 1, resume={"upload_id": "upload-1", "next_part": 5}
    )
    assert (later["parts_done"], numbers(later)) == (0, [1, 2, 3, 4]), "the store has nothing yet"


def numbers(granted: Answer) -> list[int]:
    return [entry["part_number"] for entry in granted["parts"]]


RESUMES: dict[str, tuple[list[Part], int, int, list[int]]] = {
    # what the store holds, next_part; parts_done, the parts granted
    "nothing": ([], 1, 0, [1, 2, 3]),
    "the camera is ahead": ([part(1, PART)], 3, 1, [2, 3]),
    "the store is ahead": (FULL[:2], 1, 2, [1, 2, 3]),
    "as both know": (FULL[:2], 3, 2, [3]),
    "all": (FULL, 4, 3, []),
    "all, unknown to the camera": (FULL, 1, 3, []),
    "a gap": ([FULL[0], FULL[2]], 4, 1, [2, 3]),
    "the last one too long": ([*FULL[:2], part(3, 11)], 4, 2, [3]),
    "the last one too short": ([*FULL[:2], part(3, 9)], 4, 2, [3]),
    "one in the middle too short": ([FULL[0], part(2, PART - 1), FULL[2]], 4, 1, [2, 3]),
    "one part twice": ([FULL[0], part(2, 7), FULL[1], FULL[2]], 4, 3, []),
}


@pytest.mark.parametrize("held, wanted, done, granted", RESUMES.values(), ids=RESUMES.keys())
async def test_an_upload_goes_on_where_the_store_is(
    service: Service, held: list[Part], wanted: int, done: int, granted: list[int]
) -> None:
    service.store.uploads[PATH, "id"] = held
    resume = {"upload_id": "id", "next_part": wanted}
    answer = await service.ask(file_size=2 * PART + 10, resume=resume)
    assert (answer["part_size"], answer["parts_done"], numbers(answer)) == (PART, done, granted)


async def test_the_part_size_stays_what_it_was_at_first() -> None:
    service = Service(part_size_bytes=8 * MIB)  # since the first grant, by another setting
    service.store.uploads[PATH, "id"] = [part(1, PART), part(2, PART)]
    resume = {"upload_id": "id", "next_part": 3}
    answer = await service.ask(file_size=2 * PART + 10, resume=resume)
    assert (answer["part_size"], answer["parts_done"], numbers(answer)) == (PART, 2, [3])


async def test_a_first_part_that_no_grant_asked_for_says_nothing_of_the_size(
    service: Service,
) -> None:
    service.store.uploads[PATH, "id"] = [part(1, 10)]
    resume = {"upload_id": "id", "next_part": 2}
    answer = await service.ask(file_size=2 * PART + 10, resume=resume)
    assert (answer["part_size"], answer["parts_done"], numbers(answer)) == (PART, 0, [1, 2, 3])


async def test_a_growing_file_has_no_last_part(service: Service) -> None:
    granted = await service.ask(file_size=1, live=True)
    assert numbers(granted) == [1, 2, 3, 4]
    service.store.uploads[PATH, granted["upload_id"]] = FULL
    resume = {"upload_id": granted["upload_id"], "next_part": 4}
    granted = await service.ask(file_size=2 * PART + 10, live=True, resume=resume)
    assert (granted["parts_done"], numbers(granted)) == (2, [3, 4, 5, 6])


async def test_an_upload_that_is_gone(service: Service) -> None:
    resume = {"upload_id": "id", "next_part": 3}
    refused = await service.ask(resume=resume)
    assert (refused["success"], refused["error_code"]) == (False, "NO_UPLOAD")
    service.store.objects[PATH] = StoredObject(REQUEST["file_size"] - 1, "e")
    refused = await service.ask(resume=resume)
    assert (refused["success"], refused["error_code"]) == (False, "NO_UPLOAD")
    service.store.objects[PATH] = StoredObject(REQUEST["file_size"], "e")
    granted = await service.ask(resume=resume)
    assert (granted["parts_done"], granted["parts"]) == (3, []), "it was completed before"


@pytest.mark.parametrize("url_bytes", [0, 1500, 2500, 7000, 9000])
async def test_a_reply_always_fits_the_camera_and_always_leads_on(url_bytes: int) -> None:
    service = Service()
    service.signer = Recorder(url_bytes=url_bytes)
    service.handler = UploadHandler(
        service.signer, service.store, [DEVICE], UploadPolicy(), lambda: NOW
    )
    granted = await service.ask(file_name=f"{DEVICE}/{'像' * 160}", file_size=100 * PART)
    assert numbers(granted) and numbers(granted) == list(range(1, len(numbers(granted)) + 1))
    assert len(service.reply.payload) < 8000 or len(numbers(granted)) == 1


# ---- appending


async def test_parts_are_appended_one_by_one() -> None:
    service = Service(large_files="append", part_size_bytes=102_400)
    ask: Answer = {"capabilities": ["put", "multipart", "append"], "file_size": 204_810}
    granted = await service.ask(**ask)
    assert granted["mode"] == granted["upload_id"] == "append"
    assert (granted["method"], granted["part_size"]) == ("POST", 102_400)
    assert (granted["parts_done"], granted["parts"]) == (0, [])
    resume = {"upload_id": "append", "next_part": 1, "part_md5": MD5, "part_size": 102_400}
    granted = await service.ask(**ask, resume=resume)
    assert numbers(granted) == [1]
    assert granted["extra_headers"] == {"Content-MD5": MD5}
    assert granted["content_type"] == "video/mp2t"
    service.store.objects[PATH] = StoredObject(102_400, "e", is_appendable=True)
    again = await service.ask(**ask, resume=resume)
    assert (again["parts_done"], again["parts"]) == (1, []), "the answer to that part was lost"
    granted = await service.ask(**ask, resume={**resume, "next_part": 2})
    assert granted["parts"][0]["upload_url"].endswith("?append&position=102400")
    service.store.objects[PATH] = StoredObject(204_810, "e", is_appendable=True, has_md5_etag=False)
    granted = await service.ask(**ask, resume={**resume, "next_part": 4})
    assert (granted["parts_done"], granted["parts"]) == (3, [])
    told: Answer = {"file_size": 204_810, "upload_id": "append", "content_md5": MD5}
    service.store.md5s[PATH] = ETAG
    ack = await service.complete(**told)
    assert (ack["success"], ack["verified"]) == (True, True)
    assert service.store.calls[-1] == ("md5", PATH)


async def test_what_cannot_be_appended_to_is_refused() -> None:
    service = Service(large_files="append")
    ask: Answer = {"capabilities": ["put", "append"], "file_size": 3 * PART}
    for there in (
        StoredObject(PART, "e"),
        StoredObject(PART + 1, "e", is_appendable=True),
        StoredObject(4 * PART, "e", is_appendable=True),
    ):
        service.store.objects[PATH] = there
        refused = await service.ask(**ask)
        assert (refused["success"], refused["error_code"]) == (False, "BAD_REQUEST")
    del service.store.objects[PATH]
    resume = {"upload_id": "append", "next_part": 1, "part_md5": MD5, "part_size": PART + 1}
    refused = await service.ask(**ask, resume=resume)
    assert refused["error_message"] == f"resume.part_size: at most {PART} is allowed"
    service.store.objects[PATH] = StoredObject(2 * PART, "e", is_appendable=True)
    resume = {**resume, "next_part": 3, "part_size": 11}
    refused = await service.ask(capabilities=["append"], file_size=2 * PART + 10, resume=resume)
    assert refused["error_message"] == "resume.part_size: at most 10 is allowed"


async def test_a_growing_file_is_appended_to_until_a_short_part() -> None:
    service = Service(large_files="append")
    ask: Answer = {"capabilities": ["append"], "live": True}
    resume = {"upload_id": "append", "next_part": 2, "part_md5": MD5, "part_size": 10}
    service.store.objects[PATH] = StoredObject(PART, "e", is_appendable=True)
    granted = await service.ask(**ask, file_size=PART, resume=resume)
    assert (granted["parts_done"], numbers(granted)) == (1, [2])
    service.store.objects[PATH] = StoredObject(PART + 10, "e", is_appendable=True)
    granted = await service.ask(**ask, file_size=PART + 10, resume={**resume, "next_part": 3})
    assert (granted["parts_done"], granted["parts"]) == (2, [])


async def test_nothing_is_appended_where_it_is_not_configured(service: Service) -> None:
    assert (await service.ask(capabilities=["put", "append"]))["method"] == "PUT"
    refused = await service.ask(resume={"upload_id": "append", "next_part": 1})
    assert (refused["success"], refused["error_code"]) == (False, "NO_UPLOAD")


# ---- slots


async def test_a_device_has_so_many_slots_for_so_long() -> None:
    service = Service(max_per_device=2, slot_sec=100)
    assert (await service.ask(file_name=f"{DEVICE}/1"))["success"] is True
    service.now += 30
    assert (await service.ask(file_name=f"{DEVICE}/2"))["success"] is True
    assert (await service.ask(file_name=f"{DEVICE}/2"))["success"] is True, "the same one"
    refused = await service.ask(file_name=f"{DEVICE}/3")
    assert (refused["error_code"], refused["retry_after"]) == ("RATE_LIMITED", 70)
    assert (await service.ask(device="B"))["success"] is True, "others have their own"
    service.now += 70
    assert (await service.ask(file_name=f"{DEVICE}/3"))["success"] is True
    assert (await service.ask(file_name=f"{DEVICE}/4"))["error_code"] == "RATE_LIMITED"


@pytest.mark.parametrize("outcome", ["stored", "failed", "aborted"])
async def test_any_complete_frees_the_slot(outcome: str) -> None:
    service = Service(max_per_device=1)
    await service.ask()
    assert (await service.ask(file_name=f"{DEVICE}/2"))["error_code"] == "RATE_LIMITED"
    await service.complete(outcome)
    assert (await service.ask(file_name=f"{DEVICE}/2"))["success"] is True


async def test_a_request_that_fails_takes_no_slot() -> None:
    service = Service(max_per_device=1)
    service.store.failure = StoreError("SlowDown", "later")
    assert (await service.ask())["error_code"] == "STORE_UNAVAILABLE"
    assert service.handler.slots.held() == 0
    assert (await service.ask(file_name=f"{DEVICE}/2"))["success"] is True


def test_slots_never_grow_beyond_what_is_in_use() -> None:
    now = [0.0]
    slots = Slots(3, 10, lambda: now[0])
    for number in range(1000):
        now[0] += 5
        slots.take("a", f"path {number}")
    assert slots.held() == 2
    slots.free("a", "never held")
    slots.free("nobody", "never held")
    slots.take("a", "third")
    with pytest.raises(Refusal):
        slots.take("a", "fourth")
