"""Run the tests of one device test file, on MicroPython or on CPython.

    INTERPRETER tests/run_device.py FILE [NAME ...]

Without names every ``test_*`` function of the file runs. Prints one line per
test and exits 1 when any failed. CPython gets ``tests/shim`` in front of its
path, MicroPython nothing but the product and the packages a board has frozen.
"""

import sys

ROOT = __file__.replace("\\", "/").rsplit("/tests/", 1)[0] if "/tests/" in __file__ else "."
CPYTHON = sys.implementation.name == "cpython"


def set_path():
    packages = [ROOT + "/build/micropython-lib"]
    product = [ROOT, ROOT + "/lib", ROOT + "/tests"]
    if CPYTHON:
        sys.dont_write_bytecode = True
        # The script's own folder would make tests/ a second root for imports.
        sys.path[0:1] = [ROOT + "/tests/shim"] + product + packages
        import shim

        shim.install()
    else:
        sys.path[:] = product + packages + [".frozen"]


def load(path):
    """Execute the file as a module of its own and return its namespace."""
    names = {"__name__": "device_test", "__file__": path}
    with open(path) as source:
        code = compile(source.read(), path, "exec")
    exec(code, names)
    return names


def run_test(function):
    import asyncio

    result = function()
    if hasattr(result, "send"):
        asyncio.run(result)


def run(path, wanted):
    import harness

    tests = load(path)
    names = wanted or sorted(n for n in tests if n.startswith("test_"))
    failed = 0
    for name in names:
        try:
            run_test(tests[name])
            print("ok", name)
        except Exception as error:
            failed += 1
            print("FAILED", name)
            harness.print_exception(error)
        finally:
            harness.clean_up()
    return failed


if __name__ == "__main__":
    set_path()
    sys.exit(1 if run(sys.argv[1], sys.argv[2:]) else 0)
