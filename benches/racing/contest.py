"""One model and one set of inputs, on one number of threads: each runtime takes its turns."""

import contextlib
import pickle
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from racing.difference import DifferentKindError, difference
from racing.lane import Lane, LaneError
from racing.memory import Watch
from racing.runtimes import REFERENCE

TURNS = 4
# Threads that spin after a run have gone to sleep by then.
PAUSE = 0.02


@dataclass(frozen=True)
class Conditions:
    """How a contest is held: seconds are those that each runtime runs in each round."""

    threads: int
    processor: int | None
    rounds: int
    seconds: float
    patience: float


@dataclass(frozen=True)
class Measure:
    """The median of the rounds, and the range that they span."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Measure":
        """Sum up the values of the rounds."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass
class Result:
    """What one runtime did: seconds, bytes, and the relative L2 error against the reference; or why it could not."""

    error: str | None = None
    open: Measure | None = None
    first: Measure | None = None
    run: Measure | None = None
    memory: dict[str, int] | None = None
    difference: float | str | None = None


@dataclass
class _Times:
    open: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    run: list[float] = field(default_factory=list)


class Contest:
    """The runtimes `names` on the model in the file `path`, each fed what is pickled in the file `feeds`."""

    def __init__(self, names: list[str], path: Path, feeds: Path, conditions: Conditions) -> None:
        self._path = path
        self._feeds = feeds
        self._conditions = conditions
        self._results = {name: Result() for name in names}
        self._times = {name: _Times() for name in names}

    def held(self) -> dict[str, Result]:
        """Hold the contest: first memory and answers, then the rounds."""
        answers = {name: self._tried(name, self._memory_and_answer) for name in self._results}
        for name, answer in answers.items():
            if answer is not None and answers.get(REFERENCE) is not None:
                self._results[name].difference = _compared(answer, answers[REFERENCE])
        for number in range(self._conditions.rounds):
            self._round(number)
        for name, times in self._times.items():
            result = self._results[name]
            if result.error is None and times.run:
                result.open, result.first, result.run = (Measure.of(values) for values in (times.open, times.first, times.run))
        return self._results

    def _memory_and_answer(self, name: str) -> Any:
        """The outputs of a runtime; what memory it took until then is noted."""
        with contextlib.closing(self._lane(name)) as lane:
            with Watch(lane.process) as watch:
                self._open(lane)
                lane.do("first")
                lane.do("first")
            self._results[name].memory = watch.peaks
            answer = self._feeds.with_suffix(".answer")
            lane.do("answer", path=str(answer))
            return pickle.loads(answer.read_bytes())

    def _round(self, number: int) -> None:
        """Each runtime opens the model in a new process, in another order each time; then they run by turns."""
        names = [name for name, result in self._results.items() if result.error is None]
        names = names[number % len(names) :] + names[: number % len(names)] if names else []
        with contextlib.ExitStack() as stack:
            lanes = {name: self._tried(name, lambda n: stack.enter_context(contextlib.closing(self._opened(n)))) for name in names}
            runs: dict[str, list[float]] = {name: [] for name, lane in lanes.items() if lane is not None}
            for _ in range(TURNS):
                for name in list(runs):
                    time.sleep(PAUSE)
                    turn = self._tried(name, lambda n: lanes[n].do("runs", seconds=self._conditions.seconds / TURNS))
                    if turn is None:
                        del runs[name]
                    else:
                        runs[name] += turn
        for name, times in runs.items():
            self._times[name].run.append(statistics.median(times))

    def _opened(self, name: str) -> Lane:
        """A lane that has opened the model and run it once."""
        lane = self._lane(name)
        try:
            opened = self._open(lane)
            first = lane.do("first")
        except LaneError:
            lane.close()
            raise
        self._times[name].open.append(opened)
        self._times[name].first.append(first)
        return lane

    def _lane(self, name: str) -> Lane:
        return Lane(name, self._feeds, self._conditions.processor, self._conditions.patience)

    def _open(self, lane: Lane) -> float:
        seconds: float = lane.do("open", path=str(self._path), threads=self._conditions.threads)
        return seconds

    def _tried(self, name: str, call: Any) -> Any:
        """What `call` gives for `name`; a runtime that fails is out, and its error is its result."""
        try:
            return call(name)
        except LaneError as e:
            self._results[name].error = str(e)
            return None


def _compared(answer: list[Any], expected: list[Any]) -> float | str:
    try:
        return difference(answer, expected)
    except DifferentKindError as e:
        return str(e)
