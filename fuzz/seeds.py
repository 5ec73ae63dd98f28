"""Write what fuzzing starts from: the small models of ONNX's backend suite, as they are and in the ORT format, and an adapter.

`python fuzz/seeds.py FOLDER`: FOLDER gets a folder for each fuzz target. It needs the packages onnx and ort_rs.
"""

import argparse
import hashlib
import pathlib
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

import ort_rs

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
#: Larger models are left out: libFuzzer would spend its time on their weights.
MOST = 8_000


def main() -> None:
    """Write the seeds."""
    parser = argparse.ArgumentParser(description="Write seeds for the fuzz targets.")
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    with np.errstate(all="ignore"):
        cases = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    for model in filter(lambda model: len(model) <= MOST, models(cases)):
        write(folder / "proto", model)
        # The first byte says how the session is set up: whether it optimizes, and how long open axes are.
        for first in (b"\x0a", b"\x0b"):
            write(folder / "session", first + model)
        if converted := ort_format(model, folder):
            write(folder / "ort", converted)
    adapter = ort_rs.AdapterFormat()
    adapter.set_parameters({"a": ort_rs.OrtValue.ortvalue_from_numpy(np.ones((2, 3), np.float32))})
    adapter.export_adapter(str(folder / "made"))
    write(folder / "adapter", (folder / "made").read_bytes())
    (folder / "made").unlink()


def models(cases: list[TestCase]) -> Iterator[bytes]:
    """The models of the cases; what is no float among their inputs, such as shapes and axes, as constants."""
    for case in cases:
        if case.model is None:
            yield (pathlib.Path(case.model_dir or "") / "model.onnx").read_bytes()
            continue
        model = onnx.ModelProto.FromString(case.model.SerializeToString())
        inputs = list(zip(model.graph.input, case.data_sets[0][0] if case.data_sets else [], strict=False))
        for info, value in inputs:
            if isinstance(value, np.ndarray) and value.dtype.kind in "iub" and value.size <= 64:
                model.graph.initializer.append(numpy_helper.from_array(value, info.name))
                model.graph.input.remove(info)
        yield model.SerializeToString()


def write(folder: pathlib.Path, data: bytes) -> None:
    """Add a seed to a folder, under the name that libFuzzer would give it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def ort_format(model: bytes, folder: pathlib.Path) -> bytes | None:
    """The model in the ORT format; None if it cannot be loaded or saved."""
    made = folder / "made.ort"
    options = ort_rs.SessionOptions()
    options.graph_optimization_level = ort_rs.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(made)
    try:
        ort_rs.InferenceSession(model, options)
        return made.read_bytes()
    except Exception:
        return None
    finally:
        made.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
