"""The virtual board behaves as a board does, seen through real mpremote and the serial port."""

import hashlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import serial

from tools import interpreters
from tools.virtual_board import BoardFailure, ResetCause, VirtualBoard, card
from tools.virtual_board.deploy import flash

ROOT = Path(__file__).resolve().parents[2]
MOUNT = "import machine, vfs\nsd = machine.SDCard(ldo=4)\nvfs.mount(vfs.VfsFat(sd), '/sd')\n"


@pytest.fixture(scope="session")
def blank_card(tmp_path_factory):
    image = tmp_path_factory.mktemp("card") / "blank.img"
    card.create(image)
    return image


@pytest.fixture
def card_image(tmp_path, blank_card):
    image = tmp_path / "card.img"
    image.write_bytes(blank_card.read_bytes())
    return image


@pytest.fixture
def board(tmp_path, card_image):
    with VirtualBoard(card_image, workdir=tmp_path / "board") as board:
        board.wait_for(">>> ")
        yield board


def mpremote(board, *arguments, check=True):
    """Standard output of `mpremote connect PORT ...`."""
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + ("" if check else done.stderr)


def run(board, program):
    """Run a program on the board as it is now, without a soft reset; what it prints."""
    return mpremote(board, "resume", "exec", program).replace("\r\n", "\n").rstrip("\n")


def fails(board, program):
    """The last line of the traceback of a program that must fail."""
    told = mpremote(board, "resume", "exec", program, check=False)
    assert "Traceback" in told, f"{program!r} did not fail: {told}"
    return told.strip().splitlines()[-1]


def install(board, tmp_path, **files):
    """Write files to the flash: install(board, tmp_path, main="print(1)")."""
    for name, text in files.items():
        source = tmp_path / f"{name}.py"
        source.write_text(text)
        mpremote(board, "resume", "fs", "cp", str(source), f":{name}.py")


def is_alive(pid):
    return os.path.exists(f"/proc/{pid}")


def wait_until(condition, timeout_sec=10):
    deadline = time.monotonic() + timeout_sec
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


# Serial port and file system


def test_files_go_to_the_board_and_back_unchanged(board, tmp_path):
    source, back = tmp_path / "source.bin", tmp_path / "back.bin"
    source.write_bytes(bytes(range(256)) * 80 + b"\r\n\x03\x04\n")
    mpremote(board, "fs", "mkdir", ":data")
    mpremote(board, "fs", "cp", str(source), ":data/x.bin")
    assert "20485 x.bin" in mpremote(board, "fs", "ls", ":data")
    assert hashlib.sha256(source.read_bytes()).hexdigest() in mpremote(
        board, "fs", "sha256sum", ":data/x.bin"
    )
    mpremote(board, "fs", "cp", ":data/x.bin", str(back))
    assert back.read_bytes() == source.read_bytes()


def test_cat_exec_run_and_eval(board, tmp_path):
    (tmp_path / "hello.py").write_text("print('from a file')\n")
    mpremote(board, "fs", "cp", str(tmp_path / "hello.py"), ":hello.py")
    assert mpremote(board, "fs", "cat", ":hello.py") == "print('from a file')\n"
    assert "from a file" in mpremote(board, "run", str(tmp_path / "hello.py"))
    assert "from a file" in mpremote(board, "exec", "import hello")
    assert mpremote(board, "eval", "6 * 7").strip() == "42"


def test_the_prompt_over_plain_serial(board):
    with serial.Serial(board.port, timeout=5) as port:
        port.write(b"6 * 7\r")
        assert port.read_until(b"\r\n42\r\n>>> ").endswith(b"6 * 7\r\n42\r\n>>> ")
        port.write(b"print('a\\nb')\r")
        assert port.read_until(b">>> ").endswith(b"\r\na\r\nb\r\n>>> ")


def test_the_prompt_of_mpremote_repl(board):
    terminal, slave = pty.openpty()
    command = [sys.executable, "-m", "mpremote", "connect", board.port, "repl"]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as repl:
        os.close(slave)
        shown = b""
        while b"Use Ctrl-] or Ctrl-x to exit" not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, b"6 * 7\r")
        while b"42" not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, b"\x18")
        assert repl.wait(10) == 0
    os.close(terminal)


