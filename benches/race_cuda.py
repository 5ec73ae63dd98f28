"""Race ort_rs on a CUDA device against ONNX Runtime and PyTorch, where they are installed: `python benches/race_cuda.py`.

Inputs, weights and results stay on the device; a run has ended when it returns. Runtimes take turns, in several rounds; medians are told,
with the lowest and the highest. Products and models are told in operations per second, what memory bounds as a share of the speed of a
plain copy on the device. Each result is compared with that of the CPU by its relative L2 error. Where there is no device, that is said.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from racing import machine
from racing.cuda_runtimes import OWN_PRODUCTS, absent, copy_bandwidth, installed
from racing.cuda_works import Work, works
from racing.difference import difference


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="WORK", help="race works whose names begin so; without any, all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each runtime runs in each round")
    parser.add_argument("--small", action="store_true", help="sizes that show that the race works, not how fast anything is")
    return parser.parse_args()


def timed(run: Callable[[], object], seconds: float) -> float:
    """The seconds that a run takes, from as many as fit into `seconds`, at least two."""
    count, start = 0, time.perf_counter()
    while count < 2 or time.perf_counter() - start < seconds:
        run()
        count += 1
    return (time.perf_counter() - start) / count


def spread(times: list[float]) -> str:
    """The median in microseconds, with the lowest and the highest."""
    low, middle, high = (1e6 * t for t in (min(times), statistics.median(times), max(times)))
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def expected(work: Work) -> Any:
    """What the CPU makes of a work."""
    import ort_rs

    return ort_rs.InferenceSession(work.model, providers=["CPUExecutionProvider"]).run(None, {"x": work.x})[0]


def race(work: Work, wanted: argparse.Namespace, bandwidth: float) -> list[str]:
    """The rows of a work: one for each runtime."""
    reference = expected(work)
    ready: dict[str, Callable[[], object]] = {}
    errors: dict[str, float] = {}
    rows = []
    for name, make in installed().items():
        if name == OWN_PRODUCTS and not work.operations:
            continue
        try:
            run, result = make(work)
            timed(run, 0)
            errors[name] = difference(result(), reference)
            ready[name] = run
        except Exception as error:  # A runtime that fails has its error for a result.
            rows.append(f"| {work.name} | {name} | failed: {' '.join(str(error).split())[:200]} | | |")
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(wanted.rounds):
        for name, run in ready.items():
            times[name].append(timed(run, wanted.seconds))
    for name, taken in times.items():
        middle = statistics.median(taken)
        speed = f"{work.operations / middle / 1e12:.4g} TFLOP/s" if work.operations else f"{work.moved / middle / bandwidth:.0%} of a copy"
        rows.append(f"| {work.name} | {name} | {spread(taken)} | {speed} | {errors[name]:.1e} |")
    return rows


def main() -> int:
    """Race, and print a table."""
    wanted = arguments()
    if why := absent():
        print(f"There is no race: {why}")
        return 1
    run, moved = copy_bandwidth(1 << 12 if wanted.small else 1 << 28)
    bandwidth = moved / statistics.median(timed(run, wanted.seconds) for _ in range(wanted.rounds))
    versions = machine.versions(["ort-rs", "onnxruntime-gpu", "torch", "numpy"])
    print(", ".join(f"{name} {version}" for name, version in versions.items()) + f"; a copy on the device moves {bandwidth / 1e9:.4g} GB/s")
    print("\n| work | runtime | microseconds | speed | error |\n|---|---|---|---|---|")
    for work in works(wanted.small):
        if not wanted.names or any(work.name.startswith(name) for name in wanted.names):
            print("\n".join(race(work, wanted, bandwidth)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
