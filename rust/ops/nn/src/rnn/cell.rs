//! One step of a recurrent cell for a batch of sequences.

use base::Result;
use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Step, gemm, gemm_onto};

use super::activation::CellActivation;
use super::lstm;
use crate::attention::core::Computed;

/// The kinds of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rnn,
    Gru {
        /// Whether the reset gate multiplies the product, not the state.
        linear_before_reset: bool,
    },
    Lstm {
        /// Whether what is forgotten is what is not taken in.
        coupled: bool,
    },
}

impl Kind {
    /// Gates of the cell.
    pub(super) fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru { .. } => 3,
            Self::Lstm { .. } => 4,
        }
    }
}

/// The weights of the state: all gates, or, for a GRU, the first two and the last.
pub(super) struct Recurrent<A> {
    pub(super) gates: Parts<A>,
    pub(super) last: Option<Parts<A>>,
}

/// Weights cut into parts of some columns each.
///
/// Every step reads all of them. Steps go through the parts to and fro, so that what one read last, which is still in the cache, is what
/// the next begins with; weights that do not fit the cache would else be fetched anew in each step.
pub(super) struct Parts<A> {
    parts: Vec<PackedB<A>>,
}

/// Bytes of a part, about: a quarter of a second cache.
const PART: usize = 256 << 10;
/// Parts begin at multiples of this many columns.
const COLUMNS: usize = 64;

impl<A: Computed> Parts<A> {
    /// Cuts and packs weights of `[columns, rows]`.
    ///
    /// # Errors
    /// `Fail` when there is no memory for the copy.
    pub(super) fn new(weights: &[A], columns: usize, rows: usize) -> Result<Self> {
        let each = (PART / (rows * size_of::<A>()).max(1)).next_multiple_of(COLUMNS).clamp(1, columns.max(1));
        let pack = |part: &[A]| PackedB::new(Mat::row_major(part, part.len() / rows.max(1), rows)?.transposed());
        Ok(Self { parts: weights.chunks(each * rows.max(1)).map(pack).collect::<Result<_>>()? })
    }

    /// Calls `f` with each part and its first column, the last part first if `backwards`.
    fn each(&self, backwards: bool, f: &mut dyn FnMut(&PackedB<A>, usize) -> Result<()>) -> Result<()> {
        let width = self.parts.first().map_or(0, PackedB::cols);
        let count = self.parts.len();
        (0..count).map(|i| if backwards { count - 1 - i } else { i }).try_for_each(|i| f(&self.parts[i], i * width))
    }
}

/// What a cell is made of, in one direction.
pub(super) struct Cell<'a, A> {
    pub(super) kind: Kind,
    pub(super) hidden: usize,
    pub(super) activations: &'a [CellActivation],
    pub(super) clip: Option<A>,
    pub(super) recurrent: &'a Recurrent<A>,
    /// The bias of the state's product for the last gate of a GRU.
    pub(super) last_bias: &'a [A],
    /// Weights of the cell state in the input, output and forget gates of an LSTM.
    pub(super) peepholes: Option<&'a [A]>,
    /// Whether the step goes through the parts of the weights backwards.
    pub(super) backwards: bool,
}

/// The arrays of a step, a row for each sequence.
pub(super) struct Rows<'a, A> {
    /// What the input contributes to the gates; then the gates.
    pub(super) gates: &'a mut [A],
    pub(super) h: &'a [A],
    pub(super) new_h: &'a mut [A],
    pub(super) c: &'a [A],
    pub(super) new_c: &'a mut [A],
    /// Room for as many values as the state.
    pub(super) room: &'a mut [A],
}