def test_a_board_sees_its_flash_and_nothing_of_the_host(board):
    assert run(board, "import os; print(os.listdir('/'), os.getcwd())") == "[] /"
    assert run(board, "import sys; print(sys.path, sys.argv)") == "['', '.frozen', '/lib'] []"
    assert fails(board, f"open({str(ROOT / 'tools' / '__init__.py')!r})").endswith("ENOENT")
    assert run(board, "import vfs; print(vfs.mount()[0][0])").startswith("<VfsLfs2")


def test_the_micropython_module_is_that_of_a_board(board):
    program = "import micropython as m; m.alloc_emergency_exception_buf(256); print(m.const(7))"
    assert run(board, program) == "7"


def test_lib_is_importable(board, tmp_path):
    (tmp_path / "thing.py").write_text("VALUE = 7\n")
    mpremote(board, "fs", "mkdir", ":lib")
    mpremote(board, "fs", "cp", str(tmp_path / "thing.py"), ":lib/thing.py")
    assert run(board, "import thing; print(thing.VALUE)") == "7"


def test_what_a_board_has_frozen_is_importable_and_not_on_its_flash(
    card_image, tmp_path, monkeypatch
):
    (tmp_path / "frozen" / "umqtt").mkdir(parents=True)
    (tmp_path / "frozen" / "umqtt" / "simple.py").write_text("NAME = 'umqtt.simple'\n")
    (tmp_path / "frozen" / "urequests.py").write_text("from umqtt.simple import NAME\n")
    monkeypatch.setattr("tools.virtual_board.board.FROZEN", tmp_path / "frozen")
    with VirtualBoard(card_image, workdir=tmp_path) as board:
        program = "import os, urequests, umqtt.simple; print(urequests.NAME, os.listdir('/'))"
        assert run(board, program) == "umqtt.simple []"


def test_output_nobody_listens_to_does_not_stop_the_board(board, tmp_path):
    install(board, tmp_path, main="for i in range(20_000): print('line', i)\nprint('all said')\n")
    mpremote(board, "reset")
    board.wait_for("all said", 20)
    assert board.serial_log.read_bytes().count(b"\r\nline ") >= 19_999


def test_a_listener_that_does_not_read_does_not_stop_the_board(board):
    with serial.Serial(board.port) as port:
        port.write(b"for i in range(20_000): print('line', i)\r\r\rprint('all' + ' said')\r")
        board.wait_for("all said", 30)


def test_a_listener_that_reads_gets_every_byte(board):
    program = "for i in range(20_000): print('line', i)"
    assert run(board, program).split("\n") == [f"line {i}" for i in range(20_000)]


# Start, Ctrl-C, resets


def test_boot_then_main_then_the_prompt(board, tmp_path):
    install(board, tmp_path, boot="a = 1\nprint('boot')\n", main="print('main', a, __name__)\n")
    mpremote(board, "reset")
    board.wait_for("rst:HARD\r\nboot\r\nmain 1 __main__\r\nMicroPython ")
    board.wait_for(">>> ")
    assert run(board, "print(a)") == "1"


def test_an_exception_is_shown_as_on_a_board(board, tmp_path):
    install(board, tmp_path, main="def f():\n    1 // 0\nf()\n")
    mpremote(board, "reset")
    board.wait_for("rst:HARD\r\n")
    assert board.wait_for("MicroPython ").startswith(
        "Traceback (most recent call last):\r\n"
        '  File "main.py", line 3, in <module>\r\n'
        '  File "main.py", line 2, in f\r\n'
        "ZeroDivisionError: divide by zero\r\n"
    )


@pytest.mark.parametrize("broken", ["1 // 0", "def"])
def test_a_failing_boot_py_keeps_main_py_from_running(board, tmp_path, broken):
    install(board, tmp_path, boot=broken, main="print('main runs')\n")
    mpremote(board, "reset")
    assert "main runs" not in board.wait_for(">>> ").split("rst:HARD")[-1]


