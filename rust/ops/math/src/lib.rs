//! Element-wise, comparison, logic and reduction operators.
