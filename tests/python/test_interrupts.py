"""Runs that end early: by their time limit, by Ctrl-C."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ort_rs
from models import ADD, model
from ort_rs.capi.onnxruntime_pybind11_state import Fail

LOOP = """g (int64 n, float[2] x) => (float[2] y) {
    c = Constant <value = bool {1}> ()
    y = Loop (n, c, x) <body = b (int64 i, bool ok, float[2] v) => (bool go, float[2] w) { go = Identity(ok) w = Neg(v) }>
}"""
X = np.ones(2, np.float32)
ENDLESS = {"n": np.array(2**62), "x": X}
SHORT = {"n": np.array(3), "x": X}


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Who starts the tests in the background lets them, and the processes that they start, ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def session() -> ort_rs.InferenceSession:
    return ort_rs.InferenceSession(model(LOOP))


def test_a_limit_ends_a_run(session: ort_rs.InferenceSession) -> None:
    with pytest.raises(ort_rs.RunTimeout, match="deadline"):
        session.run(None, ENDLESS, timeout=0.05)
    (y,) = session.run(None, SHORT, timeout=60)
    np.testing.assert_array_equal(y, -X)


def test_the_exception_is_of_both_kinds(session: ort_rs.InferenceSession) -> None:
    for kind in (TimeoutError, Fail):
        with pytest.raises(kind):
            session.run(None, ENDLESS, timeout=0)


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, None, 3])
def test_long_limits(session: ort_rs.InferenceSession, timeout: float | None) -> None:
    (y,) = session.run(None, SHORT, timeout=timeout)
    np.testing.assert_array_equal(y, -X)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_what_is_no_time(session: ort_rs.InferenceSession, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        session.run(None, SHORT, timeout=timeout)


def test_limits_of_other_runs(session: ort_rs.InferenceSession) -> None:
    values = {name: ort_rs.OrtValue.ortvalue_from_numpy(np.asarray(value)) for name, value in ENDLESS.items()}
    with pytest.raises(ort_rs.RunTimeout):
        session.run_with_ort_values(None, values, timeout=0.02)
    binding = session.io_binding()
    binding.bind_cpu_input("n", ENDLESS["n"])
    binding.bind_cpu_input("x", X)
    binding.bind_output("y")
    with pytest.raises(ort_rs.RunTimeout):
        session.run_with_iobinding(binding, timeout=0.02)
    binding.bind_cpu_input("n", SHORT["n"])
    session.run_with_iobinding(binding)
    np.testing.assert_array_equal(binding.copy_outputs_to_cpu()[0], -X)


def test_a_limit_goes_with_options(session: ort_rs.InferenceSession) -> None:
    options = ort_rs.RunOptions()
    with pytest.raises(ort_rs.RunTimeout):
        session.run(None, ENDLESS, options, timeout=0.02)
    assert not options.terminate
    options.terminate = True
    with pytest.raises(Fail, match="terminate flag") as caught:
        session.run(None, ENDLESS, options, timeout=60)
    assert not isinstance(caught.value, TimeoutError)


@pytest.fixture
def alarm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class Rang(BaseException):
    pass


@pytest.mark.usefixtures("alarm")
def test_handlers_run_while_a_model_runs(session: ort_rs.InferenceSession) -> None:
    rings = []

    def ring(*_: Any) -> None:
        rings.append(time.monotonic())
        if len(rings) == 3:
            raise Rang

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.03, 0.03)
    with pytest.raises(Rang):
        session.run(None, ENDLESS)
    assert len(rings) == 3
    (y,) = session.run(None, SHORT)
    np.testing.assert_array_equal(y, -X)


@pytest.mark.usefixtures("alarm")
def test_signals_wait_for_the_main_thread(session: ort_rs.InferenceSession) -> None:
    """A run in another thread goes on, and the main thread handles the signal."""
    options = ort_rs.RunOptions()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            session.run(None, ENDLESS, options)
        except Fail as e:
            ended.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    rung = threading.Event()
    signal.signal(signal.SIGALRM, lambda *_: rung.set())
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    assert rung.wait(20)
    assert thread.is_alive()
    options.terminate = True
    thread.join(20)
    assert "terminate flag" in str(ended[0])


PROGRAM = """
    import os, signal, sys, threading
    import numpy as np
    import ort_rs

    session = ort_rs.InferenceSession(sys.argv[1])
    feeds = {"n": np.array(2**62), "x": np.ones(2, np.float32)}
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        session.run(None, feeds)
    except KeyboardInterrupt:
        feeds["n"] = np.array(2)
        print("interrupted, then", session.run(None, feeds)[0].tolist())
"""


def test_ctrl_c(tmp_path: Any) -> None:
    path = tmp_path / "loop.onnx"
    path.write_bytes(model(LOOP))
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stdout == "interrupted, then [1.0, 1.0]\n", ran.stderr


def test_short_runs_leave_signals_alone() -> None:
    session = ort_rs.InferenceSession(ADD)
    x = np.ones((2, 3), np.float32)

    def runs() -> None:
        for _ in range(1000):
            session.run(None, {"x": x, "y": x})
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        runs()
    np.testing.assert_array_equal(session.run(None, {"x": x, "y": x})[0], x + x)
