//! The CUDA device: probe, context, memory, modules.
