"""Each law is broken once in a small tree of its own, and the checker names file, line and law."""

import pytest

from tools.check_laws import check

PURE = '"""What it is.\n\nPure: no IO.\n"""\n'  # four lines


def breaches(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [f"{path}:{line}: {text}" for path, line, text in check(root)]


LAWFUL = {
    "boot.py": "import micropython\n",
    "main.py": "from firmware.app import start\n",
    "firmware/__init__.py": 'VERSION = "1"\n',
    "firmware/app.py": "from firmware import board, mqtt_link, oss_uploader\nimport asyncio\n",
    "firmware/board.py": "import machine, network, esp32, vfs\n",
    "firmware/messages.py": PURE + "import json\nfrom firmware import VERSION\nimport codec\n",
    "firmware/mqtt_link.py": "import asyncio, time\nfrom net import Stream\n",
    "firmware/oss_uploader.py": "from firmware.messages import parse\nfrom net import Stream\n",
    "firmware/sources/replay.py": "import time\nfrom codec import units\n",
    "lib/codec.py": PURE + "import struct\nfrom micropython import const\n",
    "lib/net.py": "import socket, ssl, select, asyncio, os\nfrom codec import units\n",
}


def test_a_lawful_tree_has_no_breaches(tmp_path):
    assert breaches(tmp_path, LAWFUL) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("lib/codec.py", PURE + "import time\n", ":5: pure module imports time"),
        ("lib/codec.py", PURE + "import os.path\n", ":5: pure module imports os"),
        ("lib/codec.py", PURE + "import usocket\n", ":5: pure module imports socket"),
        ("lib/codec.py", PURE + "from utime import ticks_ms\n", ":5: pure module imports time"),
        (
            "lib/codec.py",
            PURE + "def late():\n    import asyncio\n",
            ":6: pure module imports asyncio",
        ),
        ("lib/other.py", PURE + "import net\n", ":5: pure module imports net -> asyncio"),
        ("lib/codec.py", PURE + "open('x')\n", ":5: pure module calls open()"),
        ("lib/codec.py", PURE + "print('x')\n", ":5: pure module calls print()"),
        (
            "lib/codec.py",
            '"""Pure: no IO.\n\nMore.\n"""\n',
            ":1: a pure module says so in the last line of its docstring, exactly 'Pure: no IO.'",
        ),
        (
            "lib/codec.py",
            '"""Codec.\n\npure: no IO\n"""\nimport os\n',
            ":1: a pure module says so in the last line of its docstring, exactly 'Pure: no IO.'",
        ),
        (
            "firmware/mqtt_link.py",
            "import machine\n",
            ":1: only firmware/board.py imports machine",
        ),
        (
            "firmware/sources/replay.py",
            "from umachine import Pin\n",
            ":1: only firmware/board.py imports machine",
        ),
        ("lib/net.py", "import vfs\n", ":1: only firmware/board.py imports vfs"),
        ("boot.py", "import esp32\n", ":1: only firmware/board.py imports esp32"),
        ("firmware/app.py", "import camera\n", ":1: only firmware/board.py imports camera"),
        ("lib/net.py", "from firmware.messages import parse\n", ":1: lib knows no firmware"),
        ("lib/net.py", "import firmware\n", ":1: lib knows no firmware"),
        (
            "firmware/app.py",
            "from lib.net import Stream\n",
            ":1: on the board /lib is on the path: import what is in it by its bare name",
        ),
        ("firmware/app.py", "import tests.harness\n", ":1: tests is not on the board"),
        (
            "firmware/messages.py",
            "\nfrom firmware import app\n",
            ":2: only main.py imports firmware.app",
        ),
        (
            "firmware/messages.py",
            "from .app import start\n",
            ":1: only main.py imports firmware.app",
        ),
        (
            "firmware/sources/replay.py",
            "from .. import app\n",
            ":1: only main.py imports firmware.app",
        ),
        (
            "firmware/mqtt_link.py",
            "import firmware.oss_uploader\n",
            ":1: task modules do not know each other: imports firmware.oss_uploader",
        ),
        (
            "lib/codec.py",
            "import net\n",
            ":1: imports go round: codec -> net -> codec",
        ),
    ],
)
def test_a_breach_is_named(tmp_path, name, text, expected):
    assert name + expected in breaches(tmp_path, {**LAWFUL, name: text})


def test_task_modules_do_not_meet_behind_a_third(tmp_path):
    files = {
        **LAWFUL,
        "firmware/mqtt_link.py": "from firmware import control\n",
        "firmware/control.py": "from firmware.oss_uploader import OssUploader\n",
    }
    way = "firmware.control -> firmware.oss_uploader"
    assert breaches(tmp_path, files) == [
        f"firmware/mqtt_link.py:1: task modules do not know each other: imports {way}"
    ]


def test_a_lib_module_may_have_the_name_of_a_camera(tmp_path):
    files = {"lib/h264.py": PURE, "lib/mux.py": PURE + "from h264 import units\n"}
    assert breaches(tmp_path, files) == []