impl<A: Computed> Cell<'_, A> {
    /// `to = to + h * weights`, where `to` has rows `stride` apart.
    fn add_product(&self, h: &[A], weights: &Parts<A>, to: &mut [A], stride: usize, scratch: &mut [u8]) -> Result<()> {
        let batch = h.len() / self.hidden;
        let a = Mat::row_major(h, batch, self.hidden)?;
        weights.each(self.backwards, &mut |part, first| {
            gemm_onto(a, part, MatMut::new(&mut to[first..], batch, part.cols(), stride)?, scratch)
        })
    }

    fn clip(&self, x: &mut [A]) {
        if let Some(bound) = self.clip {
            x.iter_mut().for_each(|v| {
                *v = if *v > bound {
                    bound
                } else if *v < -bound {
                    -bound
                } else {
                    *v
                }
            });
        }
    }

    /// Computes the new states.
    pub(super) fn step(&self, rows: Rows<'_, A>, scratch: &mut [u8]) -> Result<()> {
        match self.kind {
            Kind::Rnn => self.rnn(rows, scratch),
            Kind::Gru { linear_before_reset } => self.gru(rows, linear_before_reset, scratch),
            Kind::Lstm { coupled } => self.lstm(rows, coupled, scratch),
        }
    }

    fn rnn(&self, rows: Rows<'_, A>, scratch: &mut [u8]) -> Result<()> {
        rows.new_h.copy_from_slice(rows.gates);
        self.add_product(rows.h, &self.recurrent.gates, rows.new_h, self.hidden, scratch)?;
        self.clip(rows.new_h);
        self.activations[0].apply(rows.new_h);
        Ok(())
    }

    fn gru(&self, rows: Rows<'_, A>, linear: bool, scratch: &mut [u8]) -> Result<()> {
        let n = self.hidden;
        let Rows { gates, h, new_h, room, .. } = rows;
        self.add_product(h, &self.recurrent.gates, gates, 3 * n, scratch)?;
        for row in gates.chunks_exact_mut(3 * n) {
            self.clip(&mut row[..2 * n]);
            self.activations[0].apply(&mut row[..2 * n]);
        }
        let Some(last) = &self.recurrent.last else { base::bail!(Fail, "a GRU without weights for its last gate") };
        if linear {
            let batch = h.len() / n;
            let a = Mat::row_major(h, batch, n)?;
            last.each(self.backwards, &mut |part, first| {
                let steps = [Step::add(Operand::per_column(&self.last_bias[first..]))];
                gemm(a, part, &Epilogue::new(&steps), MatMut::new(&mut room[first..], batch, part.cols(), n)?, scratch)
            })?;
            for (row, room) in gates.chunks_exact_mut(3 * n).zip(room.chunks_exact(n)) {
                let (others, candidate) = row.split_at_mut(2 * n);
                let reset = &others[n..];
                candidate.iter_mut().enumerate().for_each(|(i, v)| *v += reset[i] * room[i]);
            }
        } else {
            for ((row, h), room) in gates.chunks_exact(3 * n).zip(h.chunks_exact(n)).zip(room.chunks_exact_mut(n)) {
                room.iter_mut().enumerate().for_each(|(i, v)| *v = row[n + i] * h[i]);
            }
            self.add_product(room, last, &mut gates[2 * n..], 3 * n, scratch)?;
        }
        for ((row, h), new_h) in gates.chunks_exact_mut(3 * n).zip(h.chunks_exact(n)).zip(new_h.chunks_exact_mut(n)) {
            let (others, candidate) = row.split_at_mut(2 * n);
            self.clip(candidate);
            self.activations[1].apply(candidate);
            for (i, new_h) in new_h.iter_mut().enumerate() {
                *new_h = (A::one() - others[i]) * candidate[i] + others[i] * h[i];
            }
        }
        Ok(())
    }

    /// Whether an LSTM has nothing but its usual activations.
    fn is_usual(&self, coupled: bool) -> bool {
        use gemm::Activation::{Sigmoid, Tanh};
        let usual = [Sigmoid, Tanh, Tanh].map(CellActivation::Common);
        !coupled && self.clip.is_none() && self.peepholes.is_none() && self.activations[..3] == usual
    }

    fn lstm(&self, rows: Rows<'_, A>, coupled: bool, scratch: &mut [u8]) -> Result<()> {
        let n = self.hidden;
        let Rows { gates, h, new_h, c, new_c, .. } = rows;
        self.add_product(h, &self.recurrent.gates, gates, 4 * n, scratch)?;
        if self.is_usual(coupled) && lstm::usual(n, gates, c, new_c, new_h) {
            return Ok(());
        }
        let [f, g, last] = [0, 1, 2].map(|i| self.activations[i]);
        let states = c.chunks_exact(n).zip(new_c.chunks_exact_mut(n)).zip(new_h.chunks_exact_mut(n));
        for (row, ((c, new_c), new_h)) in gates.chunks_exact_mut(4 * n).zip(states) {
            let (input, rest) = row.split_at_mut(n);
            let (output, rest) = rest.split_at_mut(n);
            let (forget, candidate) = rest.split_at_mut(n);
            let peep = |which: usize, state: &[A], gate: &mut [A]| {
                if let Some(p) = self.peepholes {
                    gate.iter_mut().zip(&p[which * n..(which + 1) * n]).zip(state).for_each(|((v, p), c)| *v += *p * *c);
                }
            };
            peep(0, c, input);
            peep(2, c, forget);
            for (gate, activation) in [(&mut *input, f), (&mut *forget, f), (&mut *candidate, g)] {
                self.clip(gate);
                activation.apply(gate);
            }
            if coupled {
                forget.iter_mut().zip(&*input).for_each(|(f, i)| *f = A::one() - *i);
            }
            new_c.iter_mut().enumerate().for_each(|(i, v)| *v = forget[i] * c[i] + input[i] * candidate[i]);
            peep(1, new_c, output);
            self.clip(output);
            f.apply(output);
            new_h.copy_from_slice(new_c);
            last.apply(new_h);
            new_h.iter_mut().zip(&*output).for_each(|(h, o)| *h *= *o);
        }
        Ok(())
    }
}
