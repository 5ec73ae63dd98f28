"""The program of a lane: one runtime and one model, in a process that does what lines on its standard input say.

It imports as little as it can, so that what it measures is the runtime. Each line is a JSON object with the name of a command and its
arguments; each answer is one too: what the command found, or an error.
"""

import json
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from racing import runtimes


class Worker:
    """What a process holds: a runtime, the inputs, and the opened model."""

    def __init__(self, runtime: str, feeds: Path) -> None:
        self._feeds = pickle.loads(feeds.read_bytes())
        self._runtime = runtimes.load(runtime)

    def open(self, path: str, threads: int) -> float:
        """Seconds that it takes to load the model."""
        start = time.perf_counter()
        self._runtime.open(Path(path), threads)
        return time.perf_counter() - start

    def first(self) -> float:
        """Seconds that the first run takes."""
        start = time.perf_counter()
        self._runtime.run(self._feeds)
        return time.perf_counter() - start

    def answer(self, path: str) -> None:
        """Write the outputs to the file `path`."""
        Path(path).write_bytes(pickle.dumps(self._runtime.answer(self._feeds)))

    def runs(self, seconds: float) -> list[float]:
        """Seconds of each run of a turn that ends after so many."""
        times: list[float] = []
        now = time.perf_counter()
        end = now + seconds
        while now < end:
            start = now
            self._runtime.run(self._feeds)
            now = time.perf_counter()
            times.append(now - start)
        return times


def _serve(answers: TextIO, runtime: str, feeds: str, processor: str) -> None:
    if processor:
        os.sched_setaffinity(0, {int(processor)})
    worker = _attempt(lambda: Worker(runtime, Path(feeds)))
    print(json.dumps({"error": worker["error"]} if "error" in worker else {"value": None}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        method = getattr(worker["value"], command.pop("do"))
        print(json.dumps(_attempt(lambda method=method, given=command: method(**given))), file=answers, flush=True)


def _attempt(call: Any) -> dict[str, Any]:
    """What `call` gives; whatever a runtime raises is its result."""
    try:
        return {"value": call()}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"}


if __name__ == "__main__":
    # What a runtime prints must not get among the answers.
    private = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _serve(private, *sys.argv[1:4])
