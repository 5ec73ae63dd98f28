//! The kernel of recurrent networks: the input's share of all gates in one product, then step by step the state's.

use std::marker::PhantomData;
use std::sync::Arc;

use base::threads::parallel_chunks_mut;
use base::{Result, Shape, Tensor, bail, ensure};
use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Step, gemm, scratch_len};
use op::{Prepare, Prepared, Run, Sizes};
use smallvec::SmallVec;

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

/// Multiply-adds of a step below which it is short: a share of it would take little longer than handing it out.
const SHORT: usize = 4 << 20;

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

    /// Whether a step is too little for several threads, so that directions should go at the same time.
    fn has_short_steps(&self) -> bool {
        self.directions > 1 && self.state().saturating_mul(self.width()) < SHORT
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

    /// Elements of scratch memory of one direction, in the order in which they are taken.
    fn arrays(e: &Extents) -> [usize; 5] {
        // The input's share of all gates; the gates of one step; states before and after; room; biases and peepholes.
        [e.steps * e.batch * e.width(), e.batch * e.width(), 4 * e.state(), e.state(), 3 * e.width() + 3 * e.hidden]
    }

    /// Bytes of scratch memory of one direction: its arrays, and room for products.
    fn direction_bytes(e: &Extents) -> usize {
        Self::arrays(e).iter().map(|n| padded::<A>(*n)).sum::<usize>() + Self::product_bytes(e).next_multiple_of(64)
    }

    fn product_bytes(e: &Extents) -> usize {
        let whole = scratch_len::<A>(1, e.steps * e.batch, e.width(), e.elements, false, true);
        whole.max(scratch_len::<A>(1, e.batch, e.width(), e.hidden, false, true))
    }

    /// The weights of a direction: those packed, or some packed for this run.
    fn weights_of(&self, cx: &Run<'_>, direction: usize, e: &Extents) -> Result<Arc<Weights<A>>> {
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
        if e.batch == 0 {
            return Ok(());
        }
        let output = |i: usize| if cx.has_output(i) { cx.output(i).and_then(FloatsMut::of).map(Some) } else { Ok(None) };
        let outputs = Outputs { y: output(0)?, h: output(1)?, c: if is_lstm { output(2)? } else { None } };
        let mut scratch = cx.scratch::<u8>()?;
        let x = Floats::of(cx.input(0)?)?;
        let x = x.row(0..x.len(), array(&mut scratch, e.steps * e.batch * e.elements)?);
        let mut directions = SmallVec::<[Direction<'_, A>; 2]>::new();
        for number in 0..e.directions {
            let memory = take(&mut scratch, Self::direction_bytes(e))?;
            let mut direction =
                Direction { number, weights: self.weights_of(cx, number, e)?, arrays: Arrays::of(memory, e)?, walked: Ok(()) };
            self.share(e, &mut direction, x, &given)?;
            directions.push(direction);
        }
        if e.has_short_steps() {
            parallel_chunks_mut(&mut directions, 1, &|_, of| of[0].walked = self.walk(e, &mut of[0], &given, &outputs));
        } else {
            directions.iter_mut().for_each(|of| of.walked = self.walk(e, of, &given, &outputs));
        }
        directions.into_iter().try_for_each(|direction| direction.walked)
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

    /// Computes what the input contributes to the gates of all steps.
    fn share(&self, e: &Extents, of: &mut Direction<'_, A>, x: &[A], given: &Given<'_>) -> Result<()> {
        let (n, width) = (e.hidden, e.width());
        let (terms, peepholes) = of.arrays.terms.split_at_mut(3 * width);
        let (bias, others) = terms.split_at_mut(width);
        self.biases(e, of.number, given.bias, bias, others);
        if let Some(p) = given.peepholes {
            p.read(of.number * 3 * n, &mut peepholes[..3 * n]);
        }
        let rows = e.steps * e.batch;
        let steps = [Step::add(Operand::per_column(bias))];
        let (a, shares) = (Mat::row_major(x, rows, e.elements)?, MatMut::row_major(&mut *of.arrays.shares, rows, width)?);
        gemm(a, &of.weights.input, &Epilogue::new(&steps), shares, of.arrays.scratch)
    }

    /// Goes step by step along the sequences, in one direction whose shares are there.
    fn walk(&self, e: &Extents, of: &mut Direction<'_, A>, given: &Given<'_>, outputs: &Outputs<'_>) -> Result<()> {
        let (n, width, direction, arrays) = (e.hidden, e.width(), of.number, &mut of.arrays);
        let (terms, peepholes) = arrays.terms.split_at(3 * width);
        let mut cell = Cell {
            kind: self.op.kind,
            hidden: n,
            activations: &self.op.activations[direction * self.op.activations.len() / e.directions..],
            clip: self.op.clip.map(|c| A::of(c.into())),
            recurrent: &of.weights.recurrent,
            last_bias: &terms[width..width + n],
            peepholes: given.peepholes.map(|_| &peepholes[..3 * n]),
            backwards: false,
        };
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
            cell.step(Rows { gates: &mut *gates, h, new_h, c, new_c, room: &mut *arrays.room }, arrays.scratch)?;
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
                    // SAFETY: one thread goes in this direction, whose rows are its own.
                    unsafe { y.write(self.step_at(e, direction, time(b), b), row) }
                }
            }
            std::mem::swap(&mut h, &mut new_h);
            std::mem::swap(&mut c, &mut new_c);
        }
        for b in 0..e.batch {
            let (at, range) = (self.state_at(e, direction, b), b * n..(b + 1) * n);
            // SAFETY: as above.
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

/// One direction under way.
struct Direction<'a, A> {
    number: usize,
    weights: Arc<Weights<A>>,
    arrays: Arrays<'a, A>,
    /// How its walk along the steps ended.
    walked: Result<()>,
}

/// Parts of the scratch memory of one direction.
struct Arrays<'a, A> {
    shares: &'a mut [A],
    gates: &'a mut [A],
    states: &'a mut [A],
    room: &'a mut [A],
    terms: &'a mut [A],
    /// What products need.
    scratch: &'a mut [u8],
}

impl<'a, A: Computed> Arrays<'a, A> {
    /// Cuts memory as long as [`Kernel::direction_bytes`] says.
    fn of(mut memory: &'a mut [u8], e: &Extents) -> Result<Self> {
        let [shares, gates, states, room, terms] = Kernel::<A>::arrays(e);
        let mut next = |len: usize| array(&mut memory, len);
        let (shares, gates, states, room, terms) = (next(shares)?, next(gates)?, next(states)?, next(room)?, next(terms)?);
        Ok(Self { shares, gates, states, room, terms, scratch: memory })
    }
}

/// The next `len` elements of `memory`, which then goes on at a line of the cache.
fn array<'a, A: Computed>(memory: &mut &'a mut [u8], len: usize) -> Result<&'a mut [A]> {
    let bytes = padded::<A>(len).min(memory.len());
    elements(take(memory, bytes)?, len)
}

impl<A: Computed> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let (Ok(x), Ok(w), Ok(r)) = (sizes.input(0), sizes.input(1), sizes.input(2)) else { return 0 };
        let extents = self.extents(x, w, r);
        extents.map_or(0, |e| padded::<A>(e.steps * e.batch * e.elements) + e.directions * Self::direction_bytes(&e))
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
