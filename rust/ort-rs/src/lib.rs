//! An inference runtime for ONNX models.
