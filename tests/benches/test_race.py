"""The race: what it compares, and that a runtime that fails costs only its own cell."""

import contextlib
import os
import pickle
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest

from racing import machine
from racing.contest import Conditions, Contest, Result
from racing.difference import DifferentKindError, difference
from racing.lane import Lane, LaneError
from racing.memory import Watch, resident
from racing.report import Report, write_between_markers

MODEL = """<ir_version: 9, opset_import: ["" : 20]>
g (float[n,64] x) => (float[n,64] y) { a = Sigmoid(x) y = Add(a, x) }"""
CONDITIONS = Conditions(threads=1, processor=machine.cores()[-1], rounds=2, seconds=0.02, patience=60)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), path)
    return path


@pytest.fixture
def feeds(tmp_path: Path) -> Path:
    path = tmp_path / "feeds"
    path.write_bytes(pickle.dumps({"x": np.ones((4, 64), np.float32)}))
    return path


@pytest.fixture
def lane(feeds: Path) -> Iterator[Lane]:
    with contextlib.closing(Lane("ort_rs", feeds, None, patience=60)) as lane:
        yield lane


def test_difference_is_relative() -> None:
    one = np.array([3.0, 4.0], np.float32)
    assert difference(one, one) == 0
    assert difference(np.array([3.0, 4.5], np.float32), one) == pytest.approx(0.1)
    assert difference([one, 2 * one], [one, one]) == pytest.approx(1)
    assert difference(np.zeros(0, np.float32), np.zeros(0, np.float32)) == 0
    assert difference(np.array([1e-9], np.float32), np.zeros(1, np.float32)) == np.inf


def test_what_is_no_number_must_agree() -> None:
    odd = np.array([1, np.nan, np.inf], np.float32)
    assert difference(odd, odd) == 0
    assert difference(np.array([1, np.nan, -np.inf], np.float32), odd) == np.inf
    assert difference(np.array([np.nan, np.nan, np.inf], np.float32), odd) == np.inf
    assert difference(np.array(["a"], object), np.array(["b"], object)) == np.inf


@pytest.mark.parametrize("other", [np.ones(3, np.float32), np.ones(2, np.float64), [np.ones(2, np.float32)]], ids=["shape", "type", "list"])
def test_other_kinds_are_told(other: object) -> None:
    with pytest.raises(DifferentKindError, match="is expected"):
        difference(other, np.ones(2, np.float32))


def test_contest(model: Path, feeds: Path) -> None:
    results = Contest(["onnxruntime", "ort_rs"], model, feeds, CONDITIONS).held()
    for result in results.values():
        assert result.error is None
        assert result.run is not None
        assert 0 < result.run.low <= result.run.median <= result.run.high
        assert result.memory is not None
        # The system counts pages by the dozen: a small model may need none.
        assert result.memory["total"] >= 0
        assert isinstance(result.difference, float)
        assert result.difference < 1e-6


def test_one_failure_costs_one_cell(model: Path, feeds: Path, tmp_path: Path) -> None:
    feeds.write_bytes(pickle.dumps({"x": np.ones((4, 3), np.float32)}))
    failed = Contest(["ort_rs"], model, feeds, CONDITIONS).held()
    assert "INVALID_ARGUMENT" in (failed["ort_rs"].error or "")
    missing = Contest(["onnxruntime", "ort_rs"], tmp_path / "none.onnx", feeds, CONDITIONS).held()
    assert all("NoSuchFile" in (result.error or "") for result in missing.values())


def test_a_crash_is_an_error(lane: Lane) -> None:
    os.kill(lane.process, signal.SIGKILL)
    with pytest.raises(LaneError, match="the process ended with -9"):
        lane.do("first")


def test_a_hang_is_an_error(lane: Lane) -> None:
    os.kill(lane.process, signal.SIGSTOP)
    lane._patience = 0.1
    with pytest.raises(LaneError, match="no answer within"):
        lane.do("first")


def test_memory_of_a_process(lane: Lane) -> None:
    now = resident(lane.process)
    assert now.total == now.anonymous + now.file > 1 << 20
    with Watch(os.getpid()) as watch:
        held = np.ones(32 << 20, np.uint8)
        # The look at memory happens in another thread.
        while watch.peaks["anonymous"] < held.nbytes // 2:
            pass
    assert watch.peaks["total"] >= held.nbytes // 2


def test_report() -> None:
    fine: dict[str, Any] = {key: {"median": 0.5, "low": 0.25, "high": 1.0} for key in ("open", "first", "run")}
    fine |= {"error": None, "memory": {"anonymous": 1 << 20, "file": 2 << 20, "total": 3 << 20}, "difference": 0.0}
    half = fine | {"run": {"median": 0.25, "low": 0.2, "high": 0.3}}
    failed = asdict(Result(error="Fail: a | b"))
    contests = [
        {"model": name, "variant": None, "threads": "1 pinned thread", "results": {"onnxruntime": fine, "ort_rs": ours}}
        for name, ours in (("fast", half), ("broken", failed))
    ]
    found = {
        "command": "python benches/race.py",
        "machine": {"cpu": "CPU", "cores": 2, "system": "Linux", "versions": {}},
        "settings": {"rounds": 1, "seconds": 1.0},
        "runtimes": ["ort_rs", "onnxruntime"],
        "contests": contests,
    }
    text = Report(found).markdown()
    assert "| fast | 500 (250 to 1000) | 250 (200 to 300) | 2.00 | 0.0e+00 |" in text
    assert "| broken | 500 (250 to 1000) | failed: Fail: a \\| b |  |  |" in text
    assert "| geometric mean |  |  | 2.00 |  |" in text


def test_sections_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("a\n<!-- race:begin -->\nold\n<!-- race:end -->\nb\n")
    write_between_markers(path, "race", "new")
    write_between_markers(path, "race", "newer")
    assert path.read_text() == "a\n<!-- race:begin -->\nnewer\n<!-- race:end -->\nb\n"
    with pytest.raises(ValueError, match="no <!-- other:begin -->"):
        write_between_markers(path, "other", "text")
