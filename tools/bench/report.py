"""Rows of the benchmark: judged against their targets, shown as a table, kept as JSON."""

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

_RELATIONS = {"<=": operator.le, ">=": operator.ge, "=": operator.eq}


@dataclass(frozen=True)
class Target:
    """What a row's value or ratio must be; str() is how it is shown."""

    quantity: Literal["value", "ratio"]
    relation: Literal["<=", ">=", "="]
    limit: float

    def __str__(self) -> str:
        return f"{self.quantity} {self.relation} {shown(self.limit)}"


@dataclass(frozen=True)
class Row:
    """One figure; `what` names its unit and the other side's. `ratio` is value to against."""

    id: str
    what: str
    value: float
    against: float | None = None
    target: Target | None = None
    median_ratio: float | None = None  # of pairs that ran side by side, where there are several

    @property
    def ratio(self) -> float | None:
        if self.median_ratio is not None or not self.against:
            return self.median_ratio
        return self.value / self.against

    @property
    def met(self) -> bool | None:
        """Whether the target is reached, by the exact figure; None without a target."""
        if self.target is None:
            return None
        figure = self.ratio if self.target.quantity == "ratio" else self.value
        if figure is None:
            raise ValueError(f"{self.id} has a target for its ratio, but nothing to compare with")
        return bool(_RELATIONS[self.target.relation](figure, self.target.limit))

    def record(self) -> dict[str, object]:
        return {
            "id": self.id,
            "what": self.what,
            "value": _rounded(self.value),
            "against": _rounded(self.against),
            "ratio": _rounded(self.ratio),
            "target": str(self.target) if self.target else None,
            "met": self.met,
        }


def write_json(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([row.record() for row in rows], indent=2) + "\n")


def table(rows: Sequence[Row]) -> Table:
    """All rows; a missed target stands out."""
    made = Table(show_lines=True)
    made.add_column("id", no_wrap=True)
    made.add_column("what", ratio=1)
    for heading in ("value", "against", "ratio"):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("target", no_wrap=True)
    made.add_column("met", no_wrap=True)
    verdicts = {None: "", True: "[green]yes[/]", False: "[bold red]MISSED[/]"}
    for row in rows:
        figures = (shown(row.value), shown(row.against), shown(row.ratio))
        target = str(row.target) if row.target else ""
        made.add_row(row.id, row.what, *figures, target, verdicts[row.met])
    return made


def shown(number: float | None) -> str:
    """Three digits for small numbers, all of them in groups for large ones."""
    if number is None:
        return ""
    if number == int(number) or abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def _rounded(number: float | None) -> float | None:
    """Without digits that mean nothing."""
    return number if number is None or number == int(number) else float(f"{number:.6g}")
