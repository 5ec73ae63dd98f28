//! Operators on pictures.

pub mod decoder;
