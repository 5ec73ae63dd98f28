//! Numbers that stand in for symbolic sizes while a plan is made: to match blocks of like size, and to judge whether parts are dense.

use ir::{Dim, Fact, Symbols};
use op::{Part, Sizes};

use crate::plan::{Plan, constant};

/// The numbers that stand in for symbols.
pub(crate) struct Numbers {
    /// To judge what is dense, one after the other. What is dense for a small odd number and for a large prime is dense for all: a slice
    /// that takes a whole axis of one does not take that of the other.
    judging: [Vec<Option<i64>>; 2],
    /// To match blocks.
    typical: Vec<Option<i64>>,
}

impl Numbers {
    pub(crate) fn new(symbols: &Symbols) -> Self {
        let all = |n: i64| {
            let mut values = vec![Some(n); symbols.len()];
            symbols.definitions().iter().for_each(|(s, _)| values[s.0 as usize] = None);
            symbols.evaluate(&mut values);
            values
        };
        Self { judging: [all(3), all(300_007)], typical: all(64) }
    }
}

fn evaluate(dims: &[Dim], numbers: &[Option<i64>]) -> Option<Vec<usize>> {
    dims.iter().map(|d| d.eval(numbers).ok().flatten().and_then(|n| usize::try_from(n).ok())).collect()
}

/// The bytes that a slot takes for typical sizes; 0 when they cannot be told.
pub(crate) fn stand_in_bytes(plan: &Plan, slot: usize) -> usize {
    let s = &plan.slots[slot];
    let dims = s.dims.as_ref().and_then(|d| evaluate(d, &plan.numbers.typical));
    let len = dims.and_then(|d| s.layout.stored_len(&d));
    len.zip(s.dtype).and_then(|(n, d)| d.bytes_of(n)).unwrap_or(0)
}

/// The sizes around a step, with numbers for symbols.
pub(crate) struct StandIns {
    inputs: Vec<Option<Vec<usize>>>,
    outputs: Vec<Option<Vec<usize>>>,
    ints: Vec<Option<Vec<i64>>>,
}

impl StandIns {
    /// The sizes around `step` for each of the numbers.
    pub(crate) fn each(plan: &Plan, step: usize) -> [Self; 2] {
        [Self::new(plan, step, &plan.numbers.judging[0]), Self::new(plan, step, &plan.numbers.judging[1])]
    }

    fn new(plan: &Plan, step: usize, numbers: &[Option<i64>]) -> Self {
        let wires = &plan.steps[step].wires;
        let shape = |s: &Option<u32>| s.and_then(|s| plan.slots[s as usize].dims.as_ref()).and_then(|d| evaluate(d, numbers));
        let ints = |s: &Option<u32>| {
            let slot = &plan.slots[(*s)? as usize];
            Fact::constant(constant(&slot.storage)?.clone()).known_ints().map(|v| v.to_vec())
        };
        Self {
            inputs: wires.inputs.iter().map(shape).collect(),
            outputs: wires.outputs.iter().map(shape).collect(),
            ints: wires.inputs.iter().map(ints).collect(),
        }
    }

    /// Calls `f` with the sizes.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&Sizes<'_>) -> T) -> T {
        let inputs: Vec<_> = self.inputs.iter().map(Option::as_deref).collect();
        let outputs: Vec<_> = self.outputs.iter().map(Option::as_deref).collect();
        let ints: Vec<_> = self.ints.iter().map(Option::as_deref).collect();
        f(&Sizes { inputs: &inputs, outputs: &outputs, ints: &ints })
    }

    /// Whether input `i` is dense when it lies as `part` says.
    pub(crate) fn input_is_dense(&self, i: usize, part: &Part) -> bool {
        is_dense(self.inputs[i].as_deref(), part)
    }

    /// Whether output `i` is dense when it lies as `part` says.
    pub(crate) fn output_is_dense(&self, i: usize, part: &Part) -> bool {
        is_dense(self.outputs[i].as_deref(), part)
    }
}

fn is_dense(shape: Option<&[usize]>, part: &Part) -> bool {
    shape.is_some_and(|shape| base::Layout::Strided(part.strides.clone()).is_dense(shape))
}
