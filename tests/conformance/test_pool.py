"""One job that crashes or hangs leaves the others alone."""

import os
import signal
import time

import pool


def job(number: int) -> str | None:
    match number:
        case 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 5:
            time.sleep(60)
        case 7:
            os._exit(3)
    return f"odd {number}" if number % 2 else None


def test_every_job_gets_a_result() -> None:
    found = pool.run(range(12), job, workers=2, seconds=1.0)
    expected = {n: job(n) for n in range(12) if n not in (3, 5, 7)}
    expected |= {3: "the process died: SIGSEGV", 5: "it did not end in time", 7: "the process died: exit code 3"}
    assert found == expected


def test_no_jobs() -> None:
    assert pool.run([], job, workers=2, seconds=1.0) == {}
