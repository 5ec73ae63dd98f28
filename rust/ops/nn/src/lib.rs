//! Operators of neural networks: products, convolutions, norms.
