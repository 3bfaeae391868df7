"""The camera keeps its promises when the power goes or the card fails; `make faults` tries every case.

Here a seed chooses some of them. The camera, its file system and its clips are real, on real
MicroPython; card, clock and cloud are in the same process.
"""

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tools.faults import footage, images, plan
from tools.faults.result import FAILURES, Result, command
from tools.faults.workers import Worker

faults = importlib.import_module("tools.faults.__main__")

SEED = 20
IMAGE = "fat16-4k"
TAMPERED = Path("tests/faults/tampered.py")


@pytest.fixture(scope="module")
def cards() -> None:
    for name in images.IMAGES:
        images.make(name)
    footage.make()


@pytest.fixture(scope="module")
def result(cards: None) -> Result:
    workers = os.cpu_count() or 1
    with open(os.devnull, "w") as nowhere:
        chosen = list(images.IMAGES)
        return faults.run(chosen, plan.SAMPLE, SEED, workers, Console(file=nowhere))


@pytest.fixture(scope="module")
def tampered(cards: None) -> Iterator[Worker]:
    worker = Worker(program=TAMPERED)
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def survey(cards: None) -> dict[str, Any]:
    worker = Worker()
    try:
        return worker.ask({"image": IMAGE, "phase": plan.RECORDING, "do": "survey"})
    finally:
        worker.close()


def test_no_promise_is_broken(result: Result) -> None:
    shown = [f"{failure['texts'][0]}\n    {command(failure)}" for failure in result.failures[:10]]
    assert not result.failures, "\n".join(shown)
    assert result.is_good, result.record()


def test_every_kind_of_fault_was_tried(result: Result) -> None:
    record = result.record()
    wanted = {*plan.CUT_MODES, *(f"EIO {mode}" for mode in plan.IO_MODES)}
    assert set(record["modes"]) == wanted
    assert record["cuts"] > 500 and record["io_errors"] == 3 * len(plan.IO_MODES) * 10
    assert record["recovery_cuts"] > 200
    assert "fat" in record["garbage"] and "data" in record["garbage"]


def test_unfinished_clips_were_among_them_and_came_back(result: Result) -> None:
    assert result.counts["recovered"] > 50


def test_what_was_recorded_plays_up_to_the_last_flush(result: Result) -> None:
    promised, played = (result.counts[f"pictures_{what}"] for what in ("promised", "played"))
    assert played >= promised > 1000


def test_the_recordings_that_are_cut_are_of_every_kind(survey: dict[str, Any]) -> None:
    assert not survey["faults"]
    clips = survey["clips"]
    assert [is_finished for *_, is_finished in clips] == [True] * (len(clips) - 1) + [False]
    starts = [path.rsplit("/", 1)[1][0] for path, *_ in clips]
    # Motion that is raised by a command, the clock's in two pieces, motion in its middle, the clock's.
    assert starts == ["m", "t", "t", "m", "t"]
    longest = clips[1]
    assert longest[2] >= 3, "flushes"


def test_a_cut_on_a_running_camera_leaves_what_the_record_says(tampered: Worker) -> None:
    asked = {"do": "live", "requests": list(range(0, 120, 5))}
    assert tampered.ask(asked) == {"compared": 24, "differences": []}


def found_by(tampered: Worker, how: str) -> list[str]:
    answer = tampered.ask({"do": "tamper", "how": how})
    found: list[str] = answer["found"]
    return found


@pytest.mark.parametrize("how", ["left alone", "well recorded"])
def test_a_camera_left_alone_is_found_to_be_in_order(tampered: Worker, how: str) -> None:
    assert not set(found_by(tampered, how)) & set(FAILURES)


WRONGS = [
    ("removed", "promised_lost"),
    ("altered", "promised_lost"),
    ("deleted", "unverified_deletes"),
    ("overwritten", "unverified_deletes"),
    ("renamed", "renamed"),
    ("rewritten", "rewritten"),
    ("scribbled", "rewritten"),
    ("without journal", "forgotten"),
    ("at stake", "unflushed"),
    ("stored twice", "stored_twice"),
    ("foreign", "foreign_objects"),
    ("boasting", "false_reports"),
    ("dying", "crashes"),
    ("blind", "recording_lost"),
    ("unflushed", "recovery_lost"),
    ("frame lost", "unplayable"),
    ("headless", "unplayable"),
    ("cross linked", "cross_links"),
    ("too long", "damaged_card"),
]


@pytest.mark.parametrize(("how", "found"), WRONGS)
def test_what_goes_wrong_is_found_out(tampered: Worker, how: str, found: str) -> None:
    assert found in found_by(tampered, how)


def test_each_failure_there_is_can_be_found_out() -> None:
    assert {found for _, found in WRONGS} == set(FAILURES)


def test_a_case_can_be_tried_again(
    cards: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["faults", "--image", IMAGE, "--mode", "garbage", "--cut", "117", "--then", "5"]
    monkeypatch.setattr("sys.argv", words)
    assert faults.main() == 0
    assert "upload completed" in capsys.readouterr().out


def test_a_broken_promise_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Result(1, [IMAGE])
    share = {"image": IMAGE, "phase": "day", "do": "cut", "mode": "clean", "cuts": [7]}
    failure = {"mode": "clean", "cut": 7, "texts": ["promised_lost: /recordings/m0000001.ts"]}
    answer = {"runs": 1, "counts": {"promised_lost": 1}, "garbage": {}, "failures": [failure]}
    broken.take(share, answer)
    monkeypatch.setattr("sys.argv", ["faults", "--image", IMAGE])
    monkeypatch.setattr(faults, "RESULT", tmp_path / "faults.json")
    monkeypatch.setattr(images, "ROOT", tmp_path)
    monkeypatch.setattr(images, "make", lambda name: tmp_path)
    monkeypatch.setattr(faults, "run", lambda *_: broken)
    assert faults.main() == 1
    assert "--image fat16-4k --phase day --mode clean --cut 7" in capsys.readouterr().out
    assert '"promised_lost": 1' in (tmp_path / "faults.json").read_text()
