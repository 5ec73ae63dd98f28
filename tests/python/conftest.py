"""What the tests of the package share."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def pythonpath() -> dict[str, str]:
    """The environment of a process that imports what these tests import."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
