"""One session, many threads."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import ort_rs
from models import ADD, model
from ort_rs.capi.onnxruntime_pybind11_state import Fail

SIZES = model("g (float[n,m] x, float[m,k] w) => (float[n,k] y, float[n,k] z) { y = MatMul(x, w) a = Relu(y) z = Add(a, y) }")
ENDLESS = model(
    """g (int64 n, float[2] x) => (float[2] y) {
        c = Constant <value = bool {1}> ()
        y = Loop (n, c, x) <body = b (int64 i, bool ok, float[2] v) => (bool go, float[2] w) { go = Identity(ok) w = Neg(v) }>
    }"""
)


def test_eight_threads_on_one_session() -> None:
    session = ort_rs.InferenceSession(SIZES)
    start = threading.Barrier(8)

    def work(seed: int) -> None:
        draw = np.random.default_rng(seed)
        start.wait()
        for _ in range(50):
            n, m, k = draw.integers(1, 40, 3)
            x, w = draw.standard_normal((n, m), np.float32), draw.standard_normal((m, k), np.float32)
            y, z = session.run(None, {"x": x, "w": w}, ort_rs.RunOptions())
            np.testing.assert_allclose(y, x @ w, rtol=1e-3, atol=1e-4)
            np.testing.assert_array_equal(z, np.maximum(y, 0) + y)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_fetches_from_many_threads() -> None:
    session = ort_rs.InferenceSession(SIZES)
    x, w = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    with ThreadPoolExecutor(8) as pool:
        names = [["a"], ["y"], ["z"], ["z", "a"], ["y", "z"]] * 20
        for wanted, got in zip(names, pool.map(lambda n: session.run(n, {"x": x, "w": w}), names), strict=True):
            assert len(got) == len(wanted)
            for name, value in zip(wanted, got, strict=True):
                np.testing.assert_array_equal(value, np.full((2, 4), 6 if name == "z" else 3))


def test_the_interpreter_runs_on_while_a_model_runs() -> None:
    session = ort_rs.InferenceSession(ENDLESS)
    options = ort_rs.RunOptions()
    seen: list[BaseException] = []

    def run() -> None:
        try:
            session.run(None, {"n": np.array(2**62), "x": np.ones(2, np.float32)}, options)
        except Fail as e:
            seen.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    options.terminate = True
    thread.join(20)
    assert not thread.is_alive()
    assert "terminate flag" in str(seen[0])


def test_sessions_are_made_in_many_threads() -> None:
    x = np.ones((2, 3), np.float32)
    with ThreadPoolExecutor(8) as pool:
        for (z,) in pool.map(lambda _: ort_rs.InferenceSession(ADD).run(None, {"x": x, "y": x}), range(64)):
            np.testing.assert_array_equal(z, x + x)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_bits_for_any_number_of_threads(threads: int) -> None:
    draw = np.random.default_rng(7)
    x, w = draw.standard_normal((65, 130), np.float32), draw.standard_normal((130, 77), np.float32)
    options = ort_rs.SessionOptions()
    options.intra_op_num_threads = threads
    (y, _) = ort_rs.InferenceSession(SIZES, options).run(None, {"x": x, "w": w})
    (expected, _) = ort_rs.InferenceSession(SIZES).run(None, {"x": x, "w": w})
    assert y.tobytes() == expected.tobytes()
