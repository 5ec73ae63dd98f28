"""The suite as a whole: what fails, and what is known to fail."""

import functools
import os
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pool
from cases import Case, all_cases, run

FAILING = Path(__file__).with_name("failing.txt")
# The slowest case takes well under a second; this only ends what would never end.
SECONDS = 60.0


def known_failures() -> set[str]:
    """Read the names of the cases that do not pass yet."""
    return set(FAILING.read_text().split())


def write_failures(names: Iterable[str]) -> None:
    """Write the names of the cases that do not pass yet, one a line."""
    FAILING.write_text("".join(f"{name}\n" for name in sorted(names)))


def results(cases: Iterable[Case], device: str = "CPU") -> dict[str, str | None]:
    """Run `cases` on `device` and give, by name, what went wrong with each, or nothing."""
    chosen = {case.name for case in cases}
    numbers = [i for i, case in enumerate(all_cases()) if case.name in chosen]
    found = pool.run(numbers, functools.partial(_job, device=device), workers=os.cpu_count() or 1, seconds=SECONDS)
    return {all_cases()[i].name: found[i] for i in numbers}


def _job(number: int, device: str) -> str | None:
    try:
        run(all_cases()[number], device)
    # Whatever is raised is the result; a panic of the native module derives from BaseException.
    except BaseException as e:
        text = str(e).strip() or "".join(traceback.format_exception_only(e)).strip()
        return f"{type(e).__name__}: {text}"[:2000]
    return None


def summary(found: dict[str, str | None]) -> str:
    """Tell, for each operator with failing cases, how many fail and how the first of each kind of failure reads."""
    groups = {case.name: case.group for case in all_cases()}
    failing = {name: error for name, error in found.items() if error is not None}
    total = Counter(groups[name] for name in found)
    bad = Counter(groups[name] for name in failing)
    lines = [f"{len(found) - len(failing)} of {len(found)} cases pass"]
    for group, count in sorted(bad.items(), key=lambda item: (-item[1], item[0])):
        lines.append(f"{group}: {count} of {total[group]} fail")
        errors: dict[str, list[str]] = {}
        for name, error in failing.items():
            if groups[name] == group:
                errors.setdefault(_gist(error), []).append(name)
        lines += [f"    {len(names)}x {names[0]}: {gist}" for gist, names in errors.items()]
    return "\n".join(lines)


def _gist(error: str) -> str:
    """The telling lines of an error: comparisons say the difference only after some empty words."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return " | ".join(lines[:5])[:240]
