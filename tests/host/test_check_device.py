"""The device check refuses what the board would: unknown names, wrong types, wrong syntax."""

import pytest

from tools.check_device import check_types, compile_file

GOOD = """
import asyncio, machine, time

async def blink():
    machine.Pin(1).value(time.ticks_diff(time.ticks_ms(), 0) & 1)
    await asyncio.sleep_ms(1)
"""


def write(folder, text):
    path = folder / "sample.py"
    path.write_text(text)
    return path


def test_what_the_board_has_passes(tmp_path, capfd):
    assert check_types([write(tmp_path, GOOD)]), capfd.readouterr().out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import machine\nmachine.Pin(1).nosuch()\n", '"Pin" has no attribute "nosuch"'),
        ("def f(pin):\n    import machine\n    machine.nosuch()\n", "Module has no attribute"),
        ("import machine\nmachine.WDT(timeout_ms=1)\n", 'Unexpected keyword argument "timeout_ms"'),
        ("import asyncio\nasync def f():\n    asyncio.sleep_ms(1)\n", "missing an await"),
        ("import dataclasses\n", 'named "dataclasses"'),
        ("import nosuch\n", 'named "nosuch"'),
        ("import time\nx: str = time.ticks_ms()\n", "Incompatible types in assignment"),
    ],
)
def test_what_it_has_not_is_refused(tmp_path, capfd, text, complaint):
    assert not check_types([write(tmp_path, text)])
    assert complaint in capfd.readouterr().out


def test_mpy_cross_compiles_for_the_boards_cpu(tmp_path):
    target = tmp_path / "out" / "sample.mpy"
    native = "import micropython\n\n@micropython.native\ndef f(a):\n    return a + 1\n"
    assert compile_file(write(tmp_path, native), target)
    magic, version, features = target.read_bytes()[:3]
    assert (chr(magic), version, features >> 2) == (
        "M",
        6,
        11,
    )  # 11: rv32imc in py/persistentcode.h


def test_syntax_micropython_has_not_is_refused(tmp_path, capfd):
    text = "match 1:\n    case 1:\n        pass\n"
    assert not compile_file(write(tmp_path, text), tmp_path / "sample.mpy")
    assert "SyntaxError" in capfd.readouterr().err
