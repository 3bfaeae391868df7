"""M1, M2: what the motion detectors find in films in which it is known when something moves.

Precision and recall are by time, in steps of 0.1 s. What is nearer than 0.5 s to the begin or the
end of a motion is not counted: there a picture is neither still nor moving, and a detector needs
some pictures to be sure. A motion is found when some of it is; motion that is seen where none is,
even for an instant, is a false alarm. The detectors' thresholds were chosen on the films pavement,
street and night; crossing came later, to see whether they hold.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tools.bench.interpreter import ROOT, MeasurementFailed, count, run, scratch
from tools.bench.report import Row, Target
from tools.film import FILMS, FPS, marks
from tools.material import RATES, footage

Span = tuple[float, float]

STEPS_PER_SEC = 10
TOLERANCE_SEC = 0.5
SENSITIVITY = 50  # the default

_ENOUGH = 0.9
_LOOKS_PER_SEC = 5  # at the pixels
_WIDTH, _HEIGHT = 320, 136
_FEW, _MANY = 10, 40  # frames


@dataclass(frozen=True)
class Verdict:
    """How well what was seen fits what was marked."""

    precision: float
    recall: float
    found: int
    marked: int
    false_alarms: int


def judge(marked: Sequence[Span], seen: Sequence[Span], seconds: float) -> Verdict:
    """Compare; precision is 0 where nothing was seen."""
    right = wrong = missed = 0
    for step in range(int(seconds * STEPS_PER_SEC)):
        at = (step + 0.5) / STEPS_PER_SEC
        if any(abs(at - edge) <= TOLERANCE_SEC for span in marked for edge in span):
            continue
        moves, sees = _holds(marked, at), _holds(seen, at)
        right += moves and sees
        wrong += sees and not moves
        missed += moves and not sees
    wide = [(begin - TOLERANCE_SEC, end + TOLERANCE_SEC) for begin, end in marked]
    return Verdict(
        precision=right / (right + wrong) if right else 0,
        recall=right / (right + missed) if right else 0,
        found=sum(_meets(span, seen) for span in marked),
        marked=len(marked),
        false_alarms=sum(not _meets(span, wide) for span in seen),
    )


def _holds(spans: Sequence[Span], at: float) -> bool:
    return any(begin <= at < end for begin, end in spans)


def _meets(span: Span, others: Sequence[Span]) -> bool:
    return any(span[0] < end and begin < span[1] for begin, end in others)


def spans(changes: Sequence[int], pictures: int, per_sec: int) -> list[Span]:
    """When the level was high, given the pictures at which it changed; it was low at first."""
    edges = [*changes, pictures]
    return [(a / per_sec, b / per_sec) for a, b in list(pairwise(edges))[::2]]


def measure_sizes(say: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    for name, film in FILMS.items():
        for rate in RATES:
            say(f"watches sizes: {name}, {rate}")
            made = footage(f"{name}_{rate}")
            told = run("watching.py", "size", made.h264.relative_to(ROOT), SENSITIVITY)
            if told["pictures"] != made.frames:
                raise MeasurementFailed(f"{name}: {told['pictures']} of {made.frames} pictures")
            seen = spans(told["changes"], made.frames, FPS)
            verdict = judge(marks(film), seen, made.frames / FPS)
            rows += _rows("M1", f"sizes, {name} at constant {rate}", verdict)
    return rows


def measure_luma(say: Callable[[str], None]) -> list[Row]:
    rows: list[Row] = []
    for name, film in FILMS.items():
        say(f"watches pixels: {name}")
        made = footage(f"{name}_quality")
        frames = _frames(made.h264)
        told = run("watching.py", "luma", frames, SENSITIVITY, _WIDTH, _HEIGHT)
        seen = spans(told["changes"], told["pictures"], _LOOKS_PER_SEC)
        rows += _rows("M2", f"luma, {name}", judge(marks(film), seen, made.frames / FPS))
    rows.append(_cost(frames, say))
    (ROOT / frames).unlink()
    return rows


def _rows(name: str, what: str, verdict: Verdict) -> Iterator[Row]:
    enough = Target("ratio", ">=", _ENOUGH)
    by_time = f"recall by time {verdict.recall:.2f}"
    yield Row(name, f"{what}: motions found; {by_time}", verdict.found, verdict.marked, enough)
    alarms = verdict.found + verdict.false_alarms
    by_time = f"precision by time {verdict.precision:.2f}"
    found = f"{what}: motions found, against them and false alarms; {by_time}"
    yield Row(name, found, verdict.found, max(1, alarms), enough)


def _frames(h264: Path) -> Path:
    """The pictures that a detector would look at, as the camera gives them."""
    target = scratch("frames.rgb565")
    picked = f"select=not(mod(n\\,{FPS // _LOOKS_PER_SEC})),scale={_WIDTH}:{_HEIGHT}"
    command = ("ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(h264), "-vf", picked)
    raw = ("-vsync", "0", "-pix_fmt", "rgb565le", "-f", "rawvideo", str(ROOT / target))
    done = subprocess.run(
        [*command, *raw], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise MeasurementFailed(f"ffmpeg: {done.stderr.strip()}")
    return target


def _cost(frames: Path, say: Callable[[str], None]) -> Row:
    """Instructions per frame, as machine code and as bytecode."""

    def per_frame(kernels: str) -> float:
        say(f"counts instructions: {kernels}")
        few, many = (
            count("watching.py", "luma", frames, SENSITIVITY, _WIDTH, _HEIGHT, looks, kernels)
            for looks in (_FEW, _MANY)
        )
        return float(many["instructions"] - few["instructions"]) / (_MANY - _FEW)

    what = f"instructions per frame of {_WIDTH}x{_HEIGHT}, viper; against bytecode"
    return Row("M2", what, per_frame("luma_viper"), per_frame("luma_plain"))
