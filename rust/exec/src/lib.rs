//! Plans of a graph, their binding to sizes, and their run.
