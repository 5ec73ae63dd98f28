//! Operators on strings, images and signals.
