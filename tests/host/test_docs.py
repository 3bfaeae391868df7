"""The documents say what the code does: keys, error codes, links and commands."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

# Device modules are asked in a process of their own, with the shim in front of the path.
ASK = """
import sys
sys.path[:0] = ["tests/shim", ".", "lib"]
import shim
shim.install()
import json
from firmware.config import SCHEMA, parse
from firmware.upload_error import CLASSES
parse(open("docs/config.example.json").read())
keys = [(f"{s}.{k}" if s else k, str(allowed)) for s, k, allowed, _ in SCHEMA]
print(json.dumps([keys, sorted(CLASSES)]))
"""


@pytest.fixture(scope="module")
def facts() -> tuple[list[list[str]], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, check=True, capture_output=True, text=True
    )
    keys, codes = json.loads(done.stdout)
    return keys, codes


def test_every_key_is_documented_with_what_is_allowed(
    facts: tuple[list[list[str]], list[str]],
) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    documented = re.findall(r"^\| `([a-z_.]+)` \| [^|]* \| ([^|]*) \|", text, re.M)
    assert [list(row) for row in documented] == facts[0]


def test_error_codes_in_the_protocol_exist(facts: tuple[list[list[str]], list[str]]) -> None:
    text = (ROOT / "docs" / "protocol.md").read_text().split("## Failures")[1]
    documented = set(re.findall(r"`([A-Z_]{3,})`", text))
    raised = {
        code
        for path in (ROOT / "firmware").glob("*.py")
        for code in re.findall(r'UploadError\(\s*"([A-Z_]+)"', path.read_text())
    }
    assert raised <= documented <= set(facts[1])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_and_targets_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|[`= ])make ([a-z]+)(?:`|$)", text, re.M)) <= targets
    for named in re.findall(r"`((?:firmware|lib|tests|tools|docs)/[\w./-]+)`", text):
        assert (ROOT / named).exists(), named
