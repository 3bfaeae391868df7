"""The benchmark's judgement, its JSON and its exit status are right; the figures are nobody's here."""

import importlib
import json
from pathlib import Path

import pytest
from rich.console import Console

from tools.bench.interpreter import MeasurementFailed
from tools.bench.motion import Verdict, judge, spans
from tools.bench.report import Row, Target, table, write_json

bench = importlib.import_module("tools.bench.__main__")

HALF = Target("ratio", "<=", 0.5)


@pytest.mark.parametrize(
    ("value", "against", "target", "met"),
    [
        (1, 2, HALF, True),
        (1.001, 2, HALF, False),
        (9, 10, Target("ratio", ">=", 0.9), True),
        (8.999, 10, Target("ratio", ">=", 0.9), False),
        (0, None, Target("value", "=", 0), True),
        (0.001, None, Target("value", "=", 0), False),
        (100, 1, Target("value", "<=", 100), True),
        (7, 7, None, None),
    ],
)
def test_targets_are_judged_by_the_exact_figure(
    value: float, against: float | None, target: Target | None, met: bool | None
) -> None:
    assert Row("P0", "nothing", value, against, target).met is met


def test_a_target_for_a_ratio_needs_one() -> None:
    row = Row("P0", "nothing", 1, None, HALF)
    with pytest.raises(ValueError, match="P0"):
        _ = row.met


def test_the_median_of_pairs_comes_before_the_quotient_of_medians() -> None:
    assert Row("P0", "nothing", 1, 2, HALF, median_ratio=0.6).met is False


def test_json_has_one_object_per_row(tmp_path: Path) -> None:
    rows = [
        Row("P0", "seconds; against hours", 1, 3, Target("ratio", "<=", 0.25)),
        Row("P7", "bytes", 81920),
    ]
    path = tmp_path / "build" / "bench.json"
    write_json(path, rows)
    assert json.loads(path.read_text()) == [
        {
            "id": "P0",
            "what": "seconds; against hours",
            "value": 1,
            "against": 3,
            "ratio": 0.333333,
            "target": "ratio <= 0.25",
            "met": False,
        },
        {
            "id": "P7",
            "what": "bytes",
            "value": 81920,
            "against": None,
            "ratio": None,
            "target": None,
            "met": None,
        },
    ]


def test_a_missed_target_is_shown_as_missed() -> None:
    console = Console(width=120)
    with console.capture() as shown:
        console.print(table([Row("P0", "a", 1, 3, HALF), Row("P1", "b", 2, 3, HALF)]))
    met, missed = (line for line in shown.get().splitlines() if "ratio <= 0.5" in line)
    assert "P0" in met and "yes" in met
    assert "P1" in missed and "MISSED" in missed


def run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, measurements: dict[str, object], *ids: str
) -> tuple[int, list[str]]:
    """Exit status, and the ids of the rows in the JSON."""
    result = folder / "bench.json"
    monkeypatch.setattr(bench, "ROOT", folder)
    monkeypatch.setattr(bench, "RESULT", result)
    monkeypatch.setattr(bench, "MEASUREMENTS", measurements)
    monkeypatch.setattr("sys.argv", ["bench", *ids])
    status = bench.main()
    return status, [row["id"] for row in json.loads(result.read_text())]


def missed(say: object) -> list[Row]:
    return [Row("P0", "a", 1, 1, HALF)]


def broken(say: object) -> list[Row]:
    raise MeasurementFailed("no valgrind")


def test_a_missed_target_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path, {"P0": missed}) == (0, ["P0"])


def test_a_measurement_that_fails_is_one_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path, {"P9": broken, "P0": missed}) == (1, ["P0"])
    assert "P9: no valgrind" in capsys.readouterr().out


def test_ids_choose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path, {"P9": broken, "P0": missed}, "P0") == (0, ["P0"])
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, tmp_path, {"P0": missed}, "P8")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], []),
        ([5], [(1, 4)]),
        ([5, 10], [(1, 2)]),
        ([0, 10, 15], [(0, 2), (3, 4)]),
    ],
)
def test_spans_of_motion_from_the_pictures_where_it_changes(
    changes: list[int], expected: list[tuple[float, float]]
) -> None:
    assert spans(changes, pictures=20, per_sec=5) == expected


MARKED = [(10.0, 14.0), (20.0, 22.0)]  # less half a second at either end: 3 s and 1 s


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (MARKED, Verdict(1, 1, 2, 2, 0)),
        ([(10.4, 14.4), (19.6, 21.6)], Verdict(1, 1, 2, 2, 0)),
        ([(10.0, 14.0)], Verdict(1, 0.75, 1, 2, 0)),
        ([(10.0, 22.0)], Verdict(4 / 9, 1, 2, 2, 0)),
        ([(0.0, 30.0)], Verdict(4 / 26, 1, 2, 2, 0)),
        ([(2.0, 3.0), (10.0, 12.0), (20.0, 22.0)], Verdict(2.5 / 3.5, 2.5 / 4, 2, 2, 1)),
        ([(14.2, 14.4)], Verdict(0, 0, 0, 2, 0)),
        ([(15.0, 15.1)], Verdict(0, 0, 0, 2, 1)),
        ([], Verdict(0, 0, 0, 2, 0)),
    ],
)
def test_motion_is_judged_by_time_and_by_event(
    seen: list[tuple[float, float]], expected: Verdict
) -> None:
    verdict = judge(MARKED, seen, seconds=30)
    assert (verdict.precision, verdict.recall) == pytest.approx(
        (expected.precision, expected.recall)
    )
    assert verdict.found == expected.found
    assert verdict.marked == expected.marked
    assert verdict.false_alarms == expected.false_alarms
