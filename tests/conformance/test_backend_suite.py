"""ONNX's own backend suite: every case passes, or is listed in `failing.txt`, which may only shrink."""

import pytest

import suite
from cases import all_cases

NAMES = [case.name for case in all_cases()]


@pytest.fixture(scope="session")
def found() -> dict[str, str | None]:
    return suite.results(all_cases())


@pytest.fixture(scope="session")
def known() -> set[str]:
    return suite.known_failures()


def test_list_names_cases(known: set[str]) -> None:
    assert known <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str, found: dict[str, str | None], known: set[str]) -> None:
    error = found[name]
    if name not in known:
        assert error is None, error
    else:
        assert error is not None, f"{name} passes: take it off failing.txt (python tests/conformance/update.py)"
        pytest.xfail(error)
