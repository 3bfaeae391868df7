"""Hold the device files against the laws on purity and on imports: `python -m tools.check_laws`.

Purity: a module whose docstring ends in the line `Pure: no IO.` reaches no module that does IO,
neither itself nor through another device module, and calls neither open() nor print().

Imports point one way: app -> the rest of firmware -> lib. lib knows no firmware; only main.py
starts the app; the five task modules reach neither each other nor the app; there are no cycles;
hardware modules are imported by board.py alone; nothing on the board imports tools or tests.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.device_tree import ROOT, device_files, module_name

PURE = "Pure: no IO."
ALMOST_PURE = re.compile(r"\s*pure\b.*\bno io\b", re.IGNORECASE)
IO_MODULES = {"asyncio", "machine", "network", "os", "select", "socket", "ssl", "time", "vfs"}
IO_CALLS = {"input", "open", "print"}
CAMERAS = {"camera", "cameraif", "h264", "h264enc", "sensor"}
HARDWARE = {"bluetooth", "esp", "esp32", "machine", "network", "vfs"} | CAMERAS
BOARD, APP, START = "firmware.board", "firmware.app", ("boot", "main")
TASKS = {
    f"firmware.{name}"
    for name in ("sd_recorder", "motion_trigger", "mqtt_link", "oss_uploader", "retry_scheduler")
}


class Module(NamedTuple):
    path: Path
    name: str
    tree: ast.Module
    imports: dict[str, int]  # full name of what is imported -> line


class Breach(NamedTuple):
    path: Path
    line: int
    text: str


def read(path: Path, root: Path) -> Module:
    tree = ast.parse(path.read_text(), str(path))
    name = module_name(path, root)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return Module(path, name, tree, dict(imports_of(tree, package)))


def imports_of(tree: ast.Module, package: str) -> Iterator[tuple[str, int]]:
    """Every import in the file, at any depth; `from a import b` is both a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            here = parents[: len(parents) + 1 - node.level] if node.level else []
            base = ".".join(here + ([node.module] if node.module else []))
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def calls_of(tree: ast.Module, names: set[str]) -> Iterator[tuple[str, int]]:
    """Calls of plain names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node.func.id, node.lineno


def builtins_of(module: Module, modules: dict[str, Module]) -> dict[str, int]:
    """Modules of the interpreter that are imported -> line, without their old u- prefix."""
    known, ours = IO_MODULES | HARDWARE, {name.split(".")[0] for name in modules}
    tops = ((name.split(".")[0], line) for name, line in module.imports.items())
    return {
        top[1:] if top[:1] == "u" and top[1:] in known else top: line
        for top, line in tops
        if top not in ours
    }


def routes(module: Module, modules: dict[str, Module]) -> dict[str, tuple[list[str], int]]:
    """Device modules that `module` reaches by imports: name -> (names on the way, first line)."""
    found: dict[str, tuple[list[str], int]] = {}
    waiting = [(name, [name], line) for name, line in module.imports.items() if name in modules]
    while waiting:
        name, way, line = waiting.pop(0)
        if name not in found:
            found[name] = (way, line)
            further = [each for each in modules[name].imports if each in modules]
            waiting += [(each, [*way, each], line) for each in further]
    return found


def check_purity(module: Module, modules: dict[str, Module]) -> Iterator[tuple[int, str]]:
    lines = (ast.get_docstring(module.tree) or "").splitlines()
    if lines[-1:] != [PURE]:
        if any(ALMOST_PURE.match(line) for line in lines):
            yield 1, f"a pure module says so in the last line of its docstring, exactly {PURE!r}"
        return
    ways = [([], 0), *routes(module, modules).values()]
    for way, line in ways:
        reached = modules[way[-1]] if way else module
        for name, own_line in builtins_of(reached, modules).items():
            if name in IO_MODULES | HARDWARE:
                yield line or own_line, f"pure module imports {' -> '.join([*way, name])}"
    for name, line in calls_of(module.tree, IO_CALLS):
        yield line, f"pure module calls {name}()"


def check_names(module: Module, modules: dict[str, Module]) -> Iterator[tuple[int, str]]:
    """What a single import may name."""
    in_lib = module.name.split(".")[0] not in ("firmware", *START)
    for name, line in module.imports.items():
        top = name.split(".")[0]
        if top == "lib":
            yield line, "on the board /lib is on the path: import what is in it by its bare name"
        elif top in ("tests", "tools"):
            yield line, f"{top} is not on the board"
        elif top == "firmware" and in_lib:
            yield line, "lib knows no firmware"
        elif name == APP and module.name not in START:
            yield line, f"only main.py imports {APP}"
    for name, line in builtins_of(module, modules).items():
        if name in HARDWARE and module.name != BOARD:
            yield line, f"only firmware/board.py imports {name}"


def check_directions(module: Module, modules: dict[str, Module]) -> Iterator[tuple[int, str]]:
    """Where imports lead in the end."""
    for name, (way, line) in routes(module, modules).items():
        if name == module.name:
            yield line, f"imports go round: {' -> '.join([name, *way])}"
        elif name in TASKS and module.name in TASKS:
            yield line, f"task modules do not know each other: imports {' -> '.join(way)}"


def check(root: Path = ROOT) -> list[Breach]:
    modules = {each.name: each for each in (read(path, root) for path in device_files(root))}
    return [
        Breach(module.path.relative_to(root), line, text)
        for module in modules.values()
        for law in (check_purity, check_names, check_directions)
        for line, text in sorted(set(law(module, modules)))
    ]


def main() -> int:
    breaches = check()
    for path, line, text in breaches:
        print(f"{path}:{line}: {text}")
    print(f"laws: {len(device_files())} device files, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
