"""What a race found, as Markdown and as a picture."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from racing.runtimes import REFERENCE

OURS = "ort_rs"
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Report:
    """The results of a race as they are stored: `found` is the content of the JSON file."""

    found: dict[str, Any]

    @property
    def runtimes(self) -> list[str]:
        """The runtimes that raced, the reference first."""
        names: list[str] = self.found["runtimes"]
        return sorted(names, key=lambda name: (name != REFERENCE, name != OURS, name))

    def lanes(self) -> list[str]:
        """The numbers of threads that were raced on: "1 pinned", "all 2"."""
        return list(dict.fromkeys(contest["threads"] for contest in self.found["contests"]))

    def contests(self, threads: str) -> list[dict[str, Any]]:
        """The contests on this number of threads."""
        return [contest for contest in self.found["contests"] if contest["threads"] == threads]

    def markdown(self) -> str:
        """All tables, with what they were measured on."""
        parts = [self._conditions()]
        for threads in self.lanes():
            parts += [f"### Time per run, {threads}", self._runs(threads)]
        for threads in self.lanes()[:1]:
            parts += [f"### Session creation, first run and memory, {threads}", self._costs(threads)]
        return "\n\n".join(parts)

    def speed_up(self, contest: dict[str, Any], runtime: str) -> float | None:
        """How many times as fast as the reference `runtime` is, by the medians of time per run."""
        theirs, ours = (_median(contest, name, "run") for name in (REFERENCE, runtime))
        return theirs / ours if theirs and ours else None

    def _conditions(self) -> str:
        machine, settings = self.found["machine"], self.found["settings"]
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        return (
            f"{machine['cpu']}, {machine['cores']} cores; {machine['system']}; {versions}.\n"
            f"`{self.found['command']}`: each runtime in a process of its own, taking turns;\n"
            f"medians of {settings['rounds']} rounds of {settings['seconds']:g} s, with the lowest and the highest in parentheses."
        )

    def _runs(self, threads: str) -> str:
        head = ["model", *(f"{name}, ms" for name in self.runtimes)]
        head += [f"{name} is faster by" for name in self.runtimes[1:]] + [f"error of {name}" for name in self.runtimes[1:]]
        rows = []
        for contest in self.contests(threads):
            cells = [label(contest), *(_time(contest, name) for name in self.runtimes)]
            cells += [_factor(self.speed_up(contest, name)) for name in self.runtimes[1:]]
            cells += [_error(contest["results"][name]["difference"]) for name in self.runtimes[1:]]
            rows.append(cells)
        blank = [""] * len(self.runtimes)
        means = [_factor(_mean(self.speed_up(contest, name) for contest in self.contests(threads))) for name in self.runtimes[1:]]
        return _table([head, *rows, ["geometric mean", *blank, *means, *blank[1:]]])

    def _costs(self, threads: str) -> str:
        columns: list[tuple[str, Callable[[dict[str, Any], str], float | None], float]] = [
            ("creation, ms", lambda contest, name: _median(contest, name, "open"), 1e3),
            ("first run, ms", lambda contest, name: _median(contest, name, "first"), 1e3),
            ("anonymous, MB", lambda contest, name: _memory(contest, name, "anonymous"), 1 / MEGABYTE),
            ("files, MB", lambda contest, name: _memory(contest, name, "file"), 1 / MEGABYTE),
            ("both, MB", lambda contest, name: _memory(contest, name, "total"), 1 / MEGABYTE),
        ]
        contests = self.contests(threads)
        head = ["model", *(title for title, _, _ in columns)]
        rows = [
            [label(contest), *(" / ".join(_scaled(value(contest, name), scale) for name in self.runtimes) for _, value, scale in columns)]
            for contest in contests
        ]

        def mean(value: Callable[[dict[str, Any], str], float | None], name: str) -> str:
            return _factor(_mean(_ratio(value(contest, name), value(contest, REFERENCE)) for contest in contests))

        means = [" / ".join(mean(value, name) for name in self.runtimes) for _, value, _ in columns]
        said = "Memory is the peak over creation and two runs, less what the process held after the import."
        rows = [head, *rows, [f"geometric mean against {REFERENCE}", *means]]
        return f"Each cell: {' / '.join(self.runtimes)}. {said}\n\n{_table(rows)}"

    def plot(self, path: Path) -> None:
        """Draw how many times as fast as the reference each runtime is, as an SVG file."""
        from racing import plot  # It needs matplotlib, which tables do not.

        plot.draw(self, path)


def label(contest: dict[str, Any]) -> str:
    """The name of the model, and of the set of inputs if it has several."""
    return f"{contest['model']}, {contest['variant']}" if contest["variant"] else str(contest["model"])


def write_between_markers(path: Path, name: str, text: str) -> None:
    """Put `text` in the place of what the file `path` has between the comments `NAME:begin` and `NAME:end`."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    content = path.read_text()
    before, found, rest = content.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no {begin} with {end} behind it")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _median(contest: dict[str, Any], runtime: str, measure: str) -> float | None:
    found = contest["results"][runtime][measure]
    return found["median"] if found and contest["results"][runtime]["error"] is None else None


def _memory(contest: dict[str, Any], runtime: str, kind: str) -> float | None:
    found = contest["results"][runtime]["memory"]
    return float(found[kind]) if found else None


def _time(contest: dict[str, Any], runtime: str) -> str:
    result = contest["results"][runtime]
    if result["error"] is not None:
        return "failed: " + _short(result["error"])
    median, low, high = (1e3 * result["run"][key] for key in ("median", "low", "high"))
    return f"{median:.4g} ({low:.4g} to {high:.4g})"


def _short(error: str) -> str:
    line = " ".join(error.split()).replace("|", "\\|")
    return line if len(line) <= 60 else line[:57] + "..."


def _error(found: float | str | None) -> str:
    if found is None:
        return ""
    return f"{found:.1e}" if isinstance(found, float) else _short(found)


def _factor(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _scaled(value: float | None, scale: float) -> str:
    return "-" if value is None else f"{value * scale:.3g}"


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _mean(values: Iterable[float | None]) -> float | None:
    """The geometric mean of those that are there and positive."""
    logarithms = [math.log(value) for value in values if value is not None and value > 0]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
