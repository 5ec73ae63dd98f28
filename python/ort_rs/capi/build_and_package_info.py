"""The level of ONNX Runtime's API that ort_rs implements, as programs ask for it."""

package_name = "onnxruntime"
# The release of ONNX Runtime whose API this is; `ort_rs.__version__` is ours.
__version__ = "1.31.1"
cuda_version = ""
