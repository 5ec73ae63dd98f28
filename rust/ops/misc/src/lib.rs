//! Control flow, sequences, optionals, quantization.
