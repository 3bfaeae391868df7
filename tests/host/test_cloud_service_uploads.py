"""Protocol 2 in the cloud service's pure core: grants, parts, slots, completes."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from tests.host.cloud_fakes import DEVICE, NOW, PATH, REQUEST, MemoryStore, Recorder, part
from tools.cloud_service.config import UploadPolicy
from tools.cloud_service.handlers import COMPLETE, Reply, UploadHandler
from tools.cloud_service.handlers import REQUEST as ASK
from tools.cloud_service.messages import Refusal
from tools.cloud_service.plan import MAX_PARTS, Part, joined, multipart_etag, part_size, parts_done
from tools.cloud_service.slots import Slots
from tools.cloud_service.store import PartsRefused, StoredObject, StoreError

MIB = 1024 * 1024
PART = 5 * MIB
MD5 = base64.b64encode(bytes(range(16))).decode()
ETAG = bytes(range(16)).hex()
Answer = dict[str, Any]


class Service:
    """The handler with its surroundings, and a clock that can be set."""

    def __init__(self, **policy: Any) -> None:
        self.signer, self.store, self.now = Recorder(), MemoryStore(), float(NOW)
        limits = UploadPolicy(**policy)
        self.handler = UploadHandler(
            self.signer, self.store, [DEVICE, "B"], limits, lambda: self.now, self.signer
        )

    async def ask(self, device: str = DEVICE, **fields: Any) -> Answer:
        asked = {"protocol": 2, "capabilities": ["put", "multipart"], "device_id": device}
        if device != DEVICE:
            asked["file_name"] = f"{device}/a.ts"
        return await self.say(device, ASK, {**REQUEST, **asked, **fields})

    async def complete(self, outcome: str = "stored", **fields: Any) -> Answer:
        told = {"request_id": "c1", "device_id": DEVICE, "cloud_file_path": PATH, "file_size": 12}
        return await self.say(DEVICE, COMPLETE, {**told, "outcome": outcome, **fields})

    async def say(self, device: str, kind: str, message: Answer) -> Answer:
        self.reply = await self.handler.answer(device, kind, json.dumps(message).encode())
        assert self.reply.topic.startswith(f"devices/{device}/upload/")
        answer: Answer = json.loads(self.reply.payload)
        return answer


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


FULL = [part(1, PART), part(2, PART), part(3, 10)]
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
    ask = {"capabilities": ["put", "multipart", "append"], "file_size": 204_810}
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
    service.store.objects[PATH] = StoredObject(204_810, "e", is_appendable=True)
    granted = await service.ask(**ask, resume={**resume, "next_part": 4})
    assert (granted["parts_done"], granted["parts"]) == (3, [])
    told = {"file_size": 204_810, "upload_id": "append", "content_md5": MD5}
    ack = await service.complete(**told)
    assert (ack["success"], ack["verified"]) == (True, True)
    assert service.store.calls[-1] == ("head", PATH)


async def test_what_cannot_be_appended_to_is_refused() -> None:
    service = Service(large_files="append")
    ask = {"capabilities": ["put", "append"], "file_size": 3 * PART}
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
    ask = {"capabilities": ["append"], "live": True}
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


# ---- complete


async def test_parts_are_joined_only_when_they_are_the_cameras(service: Service) -> None:
    service.store.uploads[PATH, "id"] = list(FULL)
    told = {
        "file_size": 2 * PART + 10,
        "upload_id": "id",
        "multipart_etag": multipart_etag(FULL),
    }
    ack = await service.complete(**told)
    assert ack == {
        "success": True,
        "request_id": "c1",
        "verified": True,
        "cloud_url": f"https://store.test/{PATH}",
        "etag": multipart_etag(FULL),
        "size": 2 * PART + 10,
    }
    calls = [call[0] for call in service.store.calls]
    assert calls == ["list", "complete", "head"]
    assert await service.complete(**told) == ack, "the same again"


OTHER_PARTS: dict[str, list[Part]] = {
    "another digest": [FULL[0], part(2, PART, b"other"), FULL[2]],
    "a part missing": FULL[:2],
    "a gap": [FULL[0], FULL[2], part(4, PART)],
    "another size": [*FULL[:2], part(3, 11)],
    "none": [],
    "no MD5s": [Part(number, held.size_bytes, "x") for number, held in enumerate(FULL, 1)],
}


@pytest.mark.parametrize("held", OTHER_PARTS.values(), ids=OTHER_PARTS.keys())
async def test_other_parts_are_dropped(service: Service, held: list[Part]) -> None:
    service.store.uploads[PATH, "id"] = held
    told = {"file_size": 2 * PART + 10, "multipart_etag": multipart_etag(FULL)}
    ack = await service.complete(**told, upload_id="id")
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
    assert service.store.objects == {} and service.store.uploads == {}


async def test_left_over_parts_and_repeated_ones_do_no_harm(service: Service) -> None:
    held = [FULL[0], part(2, PART, b"earlier"), FULL[1], FULL[1], FULL[2], part(4, PART)]
    service.store.uploads[PATH, "id"] = held
    told = {"file_size": 2 * PART + 10, "multipart_etag": multipart_etag(FULL)}
    ack = await service.complete(**told, upload_id="id")
    assert (ack["success"], ack["verified"]) == (True, True)


async def test_parts_without_a_digest_are_joined_but_not_verified(service: Service) -> None:
    service.store.uploads[PATH, "id"] = list(FULL)
    ack = await service.complete(file_size=2 * PART + 10, upload_id="id")
    assert (ack["success"], ack["verified"]) == (True, False)


async def test_parts_the_store_refuses_are_dropped(service: Service) -> None:
    class Refusing(MemoryStore):
        async def complete_upload(self, *_: Any) -> None:
            raise PartsRefused("EntityTooSmall", "a part is too small")

    service.store = Refusing()
    service.store.uploads[PATH, "id"] = list(FULL)
    service.handler = UploadHandler(
        service.signer, service.store, [DEVICE], UploadPolicy(), lambda: NOW
    )
    told = {"file_size": 2 * PART + 10, "multipart_etag": multipart_etag(FULL)}
    ack = await service.complete(**told, upload_id="id")
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
    assert service.store.uploads == {}


async def test_an_object_that_is_there_is_compared_not_replaced(service: Service) -> None:
    told = {"file_size": 2 * PART + 10, "multipart_etag": multipart_etag(FULL), "upload_id": "id"}
    for etag, success in ((multipart_etag(FULL) or "", True), (f"{ETAG}-3", False)):
        service.store.uploads[PATH, "id"] = list(FULL)
        service.store.objects[PATH] = StoredObject(2 * PART + 10, etag)
        ack = await service.complete(**told)
        assert ack["success"] is success
        assert ack.get("verified", False) is success
        assert service.store.objects[PATH].etag == etag
        assert service.store.uploads == {}


PUTS: dict[str, tuple[StoredObject | None, Answer, Answer]] = {
    # what is there, what the camera says; what the answer says
    "the same": (StoredObject(12, ETAG), {"content_md5": MD5}, {"verified": True}),
    "another": (StoredObject(12, "0" * 32), {"content_md5": MD5}, {"error_code": "INTEGRITY"}),
    "another size": (StoredObject(13, ETAG), {"content_md5": MD5}, {"error_code": "INTEGRITY"}),
    "nothing": (None, {"content_md5": MD5}, {"error_code": "NO_UPLOAD"}),
    "no digest": (StoredObject(12, ETAG), {}, {"verified": False}),
    "null digest": (StoredObject(12, ETAG), {"content_md5": None}, {"verified": False}),
    "made of parts": (StoredObject(12, f"{ETAG}-2"), {"content_md5": MD5}, {"verified": False}),
    "encrypted": (
        StoredObject(12, "0" * 32, has_md5_etag=False),
        {"content_md5": MD5},
        {"verified": False},
    ),
    "appended to": (
        StoredObject(12, "0" * 32, is_appendable=True),
        {"content_md5": MD5},
        {"verified": False},
    ),
}


@pytest.mark.parametrize("there, told, expected", PUTS.values(), ids=PUTS.keys())
async def test_a_put_is_compared(
    service: Service, there: StoredObject | None, told: Answer, expected: Answer
) -> None:
    if there:
        service.store.objects[PATH] = there
    ack = await service.complete(**told)
    assert ack["success"] is ("error_code" not in expected)
    assert expected.items() <= ack.items()


async def test_a_failed_upload_stays_and_an_aborted_one_goes(service: Service) -> None:
    service.store.uploads[PATH, "id"] = list(FULL)
    expected = {"success": True, "request_id": "c1", "verified": False}
    assert await service.complete("failed", upload_id="id", content_md5=None) == expected
    assert service.store.calls == []
    for _ in range(2):
        assert await service.complete("aborted", upload_id="id") == expected
        assert service.store.uploads == {}
    assert await service.complete("aborted", upload_id="append") == expected
    assert await service.complete("aborted") == expected
    assert [call[0] for call in service.store.calls] == ["abort", "abort"]


async def test_a_store_that_fails_is_told_as_such(service: Service) -> None:
    service.store.failure = StoreError("SlowDown", "http://secret.test/?signature=1")
    ack = await service.complete()
    assert (ack["success"], ack["error_code"]) == (False, "STORE_UNAVAILABLE")
    assert "signature" not in json.dumps(ack)


async def test_whatever_breaks_is_answered(service: Service) -> None:
    service.store.failure = RuntimeError("a bug")
    ack = await service.complete()
    assert (ack["request_id"], ack["success"]) == ("c1", False)
    assert ack["error_code"] == "STORE_UNAVAILABLE", "which a camera tries again"
    assert "a bug" not in json.dumps(ack)
    assert isinstance(service.reply.fault, RuntimeError)


# ---- what must not pass

BAD_FIELDS: dict[str, tuple[Answer, str]] = {
    "protocol text": ({"protocol": "2"}, "protocol: Input should be a valid integer"),
    "protocol 0": ({"protocol": 0}, "protocol: Input should be greater"),
    "capabilities text": ({"capabilities": "put"}, "capabilities: Input should be a valid tuple"),
    "capabilities many": ({"capabilities": ["x"] * 17}, "capabilities: Tuple should have at most"),
    "capabilities numbers": ({"capabilities": [1]}, "capabilities.0: Input should be a valid str"),
    "md5 short": ({"content_md5": "AAAA"}, "content_md5: must be the base64 of 16 bytes"),
    "md5 hex": ({"content_md5": ETAG}, "content_md5: String should have at most 24"),
    "md5 unclean": ({"content_md5": MD5[:-3] + "x=="}, "content_md5: must be the base64"),
    "md5 newline": ({"content_md5": MD5[:-1] + "\n"}, "content_md5: must be the base64"),
    "encoding": ({"content_encoding": "br"}, "content_encoding: Input should be 'gzip'"),
    "live text": ({"live": "yes"}, "live: Input should be a valid boolean"),
    "resume text": ({"resume": "id"}, "resume: Input should be"),
    "upload_id empty": ({"resume": {"upload_id": "", "next_part": 1}}, "resume.upload_id: String"),
    "upload_id long": (
        {"resume": {"upload_id": "x" * 513, "next_part": 1}},
        "resume.upload_id: String should match",
    ),
    "upload_id newline": (
        {"resume": {"upload_id": "a\nb", "next_part": 1}},
        "resume.upload_id: String should match",
    ),
    "next_part 0": ({"resume": {"upload_id": "x", "next_part": 0}}, "resume.next_part: Input"),
    "next_part many": (
        {"resume": {"upload_id": "x", "next_part": MAX_PARTS + 2}},
        "resume.next_part: Input should be less",
    ),
}


@pytest.mark.parametrize("fields, told", BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
async def test_a_bad_request_is_told_what_is_allowed(
    service: Service, fields: Answer, told: str
) -> None:
    refused = await service.ask(**fields)
    assert (refused["success"], refused["error_code"]) == (False, "BAD_REQUEST")
    assert told in refused["error_message"]
    assert service.store.calls == [] and service.signer.signed == []


BAD_COMPLETES: dict[str, tuple[Answer, str]] = {
    "no path": ({"cloud_file_path": None}, "cloud_file_path: Input should be a valid string"),
    "another's path": ({"cloud_file_path": "B/a.ts"}, f"cloud_file_path: must be below {DEVICE}/"),
    "climbing": ({"cloud_file_path": f"{DEVICE}/../B/a.ts"}, "path segments are not allowed"),
    "outcome": ({"outcome": "lost"}, "outcome: Input should be 'stored', 'failed' or 'aborted'"),
    "outcome object": ({"outcome": {}}, "outcome: Input should be"),
    "size": ({"file_size": -1}, "file_size: Input should be greater"),
    "etag upper": ({"multipart_etag": f"{ETAG.upper()}-2"}, "multipart_etag: String should match"),
    "etag plain": ({"multipart_etag": ETAG}, "multipart_etag: String should match"),
    "etag of none": ({"multipart_etag": f"{ETAG}-0"}, "multipart_etag: String should match"),
    "error_code": ({"error_code": "x" * 65}, "error_code: String should have at most"),
}


@pytest.mark.parametrize("fields, told", BAD_COMPLETES.values(), ids=BAD_COMPLETES.keys())
async def test_a_bad_complete_is_told_what_is_allowed(
    service: Service, fields: Answer, told: str
) -> None:
    ack = await service.complete(**{"outcome": "aborted", "upload_id": "id", **fields})
    assert (ack["request_id"], ack["success"]) == ("c1", False)
    assert (ack["error_code"], told in ack["error_message"]) == ("BAD_REQUEST", True), ack
    assert service.store.calls == []


HOSTILE = {
    "no JSON": b"complete",
    "empty": b"",
    "an array": b"[]",
    "nested": b'{"outcome":' + b"[" * 4000 + b"]" * 4000 + b"}",
    "large": b'{"padding":"' + b"x" * 9000 + b'"}',
    "no fields": b"{}",
    "half a surrogate": b'{"cloud_file_path":"\\ud800"}',
    "a large number": b'{"file_size":' + b"9" * 4000 + b"}",
}


@pytest.mark.parametrize("kind", [ASK, COMPLETE])
@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_comes_is_answered_and_costs_nothing(
    service: Service, kind: str, payload: bytes
) -> None:
    reply: Reply = await service.handler.answer(DEVICE, kind, payload)
    answer = json.loads(reply.payload)
    assert (answer["success"], answer["error_code"]) == (False, "BAD_REQUEST")
    assert len(reply.payload) < 1024 and reply.fault is None
    assert service.store.calls == []


async def test_a_stranger_completes_nothing(service: Service) -> None:
    service.store.uploads[PATH, "id"] = list(FULL)
    told = {"request_id": "c1", "cloud_file_path": PATH, "outcome": "aborted", "upload_id": "id"}
    for device, named in (("STRANGER", DEVICE), ("STRANGER", "STRANGER"), ("B", DEVICE)):
        ack = await service.say(device, COMPLETE, {**told, "device_id": named})
        assert (ack["success"], ack["error_code"]) == (False, "UNAUTHORIZED")
    assert service.store.calls == []


# ---- arithmetic


@pytest.mark.parametrize(
    "total, least, expected",
    [
        (1, PART, PART),
        (2**31 - 1, PART, PART),
        (100 * 1024 * MAX_PARTS, 102_400, 102_400),
        (100 * 1024 * MAX_PARTS + 1, 102_400, 2 * 65536),
        (2**31 - 1, 102_400, 4 * 65536),
    ],
)
def test_parts_are_large_enough_for_the_whole(total: int, least: int, expected: int) -> None:
    size = part_size(total, least)
    assert size == expected
    assert size * MAX_PARTS >= total


def test_the_digest_of_parts_is_that_of_s3() -> None:
    pieces = [b"a" * 10, b"b" * 10, b"c"]
    parts = [part(number, len(piece), piece) for number, piece in enumerate(pieces, 1)]
    digests = b"".join(hashlib.md5(piece).digest() for piece in pieces)
    assert multipart_etag(parts) == f"{hashlib.md5(digests).hexdigest()}-3"
    assert multipart_etag([*parts, Part(4, 1, "not-an-md5")]) is None


def test_a_store_that_lists_parts_many_times_over_costs_little() -> None:
    held = [part(number, 10, b"%d" % copy) for number in range(1, 40) for copy in range(20)]
    assert joined(held, 390, f"{ETAG}-39") is None
    assert parts_done(held, 10, 390) == 39
