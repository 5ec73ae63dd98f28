//! The Python face of ort_rs.
