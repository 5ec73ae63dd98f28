"""A runtime in a process of its own, as the one who times it sees it."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_WORKER_PATH = str(Path(__file__).resolve().parents[1])


class LaneError(Exception):
    """A runtime that could not do what it was told, or ended, or took too long."""


class Lane:
    """A process that holds one runtime and one set of inputs; closing it ends the process."""

    def __init__(self, runtime: str, feeds: Path, processor: int | None, patience: float) -> None:
        """Start the process and import the runtime there, pinned to one processor if one is given."""
        self._patience = patience
        # A file, since nobody reads a pipe while a runtime fills it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "racing.worker", runtime, str(feeds), "" if processor is None else str(processor)]
        path = os.pathsep.join(filter(None, [_WORKER_PATH, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env={**os.environ, "PYTHONPATH": path}
        )
        try:
            self._answer()
        except LaneError:
            self.close()
            raise

    @property
    def process(self) -> int:
        """The id of the process."""
        return self._process.pid

    def do(self, command: str, **arguments: Any) -> Any:
        """Let the worker call its method `command`, and give what that gives."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise LaneError(self._cause_of_death()) from None
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], self._patience)
        if not ready:
            raise LaneError(f"no answer within {self._patience:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise LaneError(self._cause_of_death())
        answer = json.loads(line)
        if "error" in answer:
            raise LaneError(answer["error"])
        return answer["value"]

    def _cause_of_death(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"the process ended with {code}" + (f": {said[-1]}" if said else "")

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                # A process that ended on its own has left unread what it was sent last.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()
        self._errors.close()
