//! To be filled in at once.
