"""Habits that no compiler holds."""

import re
from pathlib import Path

import pytest

from sources import ROOT, source_files

LONGEST_FILE = 700
LONGEST_LINE = 140
# Spelled in pieces, so that this file does not find itself.
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "todo" + "!", "unimplemented" + "!"]))
MACHINE_PATH = re.compile(r"/(?:home|root|work|Users)/\w")
UNSAFE = re.compile(r"\bunsafe\s*(?:\{|impl\b)")
SAFETY_REACH = 3

FILES = source_files()
IDS = [str(path.relative_to(ROOT)) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_file(path: Path) -> None:
    lines = path.read_text().splitlines()
    # A native module has one stub, however much it has.
    assert len(lines) <= LONGEST_FILE or path.suffix == ".pyi", f"{len(lines)} lines: is there a room to split off?"
    for number, line in enumerate(lines, 1):
        assert len(line) <= LONGEST_LINE, f"line {number} has {len(line)} characters"
        assert not UNFINISHED.search(line), f"line {number} is unfinished: {line.strip()}"
        assert not MACHINE_PATH.search(line), f"line {number} names a path of one machine: {line.strip()}"


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".rs"], ids=[i for i in IDS if i.endswith(".rs")])
def test_unsafe_is_argued(path: Path) -> None:
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines):
        if UNSAFE.search(line) and not line.lstrip().startswith("//"):
            above = lines[max(i - SAFETY_REACH, 0) : i]
            assert any("SAFETY" in other or "# Safety" in other for other in above), f"line {i + 1} has no SAFETY note close above"
