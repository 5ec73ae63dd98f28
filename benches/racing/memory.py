"""The memory of another process."""

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

# Often enough to see a buffer that is there for some milliseconds; each look takes some tens of microseconds.
PERIOD = 0.001


@dataclass(frozen=True)
class Resident:
    """Bytes of a process that are in memory: its own (`anonymous`), and pages of files that it has mapped, its libraries among them."""

    anonymous: int
    file: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.anonymous + self.file

    def __sub__(self, other: "Resident") -> "Resident":
        return Resident(self.anonymous - other.anonymous, self.file - other.file)


def resident(process: int) -> Resident:
    """What `/proc/PROCESS/status` says now; `ProcessLookupError` if it has ended."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    if "RssAnon" not in fields:
        raise ProcessLookupError(process)
    kilobytes = {name: int(fields[name].split()[0]) for name in ("RssAnon", "RssFile")}
    return Resident(1024 * kilobytes["RssAnon"], 1024 * kilobytes["RssFile"])


class Watch:
    """Looks at the memory of a process, over and over, from a thread of this one, and keeps the largest it saw of each kind."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.before = resident(process)
        self._anonymous, self._file, self._total = self.before.anonymous, self.before.file, self.before.total

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end.set()
        self._thread.join()
        # What was over within a period leaves something, mostly.
        self._see()

    def _look(self) -> None:
        while not self._end.wait(PERIOD) and self._see():
            pass

    def _see(self) -> bool:
        """Look once; whether there is still something to look at."""
        try:
            now = resident(self._process)
        except (OSError, ValueError):
            return False
        self._anonymous = max(self._anonymous, now.anonymous)
        self._file = max(self._file, now.file)
        self._total = max(self._total, now.total)
        return True

    @property
    def peaks(self) -> dict[str, int]:
        """The largest of each kind, and of their sum, over what there was at the start."""
        return {
            "anonymous": self._anonymous - self.before.anonymous,
            "file": self._file - self.before.file,
            "total": self._total - self.before.total,
        }