def test_ctrl_c_interrupts_main_py(board, tmp_path):
    install(
        board,
        tmp_path,
        main="import asyncio\nasync def run():\n    print('going')\n    await asyncio.sleep(999)\n"
        "try:\n    asyncio.run(run())\nfinally:\n    print('cleaned up')\n",
    )
    mpremote(board, "reset")
    board.wait_for("going")
    with serial.Serial(board.port, timeout=5) as port:
        port.write(b"\x03\x03")
        seen = port.read_until(b">>> ")
    assert b"cleaned up" in seen and b"KeyboardInterrupt:" in seen, seen
    assert seen.endswith(b">>> "), seen


def test_ctrl_c_sent_while_the_board_starts_is_not_lost(board, tmp_path):
    install(board, tmp_path, main="import time\nwhile True: time.sleep(1)\n")
    for _ in range(5):
        board.power_cut()
        board.power_on()
        assert run(board, "print('reached')") == "reached"


def test_ctrl_c_is_a_character_at_the_prompt(board):
    with serial.Serial(board.port, timeout=5) as port:
        port.write(b"nonsense\x031 + 1\r")
        assert port.read_until(b"2\r\n>>> ").endswith(b"nonsense\r\n>>> 1 + 1\r\n2\r\n>>> ")


def test_ctrl_d_is_a_soft_reset_that_runs_main_py(board, tmp_path):
    install(board, tmp_path, main="import machine\nprint('main', machine.reset_cause())\n")
    with serial.Serial(board.port, timeout=5) as port:
        port.write(b"left = 1\r\x04")
        seen = port.read_until(b"help")
        assert b"MPY: soft reboot\r\nmain %d\r\nMicroPython " % ResetCause.SOFT in seen
        port.write(b"\rleft\r")
        assert b"NameError" in port.read_until(b"defined")


def test_soft_reset_in_the_raw_repl_comes_back_without_main_py(board, tmp_path):
    install(board, tmp_path, boot="print('boot')\n", main="print('main runs')\n")
    board.wait_for(">>> ")
    mpremote(board, "soft-reset")
    assert run(board, "print('after', __name__)") == "after __main__"
    seen = board.wait_for("after __main__")
    assert "MPY: soft reboot\r\nboot\r\n" in seen and "main runs" not in seen, seen


@pytest.mark.parametrize(
    "leave", ["import sys\nsys.exit()", "import machine\nmachine.soft_reset()"]
)
def test_leaving_main_py_is_a_soft_reset(board, tmp_path, leave):
    guard = "import machine\nif machine.reset_cause() != 5:\n    print('first')\n    "
    install(board, tmp_path, main=guard + leave.replace("\n", "\n    ") + "\nprint('second')\n")
    mpremote(board, "reset")
    board.wait_for("first\r\nMPY: soft reboot\r\nsecond\r\n")


def test_reset_causes(board, tmp_path):
    install(board, tmp_path, main="import machine\nprint('cause', machine.reset_cause())\n")
    board.power_cut()
    board.power_on()
    board.wait_for(f"rst:POWER_ON\r\ncause {ResetCause.POWER_ON}\r\n")
    mpremote(board, "exec", "--no-follow", "import machine; machine.reset()")
    board.wait_for(f"rst:HARD\r\ncause {ResetCause.HARD}\r\n")
    assert "soft reboot" not in board.wait_for(">>> ")


def test_a_crash_of_the_chip_is_a_reset(board):
    os.kill(board.pid, signal.SIGSEGV)
    board.wait_for("rst:HARD")
    board.wait_for(">>> ")


# Watchdog

FED = """
import machine, time
print('cause', machine.reset_cause())
wdt = machine.WDT(timeout=1000)
for _ in range(30):
    time.sleep_ms(50)
    wdt.feed()
print('fed enough')
"""


def test_the_watchdog_bites_a_program_that_stops_feeding(board, tmp_path):
    install(board, tmp_path, main=FED + "while machine.reset_cause() == 2: pass\n")
    mpremote(board, "reset")
    board.wait_for("cause 2\r\nfed enough\r\n")
    board.wait_for(f"rst:WATCHDOG\r\ncause {ResetCause.WATCHDOG}\r\n")


def test_the_watchdog_goes_on_through_a_soft_reset(board):
    run(board, "import machine; machine.WDT(timeout=2500)")
    with serial.Serial(board.port) as port:
        port.write(b"\x02\x04")
        board.wait_for("soft reboot")
        board.wait_for("rst:WATCHDOG")


