"""Race ort_rs against ONNX Runtime and OpenVINO on the same model files and inputs: `python benches/race.py`.

Each runtime is in a process of its own; they take turns, in several rounds. Once on one thread pinned to one processor, and once on all.
Measured are the time of a run, of session creation and of the first run; the peak of anonymous and of file-backed memory, sampled a
thousand times a second from `/proc/PID/status` over creation and two runs, less what the process held after the import; and the relative
L2 error against ONNX Runtime. A runtime that fails, crashes or hangs has its error for a result.
"""

import argparse
import json
import pickle
import platform
import shlex
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from racing import machine, runtimes
from racing.contest import Conditions, Contest
from racing.report import Report, write_between_markers
from racing.suite import DEFAULT_FOLDER, Entry, Suite

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "race.svg"
PACKAGES = {"onnxruntime": "onnxruntime", "ort_rs": "ort-rs", "openvino": "openvino", "numpy": "numpy"}


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="MODEL", help="race these models; without any, all that the stages and families leave")
    parser.add_argument("--models", type=Path, default=DEFAULT_FOLDER, help="folder with suite.json, skel/ and materialize.py")
    parser.add_argument("--cache", type=Path, help="folder that keeps the models that were made; without it they are made anew and vanish")
    parser.add_argument(
        "--stage", action="append", default=[], help="race models of this stage (foundation if no model or family is named)"
    )
    parser.add_argument("--family", action="append", default=[], help="race models of this family")
    parser.add_argument(
        "--runtime", action="append", choices=runtimes.installed(), help="race this runtime; without any, all that are installed"
    )
    parser.add_argument("--threads", action="append", choices=("1", "all"), help="race on so many; else on both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each runtime runs in each round")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds after which a load or a run is taken to hang")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--from-json", type=Path, help="race not at all; show what this file has")
    parser.add_argument("--plot", type=Path, help="draw the speeds into this SVG file; needs matplotlib")
    parser.add_argument("--document", action="store_true", help="write the tables into docs/performance.md, and the plot beside it")
    return parser.parse_args()


def raced(wanted: argparse.Namespace) -> dict[str, Any]:
    """Hold all contests, and give what they found as it is stored."""
    suite = Suite(wanted.models)
    stages = wanted.stage or ([] if wanted.names or wanted.family else ["foundation"])
    names = wanted.runtime or runtimes.installed()
    contests: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for entry in suite.chosen(stages, wanted.family, wanted.names):
            path = suite.materialize(entry.name, wanted.cache or Path(scratch))
            contests += contests_of(entry, suite, path, names, wanted, Path(scratch))
            if not wanted.cache:
                path.unlink()
    return {
        "command": shlex.join(["python", "benches/race.py", *sys.argv[1:]]),
        "machine": {
            "cpu": machine.cpu(),
            "cores": len(machine.cores()),
            "system": f"{platform.system()} {platform.release()}",
            "versions": machine.versions([PACKAGES[name] for name in [*names, "numpy"]]),
        },
        "settings": {"rounds": wanted.rounds, "seconds": wanted.seconds},
        "runtimes": names,
        "contests": contests,
    }


def contests_of(
    entry: Entry, suite: Suite, path: Path, names: list[str], wanted: argparse.Namespace, scratch: Path
) -> list[dict[str, Any]]:
    """The contests of one model: each of its sets of inputs, on each number of threads."""
    found = []
    feeds = scratch / "feeds"
    for variant in entry.variants:
        feeds.write_bytes(pickle.dumps(suite.inputs(entry.name, variant)))
        for threads in wanted.threads or ("1", "all"):
            processors = machine.cores()
            label = "1 pinned thread" if threads == "1" else f"all {len(processors)} cores"
            number, processor = (1, processors[-1]) if threads == "1" else (len(processors), None)
            conditions = Conditions(number, processor, wanted.rounds, wanted.seconds, wanted.patience)
            results = Contest(names, path, feeds, conditions).held()
            contest = {"model": entry.name, "variant": variant, "family": entry.family, "stage": entry.stage, "threads": label}
            found.append(contest | {"results": {name: asdict(result) for name, result in results.items()}})
            print(progress(found[-1]), file=sys.stderr, flush=True)
    return found


def progress(contest: dict[str, Any]) -> str:
    """One line that says how a contest went."""
    cells = [
        f"{name}: {result['error'].splitlines()[0][:60]}" if result["error"] else f"{name} {1e3 * result['run']['median']:.3f} ms"
        for name, result in contest["results"].items()
    ]
    return f"{contest['model']} {contest['variant'] or ''} ({contest['threads']}): {', '.join(cells)}"


def main() -> None:
    """Race, or read what a race found, and show it."""
    wanted = arguments()
    found = json.loads(wanted.from_json.read_text()) if wanted.from_json else raced(wanted)
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=1) + "\n")
    report = Report(found)
    print(report.markdown())
    if wanted.plot:
        report.plot(wanted.plot)
    if wanted.document:
        report.plot(PLOT)
        write_between_markers(DOCUMENT, "race", f"![Speed against ONNX Runtime]({PLOT.name})\n\n{report.markdown()}")


if __name__ == "__main__":
    main()
