"""Threads that sessions share, or have of their own."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np, onnx.parser
import {ort} as ort

text = '<ir_version: 9, opset_import: ["" : 20]> g (float[n] x) => (float[n] y) {{ y = Neg(x) }}'
body = onnx.parser.parse_model(text).SerializeToString()

def attempt(call):
    try:
        return call() or "fine"
    except Exception as e:
        return type(e).__name__

def session(per_session, threads=0):
    options = ort.SessionOptions()
    options.use_per_session_threads = per_session
    options.intra_op_num_threads = threads
    ort.InferenceSession(body, options).run(None, {{"x": np.ones(3, np.float32)}})

print("end", attempt(lambda: session(True)), attempt(lambda: session(False)))
print("end", attempt(lambda: ort.set_global_thread_pool_sizes({sizes})))
print("end", attempt(lambda: session(False)), attempt(lambda: session(False, 3)), attempt(lambda: session(True)))
print("end", attempt(lambda: ort.set_global_thread_pool_sizes(1, 1)))
"""


@pytest.mark.parametrize("sizes", ["", "2, 1", "0, 0", "1"])
def test_both_end_alike(sizes: str) -> None:
    def ends(ort: str) -> list[str]:
        program = PROGRAM.format(ort=ort, sizes=sizes)
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        # ONNX Runtime prints more, such as that it tries again.
        return [line for line in told.splitlines() if line.startswith("end")]

    assert ends("ort_rs") == ends("onnxruntime")


COUNT = """
import numpy as np, onnx.parser
import ort_rs
body = onnx.parser.parse_model(
    '<ir_version: 9, opset_import: ["" : 20]> g (float[n,512] x, float[512,512] w) => (float[n,512] y) { y = MatMul(x, w) }'
).SerializeToString()
ort_rs.set_global_thread_pool_sizes(1, 1)
options = ort_rs.SessionOptions()
options.use_per_session_threads = False
options.intra_op_num_threads = 2
session = ort_rs.InferenceSession(body, options)
session.run(None, {"x": np.ones((512, 512), np.float32), "w": np.ones((512, 512), np.float32)})
print(ort_rs.doctor().sections["Threads"]["helpers started"].split(",")[0])
"""


def test_shared_sizes_count_not_those_of_a_session() -> None:
    told = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "0"