def test_another_watchdog_changes_the_timeout(board):
    run(board, "import machine; machine.WDT(timeout=500); machine.WDT(timeout=600_000)")
    with pytest.raises(TimeoutError, match="rst:WATCHDOG"):
        board.wait_for("rst:WATCHDOG", 1.2)
    run(board, "import machine; machine.WDT(timeout=200)")
    board.wait_for("rst:WATCHDOG")


def test_a_power_cut_disarms_the_watchdog(board):
    run(board, "import machine; machine.WDT(timeout=300)")
    board.power_cut()
    board.power_on()
    with pytest.raises(TimeoutError, match="rst:WATCHDOG"):
        board.wait_for("rst:WATCHDOG", 0.8)


# Pins, network, chip


def test_an_input_follows_the_host_or_its_pull_resistor(board):
    read = "from machine import Pin; print(Pin(4, Pin.IN, Pin.PULL_%s).value())"
    assert run(board, read % "UP") == "1"
    assert run(board, read % "DOWN") == "0"
    for level in (1, 0):
        board.set_pin(4, level)
        assert run(board, read % "UP") == str(level)
    board.set_pin(4, None)
    assert run(board, read % "UP") == "1"


def test_the_host_sees_outputs_until_the_reset(board):
    assert board.get_pin(5) is None
    run(board, "from machine import Pin; led = Pin(5, Pin.OUT, value=1)")
    assert board.get_pin(5) == 1
    assert run(board, "led.off(); print(led(), led.value(), Pin(5) is led)") == "0 0 True"
    assert board.get_pin(5) == 0
    run(board, "led.toggle()")
    assert board.get_pin(5) == 1
    mpremote(board, "reset")
    board.wait_for("rst:HARD")
    assert board.get_pin(5) is None


def test_an_open_drain_pin_only_pulls_down(board):
    board.set_pin(6, 1)
    assert (
        run(board, "from machine import Pin; p = Pin(6, Pin.OPEN_DRAIN, value=1); print(p())")
        == "1"
    )
    assert run(board, "p.off(); print(p())") == "0"


def test_pins_that_an_esp32_p4_does_not_have(board):
    assert fails(board, "from machine import Pin; Pin(55)") == "ValueError: invalid pin"
    with pytest.raises(ValueError, match="GPIO 0 to 54"):
        board.set_pin(55, 1)


LAN = "import network; n = network.LAN(phy_addr=1, phy_type=network.PHY_IP101, mdc=31, mdio=52)\n"


def test_the_link_of_the_lan(board):
    state = "print(n.active(), n.isconnected(), n.status(), n.ifconfig()[0])"
    assert run(board, LAN + state) == "False False 0 0.0.0.0"
    assert run(board, "n.active(True);" + state) == "True True 5 127.0.0.1"
    board.set_network(False)
    assert run(board, state) == "True False 4 0.0.0.0"
    board.set_network(True)
    assert run(board, state) == "True True 5 127.0.0.1"
    assert run(board, "print(n.ipconfig('addr4'))") == "('127.0.0.1', '255.0.0.0')"
    assert run(board, "print(len(n.config('mac')))") == "6"


def test_the_link_of_the_wlan(board):
    start = "import network; n = network.WLAN(network.STA_IF)\n"
    assert fails(board, start + "n.connect('net', 'key')") == "OSError: Wifi Not Started"
    run(board, "n.active(True); n.connect('net', 'key')")
    assert run(board, "print(n.isconnected(), n.status() == network.STAT_GOT_IP)") == "True True"
    board.set_network(False)
    assert run(board, "print(n.isconnected(), n.config('ssid'))") == "False net"
    assert fails(board, "n.status('rssi')") == "OSError: Wifi Not Connected"


def test_the_chip_keeps_its_identity_with_its_flash(board, card_image, tmp_path):
    ask = "import machine; print(machine.unique_id().hex(), machine.freq())"
    mine = run(board, ask)
    board.power_cut()
    board.power_on()
    assert run(board, ask) == mine
    with VirtualBoard(card_image, workdir=tmp_path / "other") as other:
        assert run(other, ask) != mine


