"""The cases of ONNX's backend suite, and how one is run."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

import ort_rs.backend

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
# How far from zero a result may be that ought to be zero, as ONNX Runtime runs this suite: references are sums in other orders.
ATOL = 1e-5
# The suite's own runner grants two units in the last place to bfloat16; the other narrow type gets as much.
TWO_ULPS = {"float16": 2.0**-9}
# What these expect was drawn by another generator; only type and shape can be compared.
RANDOM = re.compile(r"test_(bernoulli|training_dropout(?!_zero_ratio))")


@dataclass(frozen=True)
class Case:
    """A model, what is fed to it, and what must come out."""

    name: str
    group: str
    source: TestCase


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every case of the suite, by kind and then by name."""
    with np.errstate(all="ignore"):
        return tuple(
            Case(source.name, _group(kind, source), source)
            for kind in KINDS
            for source in sorted(load_model_tests(kind=kind), key=lambda s: s.name)
        )


def _group(kind: str, source: TestCase) -> str:
    """The operator that a case is about; the kind where the model has many."""
    if kind != "node" or source.model is None:
        return kind
    if "_expanded" in source.name:
        return "(functions expanded)"
    return str(source.model.graph.node[0].op_type)


def run(case: Case, device: str = "CPU") -> None:
    """Run `case` on `device`, as ONNX's backends name it; an exception says what went wrong."""
    source = case.source
    model = source.model if source.model is not None else onnx.load(Path(source.model_dir or "") / "model.onnx")
    prepared = ort_rs.backend.prepare(model, device)
    for inputs, expected in _data_sets(source, model):
        _compare(expected, prepared.run(inputs), source)


def _compare(expected: Any, actual: Any, source: TestCase) -> None:
    """Compare as the suite's own runner does, which cannot look into a sequence of tensors without axes."""
    if isinstance(expected, list):
        assert isinstance(actual, list), f"a {type(actual).__name__} where a list is expected"
        assert len(actual) == len(expected), f"{len(actual)} values where {len(expected)} are expected"
        for wanted, got in zip(expected, actual, strict=True):
            _compare(wanted, got, source)
    elif RANDOM.match(source.name):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    else:
        rtol = max(source.rtol, TWO_ULPS.get(np.dtype(expected.dtype).name, 0.0))
        Runner.assert_similar_outputs([expected], [actual], rtol=rtol, atol=max(source.atol, ATOL), model_dir=source.name)


def _data_sets(source: TestCase, model: onnx.ModelProto) -> list[tuple[list[Any], list[Any]]]:
    if source.data_sets is not None:
        return [([_value(v) for v in inputs], [_value(v) for v in outputs]) for inputs, outputs in source.data_sets]
    folders = sorted(Path(source.model_dir or "").glob("test_data_set*"))
    return [(_read(folder, "input", model.graph.input), _read(folder, "output", model.graph.output)) for folder in folders]


def _value(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _read(folder: Path, kind: str, ports: Any) -> list[Any]:
    """Read the values of `folder` that are named `kind_0.pb` and so on, each as the model's port of that number says."""
    count = len(list(folder.glob(f"{kind}_*.pb")))
    return [_parse((folder / f"{kind}_{i}.pb").read_bytes(), ports[i].type) for i in range(count)]


def _parse(content: bytes, ty: onnx.TypeProto) -> Any:
    match ty.WhichOneof("value"):
        case "sequence_type":
            return numpy_helper.to_list(onnx.SequenceProto.FromString(content))
        case "optional_type":
            return numpy_helper.to_optional(onnx.OptionalProto.FromString(content))
        case _:
            return numpy_helper.to_array(onnx.TensorProto.FromString(content))
