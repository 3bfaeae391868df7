"""What the firmware of a board does between power and the prompt (ports/esp32/main.c).

The host's files are reachable only while this module loads the stand-ins and the modules that are
frozen on a real board; then the flash takes the place of the host's root. boot.py runs, then
main.py unless boot.py failed or the serial port was left in the raw REPL by a soft reset, and
returning from here brings the interpreter's own prompt.
"""

import errno
import gc
import io
import os
import sys

import _flash
import _wires
import vfs
from micropython import const

_FOLDER = const(0x4000)
_MODULES = "esp32", "machine", "network", "time"


def run(namespace):
    """Start the board; `namespace` is where boot.py, main.py and the prompt live."""
    _set_up()
    del namespace["_startup"]
    _wires.tell(b"boot\n")
    if _execute("boot.py", namespace) and not _wires.read(_wires.RAW_REPL):
        _execute("main.py", namespace)
    _wires.tell(b"prompt\n")


def _set_up():
    """From the host's file system to the board's; what goes wrong here ends the board."""
    try:
        for name in _MODULES:
            __import__(name)
        # A builtin that no file can extend: the stand-in takes its place once it is loaded.
        sys.modules["micropython"] = __import__("_micropython")
        for folder in sys.path[1:]:
            _load_folder(folder)
        vfs.umount("/")
        _flash.mount()
    except Exception as error:
        sys.print_exception(error)
        _wires.tell(b"fail\n")
        _wires.wait_for_the_end()
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []
    gc.collect()


def _load_folder(folder, package=""):
    """Import every module below a folder of the host, so that it stays when the folder goes."""
    for name, kind, *_ in os.ilistdir(folder):
        if kind == _FOLDER:
            _load_folder(folder + "/" + name, package + name + ".")
        elif name.endswith(".py"):
            __import__(package + name[:-3])


def _execute(name, namespace):
    """Run a file of the flash; True unless it raised. SystemExit is a soft reset."""
    try:
        source = open(name)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return True
    try:
        with source:
            program = compile(source.read(), name, "exec")
        namespace["__file__"] = name
        exec(program, namespace)
    except SystemExit:
        _wires.tell(b"exit\n")
        _wires.wait_for_the_end()
    except BaseException as error:
        _print_exception(error)
        return False
    return True


def _print_exception(error):
    """As a board prints it: without the frame of this module, which a board does not have."""
    text = io.StringIO()
    sys.print_exception(error, text)
    for number, line in enumerate(text.getvalue().rstrip("\n").split("\n")):
        if number != 1:
            print(line)