def test_the_clock_is_the_hosts_until_it_is_set(board):
    now = (
        "import time, machine; print(time.time(), time.gmtime()[:5], machine.RTC().datetime()[:6])"
    )
    unix_sec, shown = run(board, now).split(" ", 1)
    assert abs(int(unix_sec) - time.time()) < 10
    y, mo, d, h, mi, _, weekday, *_ = time.gmtime(int(unix_sec))
    assert shown == f"{(y, mo, d, h, mi)} {(y, mo, d, weekday, h, mi)}"
    run(board, "machine.RTC().datetime((2031, 2, 3, 0, 4, 5, 6, 0))")
    assert run(board, now).split(" ", 1)[1] == "(2031, 2, 3, 4, 5) (2031, 2, 3, 0, 4, 5)"
    mpremote(board, "reset")
    assert run(board, "import time; print(time.gmtime()[0])") == "2031"


def test_the_host_can_take_the_time_from_a_board(board):
    board.power_cut()
    board.set_clock(946684800)
    board.power_on()
    assert run(board, "import time; print(time.gmtime()[:3])") == "(2000, 1, 1)"


@pytest.mark.parametrize("heap", ["512k", "4M"])
def test_the_heap_has_the_size_asked_for(card_image, tmp_path, heap):
    asked_bytes = int(heap[:-1]) * {"k": 1024, "M": 1024 * 1024}[heap[-1]]
    with VirtualBoard(card_image, heap=heap, workdir=tmp_path) as board:
        heap_bytes = int(run(board, "import gc; print(gc.mem_free() + gc.mem_alloc())"))
    assert 0.95 * asked_bytes < heap_bytes <= asked_bytes


STRICT = [
    "machine.SDCard(0, 4)",
    "machine.SDCard(slot=0, ldo=4, speed=1)",
    "machine.Pin(4, direction=1)",
    "machine.Pin(4, 1, 2, 1)",
    "machine.Pin(4).value(1, 2)",
    "machine.Pin()",
    "machine.WDT(0, 1000)",
    "machine.WDT(timeout_ms=1000)",
    "machine.WDT(timeout=1000).feed(1)",
    "machine.reset_cause(1)",
    "machine.RTC(0)",
    "time.gmtime(0, 1)",
    "machine.freq(hz=1)",
    "network.LAN()",
    "network.LAN(phy_addr=1, phy_type=2, mdc=31, mdio=52, phy_reset=51)",
    "network.LAN(0, 1)",
    "network.WLAN(mode=0)",
    "network.WLAN().connect(ssid='x')",
    "network.WLAN().connect('x', 'y', 'z')",
    "network.WLAN().active(is_active=True)",
    "network.WLAN().isconnected(1)",
    "esp32.mcu_temperature(1)",
    "micropython.alloc_emergency_exception_buf()",
]
REFUSED = {
    "machine.SDCard(slot=4)": "invalid slot number",
    "machine.SDCard(slot=2)": "SPI pin values required",
    "machine.SDCard(slot=0, cs=5)": "invalid config: SDMMC slot with SPI pin arguments",
    "machine.SDCard(width=2)": "width must be 1 or 4 (or 8 on slot 0)",
    "machine.SDCard(data=(39,))": "data argument length must match width 4",
    "machine.WDT(timeout=0)": "WDT timeout too short",
    "machine.freq(1)": "frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz",
    "network.LAN(phy_addr=32, phy_type=2, mdc=31, mdio=52)": "invalid phy address",
    "network.LAN(phy_addr=1, phy_type=9, mdc=31, mdio=52)": "invalid phy type",
    "network.LAN(phy_addr=1, phy_type=2)": "mdc and mdio must be specified",
    "network.WLAN().config('colour')": "unknown config param",
    "network.WLAN().ipconfig('addr6')": "unexpected key",
}
TRY_ALL = """
import esp32, machine, micropython, network, time
for call in %r:
    try:
        eval(call)
        print(call, '->', 'accepted')
    except (TypeError, ValueError) as error:
        print(call, '->', type(error).__name__, '' if type(error) is TypeError else error)
"""


def test_what_the_stubs_do_not_allow_is_a_type_error(board):
    told = run(board, TRY_ALL % STRICT).split("\n")
    assert [line.strip() for line in told] == [f"{call} -> TypeError" for call in STRICT]


