"""Small models, written as text."""

import onnx.parser


def model(body: str, opset: int = 20, ir: int = 9, header: str = "") -> bytes:
    """The bytes of a model whose graph is `body`, as `onnx.parser` reads it."""
    encoded: bytes = onnx.parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]{header}> {body}').SerializeToString()
    return encoded


ADD = model("g (float[2,3] x, float[2,n] y) => (float[2,3] z) { z = Add(x, y) }")


def identity(ty: str, opset: int = 20, ir: int = 10) -> bytes:
    """A model that gives what it is fed, of the type `ty`."""
    return model(f"g ({ty} x) => ({ty} y) {{ y = Identity(x) }}", opset, ir)
