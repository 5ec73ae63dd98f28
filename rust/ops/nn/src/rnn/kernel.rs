//! The kernel of recurrent networks: the input's share of all gates in one product, then step by step the state's.

use std::marker::PhantomData;
use std::sync::Arc;

use base::{Result, Shape, Tensor, bail, ensure};
use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Step, gemm, scratch_len};
use op::{Prepare, Prepared, Run, Sizes};

use super::Network;
use super::cell::{Cell, Kind, Parts, Recurrent, Rows};
use crate::attention::core::Computed;
use crate::conv::windows::elements;
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::widen::take;

/// The kernel for the type at hand.
pub(super) fn prepare(op: &Network, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
    Ok(match is_wide(cx.dtype(0)?) {
        true => Box::new(Kernel::<f64>::new(op, cx)?),
        false => Box::new(Kernel::<f32>::new(op, cx)?),
    })
}

/// The weights of one direction, packed.
struct Weights<A> {
    /// Those of the input: `[elements, gates]`.
    input: PackedB<A>,
    recurrent: Recurrent<A>,
}

struct Kernel<A> {
    op: Network,
    /// Constant weights of each direction.
    weights: Option<Vec<Arc<Weights<A>>>>,
    real: PhantomData<A>,
}

/// All sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Extents {
    steps: usize,
    batch: usize,
    elements: usize,
    hidden: usize,
    gates: usize,
    directions: usize,
}

impl Extents {
    fn width(&self) -> usize {
        self.gates * self.hidden
    }

    fn state(&self) -> usize {
        self.batch * self.hidden
    }
}

fn padded<A>(len: usize) -> usize {
    (len * size_of::<A>()).next_multiple_of(64)
}

/// Packs the weights of one direction: `w` of `[gates, elements]`, `r` of `[gates, hidden]`.
fn pack<A: Computed>(kind: Kind, w: &[A], r: &[A], e: &Extents) -> Result<Weights<A>> {
    let (n, width) = (e.hidden, e.width());
    let rows = |data: &[A], rows: usize, cols: usize| PackedB::new(Mat::row_major(data, rows, cols)?.transposed());
    let recurrent = match kind {
        Kind::Gru { .. } => Recurrent { gates: Parts::new(&r[..2 * n * n], 2 * n, n)?, last: Some(Parts::new(&r[2 * n * n..], n, n)?) },
        _ => Recurrent { gates: Parts::new(r, width, n)?, last: None },
    };
    Ok(Weights { input: rows(w, width, e.elements)?, recurrent })
}

/// All elements of one direction, as the type that is computed in.
fn widened<A: Computed>(data: Floats<'_>, direction: usize, len: usize) -> Vec<A> {
    let mut wide = vec![A::zero(); len];
    data.read(direction * len, &mut wide);
    wide
}

impl<A: Computed> Kernel<A> {
    fn new(op: &Network, cx: &Prepare<'_>) -> Result<Self> {
        let mut kernel = Self { op: op.clone(), weights: None, real: PhantomData };
        if let (Some(w), Some(r)) = (cx.constant(1), cx.constant(2)) {
            kernel.weights = Some(kernel.pack_constants(cx, w, r)?);
        }
        Ok(kernel)
    }

    fn pack_constants(&self, cx: &Prepare<'_>, w: &Tensor, r: &Tensor) -> Result<Vec<Arc<Weights<A>>>> {
        let e = self.weight_extents(w.shape(), r.shape())?;
        let one = |direction: usize| {
            let format = format!("recurrent {:?} {direction} {}", self.op.kind, simd::isa::best().name());
            cx.packed.get_of([Some(w), Some(r)], &format, |from| {
                let [Some(w), Some(r)] = from else { bail!(Fail, "nothing to pack") };
                let (wide_w, wide_r) = (Floats::of(w.as_ref())?, Floats::of(r.as_ref())?);
                let (w, r) = (widened(wide_w, direction, e.width() * e.elements), widened(wide_r, direction, e.width() * e.hidden));
                pack(self.op.kind, &w, &r, &e)
            })
        };
        (0..e.directions).map(one).collect()
    }