def test_what_the_drivers_refuse_is_refused_with_their_words(board):
    told = run(board, TRY_ALL % list(REFUSED)).split("\n")
    assert told == [f"{call} -> ValueError {why}" for call, why in REFUSED.items()]


# SD card


def test_the_card_is_mounted_by_the_board_itself(board, card_image, tmp_path):
    (tmp_path / "config.json").write_text('{"a": 1}')
    card.put(card_image, tmp_path / "config.json", "config.json")
    assert run(board, MOUNT + "print(open('/sd/config.json').read())") == '{"a": 1}'
    run(board, "with open('/sd/clip.ts', 'wb') as f: f.write(b'G' * 100_000)")
    assert card.get(card_image, "clip.ts") == b"G" * 100_000
    assert run(board, "print(sd.info())") == f"({card_image.stat().st_size}, 512)"


@pytest.mark.parametrize("wiring", ["", "ldo=3", "slot=1, ldo=4", "ldo=4, cmd=45"])
def test_a_card_without_power_or_wires_is_busy(board, wiring):
    program = f"import machine, vfs; vfs.VfsFat(machine.SDCard({wiring}))"
    assert fails(board, program) == "OSError: 16"


def test_the_file_system_of_the_card_is_found_out(board):
    run(board, "import machine, os, vfs; vfs.mount(machine.SDCard(slot=0, width=4, ldo=4), '/sd')")
    assert run(board, "print(os.listdir('/'), vfs.mount()[0][0])").startswith("['sd'] <VfsFat")


def test_the_slot_has_one_owner(board):
    run(board, MOUNT)
    assert "ESP_ERR_INVALID_STATE" in fails(board, "machine.SDCard(ldo=4)")
    run(board, "vfs.umount('/sd'); sd.deinit()")
    assert run(board, MOUNT + "import os; print(os.listdir('/sd'))") == "[]"


def test_an_ejected_card_gives_eio_until_it_is_initialised_again(board):
    run(board, MOUNT + "import os\nf = open('/sd/a', 'wb'); f.write(b'1'); f.flush()")
    board.eject_card()
    assert fails(board, "f.write(b'2' * 4096); f.flush()") == "OSError: [Errno 5] EIO"
    assert fails(board, "os.stat('/sd/a')") == "OSError: [Errno 5] EIO"
    board.insert_card()
    assert fails(board, "open('/sd/b', 'wb')") == "OSError: [Errno 5] EIO"
    run(board, "vfs.umount('/sd'); sd.deinit()\n" + MOUNT)
    assert run(board, "print(os.listdir('/sd'), open('/sd/a').read())") == "['a'] 1"


def test_no_card_no_mount(board):
    board.eject_card()
    assert fails(board, MOUNT) == "OSError: 16"


# Power


COUNTER = (
    MOUNT
    + """
log = open('/sd/log.txt', 'ab')
for n in range(1_000_000):
    log.write(b'%d\\n' % n)
    log.flush()
    print('kept', n)
"""
)


def test_a_power_cut_keeps_what_was_flushed(board, card_image, tmp_path):
    install(board, tmp_path, main=COUNTER)
    mpremote(board, "reset")
    board.wait_for("kept 20\r\n")
    board.power_cut()
    assert board.pid is None
    kept = re.findall(rb"kept (\d+)\r\n", board.serial_log.read_bytes())
    lines = card.get(card_image, "log.txt").split(b"\n")
    assert lines[: len(kept)] == kept


def test_a_power_cut_keeps_the_flash(board, tmp_path):
    install(board, tmp_path, main="print('still' + ' here')\n")
    board.power_cut()
    with pytest.raises(TimeoutError):
        board.wait_for("still here", 0.3)
    board.power_on()
    board.wait_for("still here")
    with pytest.raises(RuntimeError, match="on already"):
        board.power_on()


def test_the_port_outlives_the_power(board):
    with serial.Serial(board.port, timeout=5) as port:
        board.power_cut()
        port.reset_input_buffer()  # the first start's prompt
        port.write(b"lost\r")
        board.power_on()
        assert b"rst:POWER_ON" in port.read_until(b">>> ")
        port.write(b"6 * 7\r")
        assert port.read_until(b"42\r\n").endswith(b"6 * 7\r\n42\r\n")


