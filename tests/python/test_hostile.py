"""Models that nobody should trust fail; they never crash, and never hang."""

import subprocess
import sys
from pathlib import Path

import pytest

from racing.suite import DEFAULT_FOLDER, Suite

# In a process of its own: a crash is then a failing test, not the end of all tests.
MUTATE = """
import random, sys
import onnx, ort_rs
from models import ADD, model

BODIES = [
    ADD,
    model("g (float[2] x, float[2] w = {1, 2}) => (float[2] y) { y = Add(x, w) }"),
    model("g (float[n,4] x) => (float y) { s = Constant <value_ints = [-1, 2]> () r = Reshape(x, s) y = MatMul(x, r) }"),
    model(
        "g (float[2] x) => (float[2] y) { c = Constant <value = bool {1}> ()"
        "y = If (c) <then_branch = t () => (float[2] a) { a = Neg(x) }, else_branch = e () => (float[2] b) { b = Abs(x) }> }"
    ),
    model("g (seq(float[n]) s) => (seq(float[n]) t) { i = Constant <value_int = 0> () f = SequenceAt(s, i) t = SequenceInsert(s, f) }"),
]
draw = random.Random(int(sys.argv[1]))
kinds = set()
for _ in range(int(sys.argv[2])):
    body = bytearray(draw.choice(BODIES))
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(body))
        match draw.randrange(4):
            case 0: body[at] = draw.randrange(256)
            case 1: del body[at : at + draw.randint(1, 8)]
            case 2: body[at:at] = bytes(draw.randrange(256) for _ in range(draw.randint(1, 8)))
            case 3: body[at:at] = body[: draw.randrange(len(body))]
        if not body:
            break
    try:
        ort_rs.InferenceSession(bytes(body))
        kinds.add("loaded")
    except Exception as e:
        kinds.add(type(e).__name__)
# The mutations reach past the reader: some models are still good, some break in the graph.
assert {"loaded", "InvalidProtobuf", "InvalidGraph"} <= kinds, kinds
"""

RUN = """
import random, sys, threading
import ort_rs
from mutants import feed, models, suite

originals = [open(path, "rb").read() for path in sys.argv[3:]] or suite()
kinds = set()
draw = random.Random(int(sys.argv[1]))
for body in models(int(sys.argv[2]), int(sys.argv[1]), originals):
    options = ort_rs.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = draw.choice([1, 2])
    options.graph_optimization_level = draw.choice(
        [ort_rs.GraphOptimizationLevel.ORT_DISABLE_ALL, ort_rs.GraphOptimizationLevel.ORT_ENABLE_ALL]
    )
    run = ort_rs.RunOptions()
    # A loop may be endless: that is what the flag is for.
    watch = threading.Timer(5, lambda: setattr(run, "terminate", True))
    watch.start()
    try:
        session = ort_rs.InferenceSession(body, options)
        feeds = {i.name: feed(draw, i.type, i.shape) for i in session.get_inputs()}
        session.run(None, {name: value for name, value in feeds.items() if value is not None}, run)
        kinds.add("ran")
    except Exception as e:
        assert "panicked" not in str(e), e
        kinds.add(type(e).__name__)
    finally:
        watch.cancel()
assert {"ran", "InvalidProtobuf", "InvalidGraph"} <= kinds, kinds
"""

TRUNCATE = """
import ort_rs
from models import ADD

for end in range(len(ADD)):
    try:
        ort_rs.InferenceSession(ADD[:end])
    except Exception:
        continue
"""


def python(code: str, environment: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def test_mutated_models(pythonpath: dict[str, str]) -> None:
    python(MUTATE, pythonpath, "1", "5000")


def test_mutated_models_of_every_operator_run(pythonpath: dict[str, str]) -> None:
    python(RUN, pythonpath, "2", "500")


# Small ones of each kind: branches, loops, recurrence, sequences, signals, convolutions, trees, text.
WHOLE = [
    "cond_dynamo",
    "gaussian_process",
    "knn",
    "log_mel",
    "lstm_dynamo",
    "pipeline_onehot_logreg",
    "ragged_sequence",
    "svc_rbf",
    "tfidf_logreg",
    "video_r3d",
]


@pytest.mark.skipif(not DEFAULT_FOLDER.exists(), reason=f"the models are not there: {DEFAULT_FOLDER}")
def test_mutated_models_of_exporters_run(pythonpath: dict[str, str], tmp_path: Path) -> None:
    suite = Suite(DEFAULT_FOLDER)
    python(RUN, pythonpath, "3", "200", *(str(suite.materialize(name, tmp_path)) for name in WHOLE))


def test_truncated_models(pythonpath: dict[str, str]) -> None:
    python(TRUNCATE, pythonpath)