    fn weight_extents(&self, w: &[usize], r: &[usize]) -> Result<Extents> {
        let (gates, directions) = (self.op.kind.gates(), self.op.directions.len());
        let shown = || (Shape::from(w), Shape::from(r));
        let fits = w.len() == 3 && r.len() == 3 && w[0] == directions && r[0] == directions && w[1] == r[1] && r[1] == gates * r[2];
        ensure!(fits && r[2] > 0, InvalidArgument, "weights of shapes {:?} for {gates} gates in {directions} directions", shown());
        ensure!(
            self.op.hidden.is_none_or(|h| h == r[2]),
            InvalidArgument,
            "hidden_size is {:?}, the weights {:?}",
            self.op.hidden,
            shown()
        );
        Ok(Extents { steps: 0, batch: 0, elements: w[2], hidden: r[2], gates, directions })
    }

    fn extents(&self, x: &[usize], w: &[usize], r: &[usize]) -> Result<Extents> {
        let e = self.weight_extents(w, r)?;
        let &[first, second, elements] = x else { base::bail!(InvalidArgument, "an input of shape {}", Shape::from(x)) };
        ensure!(elements == e.elements, InvalidArgument, "an input of shape {} for weights of {} elements", Shape::from(x), e.elements);
        let (steps, batch) = if self.op.batch_first { (second, first) } else { (first, second) };
        Ok(Extents { steps, batch, ..e })
    }

    /// Elements of scratch memory, in the order in which they are taken.
    fn arrays(e: &Extents) -> [usize; 6] {
        // The input; its share of all gates; the gates of one step; states before and after; room; biases and peepholes.
        [
            e.steps * e.batch * e.elements,
            e.steps * e.batch * e.width(),
            e.batch * e.width(),
            4 * e.state(),
            e.state(),
            3 * e.width() + 3 * e.hidden,
        ]
    }

    fn product_bytes(e: &Extents) -> usize {
        let whole = scratch_len::<A>(1, e.steps * e.batch, e.width(), e.elements, false, true);
        whole.max(scratch_len::<A>(1, e.batch, e.width(), e.hidden, false, true))
    }

    /// The weights of a direction: those packed, or some packed for this run.
    fn direction(&self, cx: &Run<'_>, direction: usize, e: &Extents) -> Result<Arc<Weights<A>>> {
        if let Some(packed) = &self.weights {
            return Ok(packed[direction].clone());
        }
        let (w, r) = (Floats::of(cx.input(1)?)?, Floats::of(cx.input(2)?)?);
        let (w, r) = (widened(w, direction, e.width() * e.elements), widened(r, direction, e.width() * e.hidden));
        pack(self.op.kind, &w, &r, e).map(Arc::new)
    }

    fn optional<'a>(cx: &'a Run<'_>, i: usize, len: usize) -> Result<Option<Floats<'a>>> {
        let Some(t) = cx.optional(i)? else { return Ok(None) };
        ensure!(t.len() == len, InvalidArgument, "input {i} has {} elements, not {len}", t.len());
        Floats::of(t).map(Some)
    }

    fn go(&self, e: &Extents, cx: &Run<'_>) -> Result<()> {
        let lengths = cx.optional(4)?.map(|l| l.slice::<i32>()).transpose()?;
        if let Some(l) = lengths {
            let fits = l.len() == e.batch && l.iter().all(|n| (0..=e.steps as i64).contains(&i64::from(*n)));
            ensure!(fits, InvalidArgument, "sequence_lens is {l:?} for {} sequences of up to {} steps", e.batch, e.steps);
        }
        let is_lstm = matches!(self.op.kind, Kind::Lstm { .. });
        let peepholes = if is_lstm { Self::optional(cx, 7, e.directions * 3 * e.hidden)? } else { None };
        let given = Given {
            bias: Self::optional(cx, 3, e.directions * 2 * e.width())?,
            h: Self::optional(cx, 5, e.directions * e.state())?,
            c: if is_lstm { Self::optional(cx, 6, e.directions * e.state())? } else { None },
            peepholes,
            lengths,
        };
        let output = |i: usize| if cx.has_output(i) { cx.output(i).and_then(FloatsMut::of).map(Some) } else { Ok(None) };
        let outputs = Outputs { y: output(0)?, h: output(1)?, c: if is_lstm { output(2)? } else { None } };
        let mut scratch = cx.scratch::<u8>()?;
        let mut room = |len: usize| -> Result<&mut [A]> {
            let bytes = padded::<A>(len).min(scratch.len());
            elements(take(&mut scratch, bytes)?, len)
        };
        let [x, shares, gates, states, extra, terms] = Self::arrays(e);
        let x_room = room(x)?;
        let arrays = Arrays { shares: room(shares)?, gates: room(gates)?, states: room(states)?, room: room(extra)?, terms: room(terms)? };
        let x = Floats::of(cx.input(0)?)?;
        let x = x.row(0..x.len(), x_room);
        let mut arrays = arrays;
        for direction in 0..e.directions {
            let weights = self.direction(cx, direction, e)?;
            self.run_direction(e, direction, &weights, x, &given, &outputs, &mut arrays, scratch)?;
        }
        Ok(())
    }

