//! Operators that move and shape data.
