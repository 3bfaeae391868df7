"""Try every fault, print the table, write build/faults.json: `python -m tools.faults`.

    python -m tools.faults --image fat16-4k
    python -m tools.faults --image fat16-4k --mode garbage --cut 117

The second tries one case again and shows what the camera says. Exit status 1 when a promise was
broken, 2 when nothing could be tried.
"""

import argparse
import os
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tools import material
from tools.faults import footage, images, plan
from tools.faults.result import FAILURES, Result, command
from tools.faults.workers import Answer, Worker, WorkerDied, carry_out

RESULT = images.ROOT / "build" / "faults.json"
_SHOWN_FAILURES = 20
_MODES = (*plan.CUT_MODES, *plan.IO_MODES)


def main() -> int:
    options = _options()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    chosen = [options.image] if options.image else list(images.IMAGES)
    try:
        for name in chosen:
            images.make(name)
        footage.make()
        if options.cut is not None:
            return replay(options, console)
        extent = plan.SAMPLE if options.sample else plan.WHOLE
        result = run(chosen, extent, options.seed, options.workers, console)
    except (WorkerDied, material.MaterialError) as error:
        console.print(str(error), markup=False)
        return 2
    console.print(result.table())
    for failure in result.failures[:_SHOWN_FAILURES]:
        console.print(f"{failure['texts'][0]}\n    {command(failure)}", markup=False)
    if len(result.failures) > _SHOWN_FAILURES:
        console.print(f"... and {len(result.failures) - _SHOWN_FAILURES:,} cases more")
    result.write(RESULT)
    console.print(f"written to {RESULT.relative_to(images.ROOT)} in {result.seconds:.0f} s")
    return 0 if result.is_good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools.faults", description="Cut the camera's power at every write, break its card."
    )
    parser.add_argument("--image", choices=images.IMAGES, help="only this card")
    parser.add_argument("--sample", action="store_true", help="some cuts instead of all")
    parser.add_argument("--seed", type=int, default=1, help="chooses samples")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--phase", choices=plan.PHASES, default=plan.DAY)
    parser.add_argument("--mode", choices=_MODES)
    parser.add_argument("--cut", type=int, metavar="N", help="one case: which write, or request")
    parser.add_argument("--then", type=int, metavar="N", help="and which write of the recovery")
    options = parser.parse_args()
    if options.cut is not None and not (options.image and options.mode):
        parser.error("--cut needs --image and --mode")
    return options


def run(
    chosen: list[str], extent: plan.Extent, seed: int, workers: int, console: Console
) -> Result:
    """Try what the extent says on these images."""
    result, started = Result(seed, chosen), time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        surveys = survey(chosen, workers, progress)
        for (image, phase), seen in surveys.items():
            result.take_survey(image, phase, seen)
        todo = [share for name in chosen for share in plan.shares(name, surveys, extent, seed)]
        bar = progress.add_task("shares of runs", total=len(todo))
        for share, answer in carry_out(todo, workers):
            place = share["image"], share["phase"]
            if isinstance(answer, WorkerDied):
                result.take_death(share, answer)
            elif answer["digest"] != surveys[place]["digest"]:
                raise WorkerDied(f"{place}: not the same writes when run again")
            else:
                result.take(share, answer)
            broken = sum(result.counts[name] for name in FAILURES)
            progress.update(bar, advance=1, description=f"{share['image']}, {broken} broken")
    result.seconds = time.monotonic() - started
    return result


def survey(chosen: list[str], workers: int, progress: Progress) -> dict[tuple[str, str], Answer]:
    """What there is to be tried, by image and phase."""
    asked = plan.surveys(chosen)
    bar = progress.add_task("looking at the cards", total=len(asked))
    found = {}
    for share, answer in carry_out(asked, workers):
        if isinstance(answer, WorkerDied):
            raise answer
        found[share["image"], share["phase"]] = answer
        progress.advance(bar)
    return found


def replay(options: argparse.Namespace, console: Console) -> int:
    """Try one case and show everything."""
    do = "io" if options.mode in plan.IO_MODES else "cut" if options.then is None else "recut"
    share: dict[str, Any] = {"image": options.image, "phase": options.phase, "do": do}
    share.update(mode=options.mode, cuts=[options.cut], verbose=True)
    if options.then is not None:
        share["then"] = [options.then]
    worker = Worker(say=lambda line: console.print(line, markup=False))
    try:
        answer = worker.ask(share)
    finally:
        worker.close()
    console.print(answer["counts"], markup=False)
    return 1 if answer["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
