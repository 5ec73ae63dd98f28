//! Test tools: case tables, model builder, comparison, a mock device.
