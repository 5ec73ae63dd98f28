"""Sessions in several processes: forked ones, spawned ones, pools."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ort_rs
from models import model

# Large enough for helper threads.
PRODUCT = model("g (float[n,256] x, float[256,256] w) => (float[n,256] y) { a = MatMul(x, w) b = Relu(a) y = MatMul(b, w) }")
X = np.random.default_rng(1).standard_normal((300, 256), np.float32)
W = np.random.default_rng(2).standard_normal((256, 256), np.float32)
FEEDS = {"x": X, "w": W}
STARTS = ["fork", "spawn", "forkserver"]


def run(session: ort_rs.InferenceSession) -> bytes:
    return session.run(None, FEEDS)[0].tobytes()  # type: ignore[no-any-return]


def run_in_background(session: ort_rs.InferenceSession) -> bytes:
    ended = threading.Event()
    results: list[Any] = []

    def end(values: list[Any], _: object, __: str) -> None:
        results.extend(values)
        ended.set()

    session.run_async(None, FEEDS, end, None)
    assert ended.wait(60)
    return results[0].tobytes()  # type: ignore[no-any-return]


def forked(work: Callable[[], bool]) -> bool:
    """Whether a child made by `os.fork` does `work` in time, and says that it went well."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def session() -> ort_rs.InferenceSession:
    options = ort_rs.SessionOptions()
    options.intra_op_num_threads = 2
    return ort_rs.InferenceSession(PRODUCT, options)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("before", [False, True], ids=["new", "used"])
def test_a_session_survives_a_fork(session: ort_rs.InferenceSession, before: bool) -> None:
    expected = run(session) if before else run(ort_rs.InferenceSession(PRODUCT))
    assert forked(lambda: run(session) == expected and run(session) == expected)
    assert run(session) == expected
    assert forked(lambda: forked(lambda: run(session) == expected) and run(session) == expected)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_runs_in_the_background_survive_a_fork(session: ort_rs.InferenceSession) -> None:
    expected = run_in_background(session)
    assert forked(lambda: run_in_background(session) == expected)
    assert run_in_background(session) == expected


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_others_run(session: ort_rs.InferenceSession) -> None:
    expected = run(session)
    end = threading.Event()

    def work() -> None:
        while not end.is_set():
            run(session)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(forked(lambda: run(ort_rs.InferenceSession(PRODUCT)) == expected) for _ in range(3))
    finally:
        end.set()
        for thread in threads:
            thread.join()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("start", STARTS)
def test_a_session_goes_to_a_process(session: ort_rs.InferenceSession, start: str) -> None:
    expected = run(session)
    with multiprocessing.get_context(start).Pool(2) as pool:
        assert pool.map(run, [session] * 4) == [expected] * 4
    assert run(session) == expected


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("start", STARTS)
def test_a_session_goes_to_a_pool_of_futures(session: ort_rs.InferenceSession, start: str) -> None:
    context = multiprocessing.get_context(start)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(run, session).result(timeout=120) == run(session)
