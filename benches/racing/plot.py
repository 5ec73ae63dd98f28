"""The picture of a race: a bar for each model and runtime, as long as it is faster than the reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from racing.runtimes import REFERENCE

if TYPE_CHECKING:
    from racing.report import Report

COLORS = {"ort_rs": "#b7410e", "openvino": "#7f8fa6"}
BAR_INCHES = 0.16
TICKS = (0.25, 0.5, 1, 2, 4, 8)


def draw(report: "Report", path: Path) -> None:
    """Write the picture as an SVG file: a column for each number of threads, a line at the speed of the reference."""
    lanes, rivals = report.lanes(), report.runtimes[1:]
    rows = max(len(report.contests(threads)) for threads in lanes)
    figure = Figure(figsize=(2.6 + 3.2 * len(lanes), 1.2 + rows * BAR_INCHES * (len(rivals) + 0.7)), layout="constrained")
    axes = figure.subplots(1, len(lanes), sharey=True, squeeze=False)[0]
    for axis, threads in zip(axes, lanes, strict=True):
        _column(axis, report, threads, rivals)
    axes[0].legend(loc="upper right", fontsize="small")
    axes[0].invert_yaxis()
    figure.suptitle(f"Speed against {REFERENCE} (right of the line: faster)", fontsize="medium")
    # Two pictures of the same race are the same file.
    figure.savefig(path, format="svg", metadata={"Date": None})


def _column(axis: Any, report: "Report", threads: str, rivals: list[str]) -> None:
    from racing.report import label

    contests = report.contests(threads)
    height = 0.8 / len(rivals)
    for number, name in enumerate(rivals):
        speeds = [report.speed_up(contest, name) for contest in contests]
        places = [place + (number - (len(rivals) - 1) / 2) * height for place, speed in enumerate(speeds) if speed is not None]
        shown = [speed for speed in speeds if speed is not None]
        axis.barh(places, [speed - 1 for speed in shown], height, left=1, label=name, color=COLORS.get(name))
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xscale("log")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axis.set_yticks(range(len(contests)), [label(contest) for contest in contests], fontsize="x-small")
    axis.set_title(threads, fontsize="small")
    axis.grid(axis="x", linewidth=0.3)
