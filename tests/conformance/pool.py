"""Runs jobs in a few processes of their own, so that one that hangs or crashes costs only itself."""

import faulthandler
import multiprocessing as mp
import os
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess

# Children inherit the jobs as they are in memory.
_FORK = mp.get_context("fork")


class _Worker:
    """A process that takes the numbers of jobs and gives back what they say."""

    def __init__(self, job: Callable[[int], str | None]) -> None:
        self.pipe, theirs = _FORK.Pipe()
        self.process: ForkProcess = _FORK.Process(target=_serve, args=(theirs, job), daemon=True)
        self.process.start()
        theirs.close()
        self.job: int | None = None
        self.deadline = 0.0

    def start(self, job: int, seconds: float) -> None:
        self.job = job
        self.deadline = time.monotonic() + seconds
        self.pipe.send(job)

    def stop(self) -> int | None:
        """End the process, whatever it does, and give its exit code."""
        self.pipe.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        return self.process.exitcode


def _serve(pipe: Connection, job: Callable[[int], str | None]) -> None:
    # What a crashing case prints belongs to its result, not to the terminal.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    faulthandler.disable()
    warnings.simplefilter("ignore")
    try:
        while True:
            pipe.send(job(pipe.recv()))
    except EOFError:
        return


def run(jobs: Sequence[int], job: Callable[[int], str | None], workers: int, seconds: float) -> dict[int, str | None]:
    """Call `job` for each of `jobs`, each within `seconds`, and give what each said: what went wrong, or nothing."""
    results: dict[int, str | None] = {}
    waiting = list(reversed(jobs))
    running = [_Worker(job) for _ in range(min(workers, len(jobs)))]
    try:
        for worker in running:
            worker.start(waiting.pop(), seconds)
        while running:
            _collect(running, results, job)
            for worker in [w for w in running if w.job is None]:
                if waiting:
                    worker.start(waiting.pop(), seconds)
                else:
                    worker.stop()
                    running.remove(worker)
    finally:
        for worker in running:
            worker.stop()
    return results


def _collect(running: list[_Worker], results: dict[int, str | None], job: Callable[[int], str | None]) -> None:
    """Wait until some worker has said something, died, or overstayed; replace those that cannot go on."""
    patience = min(w.deadline for w in running) - time.monotonic()
    ready = wait([w.pipe for w in running], timeout=max(patience, 0))
    for i, worker in enumerate(running):
        number = worker.job
        if number is None or (worker.pipe not in ready and worker.deadline > time.monotonic()):
            continue
        if worker.pipe not in ready:
            worker.stop()
            results[number] = "it did not end in time"
            running[i] = _Worker(job)
            continue
        try:
            results[number] = worker.pipe.recv()
            worker.job = None
        except EOFError:
            # The pipe closes a moment before the process is gone, and its exit code there.
            worker.process.join(1)
            results[number] = f"the process died: {_cause(worker.stop())}"
            running[i] = _Worker(job)


def _cause(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