    /// Where a row of the state is in an input or output that has one for each direction and sequence.
    fn state_at(&self, e: &Extents, direction: usize, b: usize) -> usize {
        let row = if self.op.batch_first { b * e.directions + direction } else { direction * e.batch + b };
        row * e.hidden
    }

    /// Where the state of a step is in the output of all steps.
    fn step_at(&self, e: &Extents, direction: usize, t: usize, b: usize) -> usize {
        let row = match self.op.batch_first {
            true => (b * e.steps + t) * e.directions + direction,
            false => (t * e.directions + direction) * e.batch + b,
        };
        row * e.hidden
    }

    #[allow(clippy::too_many_arguments)] // All that a run has.
    fn run_direction(
        &self,
        e: &Extents,
        direction: usize,
        weights: &Weights<A>,
        x: &[A],
        given: &Given<'_>,
        outputs: &Outputs<'_>,
        arrays: &mut Arrays<'_, A>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let (n, width) = (e.hidden, e.width());
        let (terms, peepholes) = arrays.terms.split_at_mut(3 * width);
        let (bias, others) = terms.split_at_mut(width);
        self.biases(e, direction, given.bias, bias, others);
        if let Some(p) = given.peepholes {
            p.read(direction * 3 * n, &mut peepholes[..3 * n]);
        }
        let mut cell = Cell {
            kind: self.op.kind,
            hidden: n,
            activations: &self.op.activations[direction * self.op.activations.len() / e.directions..],
            clip: self.op.clip.map(|c| A::of(c.into())),
            recurrent: &weights.recurrent,
            last_bias: &others[..n],
            peepholes: given.peepholes.map(|_| &peepholes[..3 * n]),
            backwards: false,
        };
        let rows = e.steps * e.batch;
        let steps = [Step::add(Operand::per_column(bias))];
        let a = Mat::row_major(x, rows, e.elements)?;
        gemm(a, &weights.input, &Epilogue::new(&steps), MatMut::row_major(&mut *arrays.shares, rows, width)?, scratch)?;

        let state = e.state();
        let (mut h, rest) = arrays.states.split_at_mut(state);
        let (mut new_h, rest) = rest.split_at_mut(state);
        let (mut c, mut new_c) = rest.split_at_mut(state);
        for (b, (h, c)) in h.chunks_exact_mut(n).zip(c.chunks_exact_mut(n)).enumerate() {
            let at = self.state_at(e, direction, b);
            for (initial, state) in [(given.h, h), (given.c, c)] {
                match initial {
                    Some(initial) => initial.read(at, state),
                    None => state.fill(A::zero()),
                }
            }
        }
        let gates = &mut *arrays.gates;
        let length = |b: usize| given.lengths.map_or(e.steps, |l| l[b] as usize);
        let backwards = self.op.directions[direction];
        for s in 0..e.steps {
            base::threads::check()?;
            cell.backwards = s % 2 == 1;
            // Each sequence is read backwards from its own end.
            let time = |b: usize| if backwards && s < length(b) { length(b) - 1 - s } else { s };
            for (b, to) in gates.chunks_exact_mut(width).enumerate() {
                let row = if self.op.batch_first { b * e.steps + time(b) } else { time(b) * e.batch + b };
                to.copy_from_slice(&arrays.shares[row * width..(row + 1) * width]);
            }
            cell.step(Rows { gates: &mut *gates, h, new_h, c, new_c, room: &mut *arrays.room }, scratch)?;
            for b in 0..e.batch {
                let (range, runs) = (b * n..(b + 1) * n, s < length(b));
                if !runs {
                    new_h[range.clone()].copy_from_slice(&h[range.clone()]);
                    new_c[range.clone()].copy_from_slice(&c[range.clone()]);
                }
                if let Some(y) = &outputs.y {
                    let zeros = &mut arrays.room[..n];
                    zeros.fill(A::zero());
                    let row = if runs { &new_h[range] } else { &*zeros };
                    // SAFETY: one thread writes the outputs.
                    unsafe { y.write(self.step_at(e, direction, time(b), b), row) }
                }
            }
            std::mem::swap(&mut h, &mut new_h);
            std::mem::swap(&mut c, &mut new_c);
        }
        for b in 0..e.batch {
            let (at, range) = (self.state_at(e, direction, b), b * n..(b + 1) * n);
            // SAFETY: one thread writes the outputs.
            unsafe {
                outputs.h.iter().for_each(|y| y.write(at, &h[range.clone()]));
                outputs.c.iter().for_each(|y| y.write(at, &c[range.clone()]));
            }
        }
        Ok(())
    }

