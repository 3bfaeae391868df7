"""Run a virtual board from the command line; commands on standard input drive it.

python -m tools.virtual_board --card card.img --heap 2M

pin 4 1      put level 1 on GPIO 4 (0 or 1; `pin 4 open` lets go; `pin 4` shows the level)
card out     take the card out; `card in` puts it back
net down     unplug the network; `net up` plugs it in
power off    cut the power; `power on` gives it back
quit         also: Ctrl-C, SIGTERM. The end of standard input leaves the board running.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tools.interpreters import InterpreterMissing
from tools.virtual_board import BoardFailure, VirtualBoard

_LEVELS = {"0": 0, "1": 1, "open": None}


def obey(board: VirtualBoard, words: list[str]) -> str:
    """Carry out one command; what to show for it. ValueError when it is none."""
    actions: dict[tuple[str, ...], Callable[[], None]] = {
        ("card", "out"): board.eject_card,
        ("card", "in"): board.insert_card,
        ("net", "down"): lambda: board.set_network(False),
        ("net", "up"): lambda: board.set_network(True),
        ("power", "off"): board.power_cut,
        ("power", "on"): board.power_on,
    }
    if words[:1] == ["pin"] and len(words) == 2:
        return f"pin {words[1]}: {board.get_pin(int(words[1]))}"
    if words[:1] == ["pin"] and len(words) == 3 and words[2] in _LEVELS:
        board.set_pin(int(words[1]), _LEVELS[words[2]])
    elif tuple(words) in actions:
        actions[tuple(words)]()
    else:
        raise ValueError("commands: pin N [0|1|open], card out|in, net down|up, power off|on, quit")
    return "ok"


def serve(board: VirtualBoard) -> None:
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            return
        try:
            print(obey(board, words) if words else "", flush=True)
        except (ValueError, RuntimeError) as error:
            print(error, flush=True)
    signal.pause()


def _end(*_: object) -> None:
    raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tools.virtual_board",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--card", type=Path, required=True, help="SD card image")
    parser.add_argument("--flash", type=Path, help="flash image, made when missing")
    parser.add_argument("--heap", default="2M", help="MicroPython heap, such as 512k")
    parser.add_argument("--log", type=Path, help="file for everything the board prints")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        with VirtualBoard(options.card, options.flash, options.heap, log=options.log) as board:
            print(board.port, flush=True)
            serve(board)
    except (FileNotFoundError, ValueError, BoardFailure, InterpreterMissing) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