# Putting the firmware on it


def test_flash_puts_the_firmware_on_the_board(board, tmp_path):
    root = tmp_path / "root"
    for folder in ("firmware/__pycache__", "lib"):
        (root / folder).mkdir(parents=True)
    (root / "boot.py").write_text("")
    (root / "main.py").write_text("from firmware.app import NAME\nprint('main of', NAME)\n")
    (root / "firmware" / "app.py").write_text("from thing import NAME\n")
    (root / "firmware" / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"x")
    (root / "lib" / "thing.py").write_text("NAME = 'the camera'\n")
    flash(board.port, root)
    board.wait_for("main of the camera")
    assert run(board, "import os; print(sorted(os.listdir('/firmware')))") == "['app.py']"


def test_flash_says_when_there_is_no_board(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        flash(str(tmp_path / "no-port"))


# Failures and the end


def test_a_flash_with_something_else_on_it_is_not_formatted(card_image, tmp_path):
    image = tmp_path / "flash.img"
    image.write_bytes(b"precious" * 1024)
    with pytest.raises(BoardFailure, match=r"cannot start: .*serial\.log"):
        with VirtualBoard(card_image, flash=image, workdir=tmp_path):
            pytest.fail("it started")
    assert image.read_bytes() == b"precious" * 1024
    assert "OSError" in (tmp_path / "serial.log").read_text()


def test_wrong_arguments_are_named(card_image, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.img"):
        VirtualBoard(tmp_path / "none.img")
    with pytest.raises(ValueError, match="'2 MB' is no size"):
        VirtualBoard(card_image, heap="2 MB")


def test_a_missing_or_old_micropython_is_named(tmp_path, monkeypatch):
    old = tmp_path / "micropython"
    old.write_text("#!/bin/sh\necho 1 20\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    with pytest.raises(interpreters.InterpreterMissing) as missing:
        interpreters.micropython.__wrapped__()
    assert f"{old} is 1.20; {tmp_path / 'venv' / 'micropython'} does not run" in str(missing.value)


def test_nothing_is_left_behind(card_image, tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyError):
        with VirtualBoard(card_image, workdir=tmp_path) as board:
            pid = board.pid
            raise KeyError("an error of the user's")
    assert not is_alive(pid)
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def command_line(card_image, tmp_path):
    command = [sys.executable, "-m", "tools.virtual_board", "--card", str(card_image)]
    log = ["--log", str(tmp_path / "log"), "--heap", "1M", "--flash", str(tmp_path / "flash.img")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([*command, *log], cwd=ROOT, **pipes) as process:
        yield process
        process.kill()


def children_of(pid):
    """Process numbers of the children of all threads of a process."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(number) for path in lists for number in path.read_text().split()]


def test_the_command_line_prints_the_port_and_takes_commands(command_line, tmp_path):
    port = command_line.stdout.readline().strip()
    assert port.startswith("/dev/pts/")

    def say(words):
        command_line.stdin.write(words + "\n")
        return command_line.stdout.readline().strip()

    assert say("pin 4 1") == "ok"
    assert say("pin 4") == "pin 4: 1"
    assert say("pin 4 open") == say("card out") == say("card in") == say("net down") == "ok"
    assert say("power on") == "the board is on already"
    assert say("power off") == say("power on") == "ok"
    assert say("dance").startswith("commands: ")
    (child,) = children_of(command_line.pid)
    command_line.stdin.write("quit\n")
    assert command_line.wait(10) == 0
    assert not is_alive(child)
    assert "rst:POWER_ON" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_end_of_the_command_line_leaves_a_board_running(command_line, end):
    command_line.stdout.readline()
    command_line.stdin.close()
    (child,) = children_of(command_line.pid)
    command_line.send_signal(end)
    assert command_line.wait(10) == (-9 if end == signal.SIGKILL else 0)
    wait_until(lambda: not is_alive(child))


def test_the_command_line_says_what_is_wrong(tmp_path):
    command = [sys.executable, "-m", "tools.virtual_board", "--card", str(tmp_path / "none.img")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "no card image" in done.stderr
    assert "Traceback" not in done.stderr
