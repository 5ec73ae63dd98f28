"""Models as exporters write them, in full size: every optimization level agrees with ONNX Runtime."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import ort_rs
from agreement import LEVELS, assert_agreement, reference
from racing.suite import DEFAULT_FOLDER, Suite

SUITE = Suite(DEFAULT_FOLDER) if DEFAULT_FOLDER.exists() else None
NAMES = [entry.name for entry in SUITE.chosen(stages=["foundation"])] if SUITE else []

needs_suite = pytest.mark.skipif(SUITE is None, reason=f"the models are not there: {DEFAULT_FOLDER}")


class Model(NamedTuple):
    """A model file, all that is fed to it, and what ONNX Runtime answers to each."""

    path: Path
    labels: list[str]
    feeds: list[dict[str, Any]]
    expected: list[list[Any]]


# Tests of one model are run one after the other, and its file, up to 650 MB, is there only while they are.
@pytest.fixture(scope="module", params=NAMES)
def foundation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    assert SUITE is not None
    name = request.param
    path = SUITE.materialize(name, tmp_path_factory.mktemp(name))
    variants = SUITE.entries[name].variants
    feeds = [SUITE.inputs(name, variant) for variant in variants]
    yield Model(path, [variant or name for variant in variants], feeds, reference(path, feeds))
    for part in path.parent.iterdir():
        part.unlink()


@needs_suite
def test_the_suite_has_models() -> None:
    assert len(NAMES) >= 21


@needs_suite
@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_agrees(foundation: Model, level: ort_rs.GraphOptimizationLevel) -> None:
    assert_agreement(foundation.path, foundation.feeds, foundation.expected, level, foundation.labels)
