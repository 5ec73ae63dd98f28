//! The operator contract: definitions, signatures, kernels, providers, the registry.
