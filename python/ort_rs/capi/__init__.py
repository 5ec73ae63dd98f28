"""The modules under which ONNX Runtime keeps its native classes, for programs that import from there."""
