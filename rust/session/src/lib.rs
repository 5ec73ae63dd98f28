//! A model loaded, optimized, placed and ready to run.
