//! The graph of ort_rs: nodes, facts, patches, the verifier.
