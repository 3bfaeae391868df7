"""Write package.json, by which `mip` installs the camera on a board: `python -m tools.mip_package`.

Everything goes where imports find it below the target (/lib unless told otherwise): firmware/ as a
package, what lies in lib/ beside it. The start scripts stay out: who installs a package has a
main.py already, and starts the camera from there.
"""

import ast
import json
from pathlib import Path
from typing import Any

from tools.device_tree import ROOT, device_files

PACKAGE = ROOT / "package.json"
# Frozen in the firmware of an ESP32-P4; a board without them gets them from micropython-lib.
DEPENDENCIES = ("umqtt.simple", "umqtt.robust", "urequests")


def version(root: Path = ROOT) -> str:
    """VERSION of firmware/__init__.py, which is not imported here."""
    for node in ast.parse((root / "firmware" / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION":
            return str(ast.literal_eval(node.value))
    raise LookupError("firmware/__init__.py sets no VERSION")


def package() -> dict[str, Any]:
    sources = [file.relative_to(ROOT).as_posix() for file in device_files()]
    installed = [source for source in sources if source.startswith(("firmware/", "lib/"))]
    return {
        "urls": [[source.removeprefix("lib/"), source] for source in installed],
        "deps": [[name, "latest"] for name in DEPENDENCIES],
        "version": version(),
    }


def render() -> str:
    """The file's text, one entry on each line, so that a change reads as one."""
    found = package()
    lines = [
        f"  {json.dumps(key)}: [\n    {entries}\n  ],"
        for key in ("urls", "deps")
        for entries in [",\n    ".join(json.dumps(entry) for entry in found[key])]
    ]
    return "\n".join(["{", *lines, f'  "version": {json.dumps(found["version"])}', "}", ""])


def main() -> None:
    PACKAGE.write_text(render())


if __name__ == "__main__":
    main()
