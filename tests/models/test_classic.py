"""The classic convolutional networks that come with the onnx package: as they are, and with weights that tell classes apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx.backend.test.loader
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.runner import Runner

import ort_rs
from agreement import LEVELS, answers, assert_agreement, reference
from weights import draw_weights

CASES = {case.model_name: case for case in onnx.backend.test.loader.load_model_tests(kind="real")}


class Network(NamedTuple):
    """A model file, what is fed to it, and what ONNX Runtime answers."""

    path: Path
    feed: dict[str, Any]
    expected: list[Any]


def stored(case: TestCase) -> Path:
    """The file of a case, whose address is a path that starts with the name of the package."""
    return Path(onnx.__file__).parents[1] / str(case.url)


def image_port(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in graph.initializer}
    ports: list[onnx.ValueInfoProto] = [port for port in graph.input if port.name not in constants]
    (port,) = ports
    return port


# The tests of one network are run one after the other, and its file, up to 550 MB, is there only while they are.
@pytest.fixture(scope="module", params=sorted(CASES))
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    model = onnx.load(stored(CASES[request.param]))
    draw_weights(model)
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    onnx.save(model, path)
    port = image_port(model.graph)
    shape = [dim.dim_value for dim in port.type.tensor_type.shape.dim]
    feed = {port.name: np.random.default_rng(0).standard_normal(shape, np.float32)}
    yield Network(path, feed, reference(path, [feed])[0])
    path.unlink()


def test_the_package_has_networks() -> None:
    assert len(CASES) >= 9


def test_classes_differ(network: Network) -> None:
    (scores,) = network.expected
    assert np.isfinite(scores).all()
    assert scores.std() > 0.01 * np.abs(scores).mean()


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_agrees(network: Network, level: ort_rs.GraphOptimizationLevel) -> None:
    assert_agreement(network.path, [network.feed], [network.expected], level, [network.path.parent.name])


@pytest.mark.parametrize("name", sorted(CASES))
def test_as_stored(name: str) -> None:
    """The weights are made by nodes, and the answer is stored beside the model."""
    case = CASES[name]
    path = stored(case)
    port = image_port(onnx.load(path).graph)
    files = sorted(path.parent.glob(f"{path.stem}_output_*.pb"))
    expected = [numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes())) for file in files]
    feed = {port.name: Runner.generate_dummy_data(port)}
    (got,) = answers(path, [feed], ort_rs.GraphOptimizationLevel.ORT_ENABLE_ALL, threads=1)
    Runner.assert_similar_outputs(expected, got, rtol=case.rtol, atol=case.atol)
