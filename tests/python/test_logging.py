"""What is written about the work of sessions, and what is not."""

import re
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

import ort_rs
from models import model

BODY = model("g (float[2,n] x) => (float[2,n] z) { a = Identity(x) b = Relu(a) z = Add(b, b) }")
X = np.ones((2, 3), np.float32)
LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} "
    r"\[(?P<letter>[VIWEF]):(?P<name>\w+):(?P<id>[^,]*), (?P<from>\S+) (?P<what>[^\]]+)\] .+"
)
BOTH = [onnxruntime, ort_rs]


def lines(text: str) -> list[re.Match[str]]:
    """The lines of a log, without the colours that ONNX Runtime gives warnings."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    found = [LINE.fullmatch(line) for line in plain.splitlines() if line.strip()]
    assert all(found), plain
    return [match for match in found if match]


def session(ort: ModuleType, body: bytes = BODY, severity: int = -1, verbosity: int = 0, logid: str = "") -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = severity
    options.log_verbosity_level = verbosity
    options.logid = logid
    return ort.InferenceSession(body, options)


@pytest.mark.parametrize("ort", BOTH)
def test_nothing_by_default(ort: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    session(ort).run(None, {"x": X})
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")


@pytest.mark.parametrize(("severity", "letters"), [(0, {"V", "I"}), (1, {"I"}), (2, set()), (3, set()), (4, set())])
@pytest.mark.parametrize("ort", BOTH)
def test_severities(ort: ModuleType, severity: int, letters: set[str], capfd: pytest.CaptureFixture[str]) -> None:
    session(ort, severity=severity, logid="mine").run(None, {"x": X})
    told = capfd.readouterr()
    assert told.out == ""
    found = lines(told.err)
    assert {line["letter"] for line in found} == letters
    assert {line["id"] for line in found} <= {"mine"}


def test_what_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    s = session(ort_rs, severity=1)
    told = capfd.readouterr().err
    assert "The model has 3 nodes" in told
    assert "GraphTransformer identity modified: 1" in told
    assert "Nodes placed on [CPUExecutionProvider]: 2" in told
    assert re.search(r"Session successfully initialized in [\d.]+\w+", told)
    s.run(None, {"x": X})
    assert "The run took" in capfd.readouterr().err


def test_each_node_of_a_run(capfd: pytest.CaptureFixture[str]) -> None:
    s = session(ort_rs, severity=0, verbosity=1)
    capfd.readouterr()
    s.run(None, {"x": X})
    told = capfd.readouterr().err
    assert "Add-14 '' took" in told
    quiet = session(ort_rs, severity=0)
    capfd.readouterr()
    quiet.run(None, {"x": X})
    assert "Add" not in capfd.readouterr().err


def test_options_of_a_run(capfd: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime says at most what it runs, and only where the session logs at this severity too."""
    s = session(ort_rs, logid="mine")
    options = ort_rs.RunOptions()
    options.log_severity_level = 1
    options.logid = "this"
    s.run(None, {"x": X}, options)
    assert {line["id"] for line in lines(capfd.readouterr().err)} == {"mine:this"}
    options.log_severity_level = 2
    s.run(None, {"x": X}, options)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ort", BOTH)
def test_the_severity_of_the_process(ort: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        ort.set_default_logger_severity(1)
        session(ort)
        assert {line["letter"] for line in lines(capfd.readouterr().err)} == {"I"}
        session(ort, severity=2, logid="mine")
        assert "mine" not in capfd.readouterr().err
    finally:
        ort.set_default_logger_severity(2)


WARNED = [
    ("g (float[2,n] x) => (float[2,n] z) <float[2] w = {1, 2}> { z = Relu(x) }", "initializer 'w'"),
    ("g (float[2,n] x) => (float[2,5] z) { z = Relu(x) }", "Expected shape from model of"),
]


@pytest.mark.parametrize(("body", "text"), WARNED)
@pytest.mark.parametrize("ort", BOTH)
def test_warnings(ort: ModuleType, body: str, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    session(ort, model(body)).run(None, {"x": X})
    told = capfd.readouterr().err
    assert [line["letter"] for line in lines(told)] == ["W"]
    assert text.lower() in told.lower()
    session(ort, model(body), severity=3).run(None, {"x": X})
    assert capfd.readouterr().err == ""


def test_failures_are_raised_not_written(capfd: pytest.CaptureFixture[str]) -> None:
    s = session(ort_rs, model("g (float[2,n] x, int64[k] s) => (float[p,q] z) { z = Reshape(x, s) }"))
    with pytest.raises(ort_rs.capi.onnxruntime_pybind11_state.Fail):
        s.run(None, {"x": X, "s": np.array([5, 5])})
    assert capfd.readouterr().err == ""