    /// The sum of both biases for each gate. Of the last gate of a GRU whose product comes before the reset, that of the state goes to
    /// `others` instead.
    fn biases(&self, e: &Extents, direction: usize, given: Option<Floats<'_>>, bias: &mut [A], others: &mut [A]) {
        let (n, width) = (e.hidden, e.width());
        bias.fill(A::zero());
        others.fill(A::zero());
        let Some(given) = given else { return };
        given.read(direction * 2 * width, bias);
        let of_state = &mut others[n..n + width];
        given.read(direction * 2 * width + width, of_state);
        let apart = matches!(self.op.kind, Kind::Gru { linear_before_reset: true });
        let together = if apart { 2 * n } else { width };
        bias.iter_mut().zip(&*of_state).take(together).for_each(|(b, s)| *b += *s);
        if apart {
            others.copy_within(n + 2 * n..n + 3 * n, 0);
        }
    }
}

/// The inputs that may be left out.
struct Given<'a> {
    bias: Option<Floats<'a>>,
    h: Option<Floats<'a>>,
    c: Option<Floats<'a>>,
    peepholes: Option<Floats<'a>>,
    lengths: Option<&'a [i32]>,
}

/// The outputs that are asked for.
struct Outputs<'a> {
    y: Option<FloatsMut<'a>>,
    h: Option<FloatsMut<'a>>,
    c: Option<FloatsMut<'a>>,
}

/// Parts of the scratch memory.
struct Arrays<'a, A> {
    shares: &'a mut [A],
    gates: &'a mut [A],
    states: &'a mut [A],
    room: &'a mut [A],
    terms: &'a mut [A],
}

impl<A: Computed> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let (Ok(x), Ok(w), Ok(r)) = (sizes.input(0), sizes.input(1), sizes.input(2)) else { return 0 };
        let extents = self.extents(x, w, r);
        extents.map_or(0, |e| Self::arrays(&e).iter().map(|n| padded::<A>(*n)).sum::<usize>() + Self::product_bytes(&e))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let e = self.extents(cx.input(0)?.shape(), cx.input(1)?.shape(), cx.input(2)?.shape())?;
        let dtype = cx.input(0)?.dtype();
        let (all, last): (Shape, Shape) = match self.op.batch_first {
            true => ([e.batch, e.steps, e.directions, e.hidden].into(), [e.batch, e.directions, e.hidden].into()),
            false => ([e.steps, e.directions, e.batch, e.hidden].into(), [e.directions, e.batch, e.hidden].into()),
        };
        cx.allocate(0, dtype, all)?;
        cx.allocate(1, dtype, last.clone())?;
        cx.allocate(2, dtype, last)?;
        self.go(&e, cx)
    }
}
