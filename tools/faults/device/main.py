"""Carries out fault cases: reads a line of JSON for each share of them, answers with one.

    {"image": "fat16-4k", "phase": "day", "do": "survey"}
    {"image": ..., "phase": "day", "do": "cut", "mode": "garbage", "cuts": [117, ...]}
    {"image": ..., "phase": "day", "do": "recut", "mode": "clean", "cuts": [117], "then": [14]}
    {"image": ..., "phase": "day", "do": "io", "mode": "once", "cuts": [33]}

`then` null is every write of the recovery, or each `step`-th. An answer has a `digest` of the phase, `runs`, `counts` of what was seen,
`failures`, each with its case and texts, and for garbage what it hit and how often that lost files.
"""

import json
import sys

import life
from cuts import CLEAN, GARBAGE, MODES
from phases import IO_MODES, make

_MARK = "> "  # before an answer: the product prints, too


class Answer:
    def __init__(self):
        self.runs = 0
        self.counts = {}
        self.failures = []
        self.garbage = {}  # kind of sector: [cuts, cuts that lost something]

    def take(self, verdict, **case):
        self.runs += 1
        for kind, count in verdict.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        if life.verbose[0]:
            print("verdict", verdict.counts, verdict.texts)
        if verdict.is_failure:
            case["texts"] = verdict.texts
            self.failures.append(case)


def survey(phase, asked):
    """What there is to cut, and what is wrong before anything is."""
    faults = list(phase.boot.faults)
    if phase.boot.refusal:
        faults.append(("crashes", phase.boot.refusal))
    return {
        "cuts": {mode: phase.cuts.numbers(mode) for mode in MODES},
        "writes": phase.boot.card.writes,
        "reads": phase.boot.card.reads,
        "clips": [[c.path, len(c.data), c.flushes, c.is_promised] for c in phase.boot.made],
        "faults": faults,
    }


def cut(phase, asked):
    answer, mode = Answer(), asked["mode"]
    for number in asked["cuts"]:
        verdict = phase.cut(mode, number)
        answer.take(verdict, mode=mode, cut=number)
        if mode == GARBAGE:
            seen = answer.garbage.setdefault(phase.kind(number), [0, 0])
            seen[0] += 1
            seen[1] += "lost_to_garbage" in verdict.counts or "not_started" in verdict.counts
    return dict(answer.__dict__)


def recut(phase, asked):
    answer, mode = Answer(), asked["mode"]
    for number in asked["cuts"]:
        again = phase.recovery_cuts(mode, number)
        for then in asked["then"] or again.numbers(CLEAN)[number % asked["step"] :: asked["step"]]:
            verdict = phase.recut(again, mode, number, then)
            answer.take(verdict, mode=mode, cut=number, then=then)
    return dict(answer.__dict__)


def io(phase, asked):
    answer, mode = Answer(), asked["mode"]
    for number in asked["cuts"]:
        answer.take(phase.io(IO_MODES[mode], number), mode=mode, cut=number)
    return dict(answer.__dict__)


def main():
    doing = {"survey": survey, "cut": cut, "recut": recut, "io": io}
    name, phase, digest = None, None, None
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        asked = json.loads(line)
        life.verbose[0] = False
        if name != (asked["image"], asked["phase"]):
            name = (asked["image"], asked["phase"])
            phase = make(*name)
            digest = phase.digest()
        life.verbose[0] = asked.get("verbose", False)
        answer = doing[asked["do"]](phase, asked)
        answer["digest"] = digest
        print(_MARK + json.dumps(answer))


main()
