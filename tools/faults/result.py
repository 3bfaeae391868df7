"""Adds up what the runs found; shown as a table, kept as JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from tools.faults.workers import Answer, Share, WorkerDied

# What must not happen; any of it makes the command fail.
FAILURES = {
    "promised_lost": "a clip that was promised is not in the store, byte for byte",
    "forgotten": "what was known of a clip did not reach the cloud",
    "unverified_deletes": "a file was deleted that the store did not hold",
    "crashes": "the camera did not start, or a task of it died",
    "stored_twice": "a clip is in the store under two names",
    "foreign_objects": "the store holds what nobody recorded",
    "recovery_lost": "an unfinished clip did not come back up to its last flush",
    "recording_lost": "the camera recorded nothing after the fault",
    "false_reports": "an upload was reported that did not happen",
    "renamed": "a recording was renamed",
    "rewritten": "a finished recording was written to",
    "unflushed": "a recording had more than 64 KiB at stake",
    "unplayable": "a clip does not play, every picture that was complete at its last flush",
    "cross_links": "fsck.fat found two files on one cluster",
    "damaged_card": "fsck.fat found more than lost space on a card that loses nothing it took",
}
# What may happen, and is measured.
COUNTS = {
    "recovered": "unfinished clips that came back",
    "recovered_with_holes": "of these, with damage behind the last flush",
    "pictures_promised": "pictures of real footage that were complete at the last flush",
    "pictures_played": "pictures that ffmpeg decoded of those clips, each as the camera saw it",
    "duplicates": "bodies sent again although the store had them; it holds them once",
    "lost_to_garbage": "lost because a sector of the file system itself became garbage",
    "forgotten_to_garbage": "delivered by then without what was known of them",
    "damaged_objects": "files of such a card, delivered as they are",
    "deleted_damaged": "delivered files that such a card had damaged before they were deleted",
    "not_started": "cameras without a readable configuration after that",
    "io_forgotten": "clips delivered without what was known: the card had refused the journal, too",
    "io_deaths": "tasks that died of a failing card and were started again",
    "fsck_orphans": "fsck.fat: cards with clusters that belong to no file",
    "fsck_long_chains": "fsck.fat: files that have more clusters than they need",
    "fsck_free_count": "fsck.fat: cards whose count of free clusters is wrong",
    "fsck_fats_differ": "fsck.fat: cards whose two tables of clusters differ",
    "fsck_dirty": "fsck.fat: cards marked as not unmounted",
    "fsck_short_chains": "fsck.fat: files that lack clusters, on cards that lose writes",
    "fsck_directories": "fsck.fat: directories without a beginning, on such cards",
    "fsck_other": "fsck.fat: anything else, on such cards",
    "fsck_garbage": "fsck.fat: anything on a card with garbage in the file system",
    "cross_links_to_garbage": "fsck.fat: two files on one cluster because of garbage",
    "io_resets": "cameras that reset themselves because of one",
    "io_not_started": "cameras that did not start because of one, until the next reset",
}


@dataclass
class Result:
    seed: int
    images: list[str]
    modes: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    garbage: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    cuts: int = 0
    recovery_cuts: int = 0
    io_errors: int = 0
    seconds: float = 0

    def take_survey(self, image: str, phase: str, seen: Answer) -> None:
        """What is wrong without any fault is a failure, too."""
        for kind, text in seen["faults"]:
            self.counts["crashes" if kind in ("deaths", "resets") else kind] += 1
            case = {"image": image, "phase": phase, "mode": "clean", "cut": 0}
            self.failures.append({**case, "texts": [f"without any fault: {kind}: {text}"]})

    def take_death(self, share: Share, error: WorkerDied) -> None:
        """A process that ended or hung, with one of the cases of a share."""
        self.counts["crashes"] += 1
        case = {name: share[name] for name in ("image", "phase", "mode")}
        self.failures.append({**case, "cut": share["cuts"][0], "texts": [f"crashes: {error}"]})

    def take(self, share: Share, answer: Answer) -> None:
        runs, kind = answer["runs"], share["do"]
        if kind == "io":
            self.io_errors += runs
            self.modes[f"EIO {share['mode']}"] += runs
        else:
            self.cuts += runs
            self.recovery_cuts += runs if kind == "recut" else 0
            self.modes[share["mode"]] += runs
        self.counts.update(answer["counts"])
        for place, (cuts, losses) in answer["garbage"].items():
            self.garbage.setdefault(place, Counter()).update(cuts=cuts, losses=losses)
        for failure in answer["failures"]:
            self.failures.append({**failure, "image": share["image"], "phase": share["phase"]})

    @property
    def is_good(self) -> bool:
        return not any(self.counts[name] for name in FAILURES)

    def record(self) -> dict[str, Any]:
        names = [*FAILURES, *COUNTS]
        return {
            "cuts": self.cuts,
            "images": self.images,
            "modes": dict(self.modes),
            "recovery_cuts": self.recovery_cuts,
            "io_errors": self.io_errors,
            **{name: self.counts[name] for name in names},
            "garbage": {place: dict(seen) for place, seen in sorted(self.garbage.items())},
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "failures": self.failures,
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.record(), indent=2) + "\n")

    def table(self) -> Table:
        made = Table()
        made.add_column("what", ratio=1)
        made.add_column("count", justify="right", no_wrap=True)
        made.add_row("power cuts", f"{self.cuts:,}")
        made.add_row("  of these, of a recovery", f"{self.recovery_cuts:,}")
        made.add_row("failing requests of the card", f"{self.io_errors:,}", end_section=True)
        for mode, runs in sorted(self.modes.items()):
            made.add_row(f"  {mode}", f"{runs:,}")
        made.add_section()
        for name, text in FAILURES.items():
            count = self.counts[name]
            made.add_row(text, f"[bold red]{count:,}[/]" if count else "[green]0[/]")
        made.add_section()
        for name, text in COUNTS.items():
            made.add_row(text, f"{self.counts[name]:,}")
        return made


def command(failure: dict[str, Any]) -> str:
    """What tries this one case again."""
    words = ["python -m tools.faults", f"--image {failure['image']}", f"--phase {failure['phase']}"]
    words += [f"--mode {failure['mode']}", f"--cut {failure['cut']}"]
    if "then" in failure:
        words.append(f"--then {failure['then']}")
    return " ".join(words)
