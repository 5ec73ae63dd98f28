"""What this machine and this installation have."""

import os
import subprocess
import sys

import numpy as np

import ort_rs


def test_sections_and_facts() -> None:
    found = ort_rs.doctor()
    assert list(found.sections) == ["ort_rs", "CPU", "Threads", "Memory", "Providers", "Environment variables", "Python"]
    assert found.sections["ort_rs"]["version"] == ort_rs.__version__
    assert found.sections["Python"]["numpy"].startswith(np.__version__)
    assert int(found.sections["Threads"]["of a session"]) >= 1
    text = str(found)
    assert all(title in text for title in found.sections)


def test_every_provider_is_there_or_has_a_cause() -> None:
    providers = ort_rs.doctor().sections["Providers"]
    missing = providers["not in this build"].split(", ")
    for name in ort_rs.get_all_providers():
        if name in ort_rs.get_available_providers():
            assert providers[name] == "available"
        else:
            assert name in missing or providers[name].startswith("not available: "), name


def test_settings_that_cannot_be_used_are_said() -> None:
    environment = {**os.environ, "ORT_RS_THREADS": "3", "ORT_RS_MMAP": "maybe"}
    command = [sys.executable, "-m", "ort_rs", "doctor"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert "! ORT_RS_MMAP=maybe is ignored" in told
    assert told.index("Python") > told.index("Environment variables")
    assert [line.split()[-1] for line in told.splitlines() if "of a session" in line] == ["3"]
