//! Softmax and LogSoftmax: `e^x / sum e^x` along an axis, and its logarithm.

use base::threads::Pace;
use base::{ErrorKind, Result, TensorMut, axis_index, ensure};
use ir::{Attribute, Fact, Graph, Node};
use op::body::Body;
use op::cuda::{Cuda, CudaClaim, CudaKernel, Rows, suffix};
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Since, Sizes, since};

use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

const SIGNATURE: &str = "input:T -> output:T";
const VERSIONS: &[Since] =
    &[since(1, SIGNATURE, &[("T", FLOATS_V1)]), since(11, SIGNATURE, &[("T", FLOATS_V1)]), since(13, SIGNATURE, &[("T", FLOATS)])];

/// Softmax of `ai.onnx`.
pub static SOFTMAX: OpDef = OpDef { in_place: &[(0, 0)], ..definition("Softmax") };
/// LogSoftmax of `ai.onnx`. It needs its input until the end, so its output cannot take its place.
pub static LOG_SOFTMAX: OpDef = definition("LogSoftmax");

const fn definition(name: &'static str) -> OpDef {
    OpDef {
        name,
        versions: VERSIONS,
        load: |a| {
            // Before opset 13 the input was taken as a matrix: all axes from `axis` on make up a row.
            let flat = a.since() < 13;
            Ok(Box::new(Softmax { axis: a.int("axis", if flat { 1 } else { -1 })?, flat, log: a.op() == "LogSoftmax" }))
        },
        kernels: Kernels::NONE.cpu::<Softmax>().cuda::<Softmax>(),
        body: Some(body),
        ..OpDef::ONNX
    }
}

/// The flat form by the newer one, whose rows are those of a matrix; the newer one as ONNX writes it out.
fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let x = b.required(0)?;
    let name = node.key.name.clone();
    let axis = Attrs::new(node).int("axis", if node.key.since < 13 { 1 } else { -1 })?;
    let y = if node.key.since < 13 {
        let shape = b.node(("Shape", 13), &[x], &[]);
        let matrix = b.node(("Flatten", 13), &[x], &[("axis", Attribute::Int(axis))]);
        let y = b.node((&name, 13), &[matrix], &[("axis", Attribute::Int(-1))]);
        b.node(("Reshape", 13), &[y, shape], &[])
    } else {
        let axes = b.ints(&[axis])?;
        let max = b.node(("ReduceMax", 18), &[x, axes], &[]);
        let shifted = b.node(("Sub", 14), &[x, max], &[]);
        let exp = b.node(("Exp", 13), &[shifted], &[]);
        let sum = b.node(("ReduceSum", 13), &[exp, axes], &[]);
        match &*name {
            "Softmax" => b.node(("Div", 14), &[exp, sum], &[]),
            _ => {
                let log = b.node(("Log", 13), &[sum], &[]);
                b.node(("Sub", 14), &[shifted, log], &[])
            }
        }
    };
    Ok(b.finish(&[y]))
}

#[derive(Clone, Debug)]
struct Softmax {
    axis: i64,
    flat: bool,
    log: bool,
}

/// The input seen as `[outer, len, inner]`; the middle is normalized.
#[derive(Clone, Copy, Debug)]
struct Split {
    outer: usize,
    len: usize,
    inner: usize,
}

impl Softmax {
    fn axis(&self, rank: usize) -> Result<usize> {
        // A matrix of one row per element, when all axes are on the left, exists for the flat form alone.
        if self.flat && self.axis == rank as i64 {
            return Ok(rank);
        }
        if rank == 0 && (self.axis == 0 || self.axis == -1) {
            return Ok(0);
        }
        axis_index(self.axis, rank).map_err(|e| e.with_kind(ErrorKind::InvalidGraph))
    }

    fn split(&self, shape: &[usize]) -> Result<Split> {
        let axis = self.axis(shape.len())?;
        let outer = shape[..axis].iter().product();
        let rest = &shape[axis..];
        Ok(match rest.split_first() {
            Some((&len, inner)) if !self.flat => Split { outer, len, inner: inner.iter().product() },
            _ => Split { outer, len: rest.iter().product(), inner: 1 },
        })
    }
}

impl Op for Softmax {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(dims) = cx.dims(0)? {
            self.axis(dims.len())?;
        }
        crate::infer::same(cx, 0, 0)
    }
}

impl CudaKernel for Softmax {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        cx.needs(&format!("softmax_{}", suffix(cx.dtype(0)?)))
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let x = cx.dense(0)?;
        let y = cx.output_of(0, x.shape())?;
        let Split { outer, len, inner } = self.split(x.shape())?;
        if x.is_empty() {
            return Ok(());
        }
        let (x_at, y_at, log) = (x.address() as u64, y.address() as u64, u32::from(self.log));
        let suffix = suffix(x.dtype());
        let rows = Rows::new(outer, len, x.dtype());
        if inner == 1 && rows.are_held() {
            let arguments = (x_at, y_at, outer as u64, len as u64, log);
            // SAFETY: both tensors have that many rows; `softmax.cu` declares these arguments.
            return unsafe { cx.launch(&rows.kernel("softmax", suffix), rows.blocks, Rows::THREADS, arguments) };
        }
        let arguments = (x_at, y_at, len as u64, inner as u64, log);
        // SAFETY: there is a block for each row of both tensors; `softmax.cu` declares these arguments.
        unsafe { cx.launch(&format!("softmax_{suffix}"), outer * inner, Rows::THREADS, arguments) }
    }
}

impl CpuKernel for Softmax {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let plain = dtype == base::DType::F32 || is_wide(dtype);
        Ok(if is_wide(dtype) {
            Box::new(Kernel::<f64> { op: self.clone(), plain, real: std::marker::PhantomData })
        } else {
            Box::new(Kernel::<f32> { op: self.clone(), plain, real: std::marker::PhantomData })
        })
    }
}

struct Kernel<A> {
    op: Softmax,
    /// Whether elements are stored as they are computed.
    plain: bool,
    real: std::marker::PhantomData<A>,
}

/// Neighbouring columns that are handled together where the axis is not the last one.
const COLUMNS: usize = 16;

impl<A: Real> Kernel<A> {
    /// Elements of scratch memory: rows before and after.
    fn buffer(&self, split: Split) -> usize {
        match (split.inner, self.plain) {
            (1, true) => 0,
            (1, false) => 2 * split.len,
            _ => 2 * split.len * COLUMNS.min(split.inner),
        }
    }

    fn row(&self, src: &[A], dst: &mut [A]) {
        if self.op.log { A::log_softmax(src, dst) } else { A::softmax(src, dst) }
    }

    fn rows(&self, split: Split, x: Source<'_>, y: &FloatsMut<'_>, scratch: &mut [A]) -> Result<()> {
        let grain = rows_per_chunk(split.len * size_of::<A>());
        for_rows(scratch, self.buffer(split), split.outer, grain, &|scratch, rows| {
            let (before, after) = scratch.split_at_mut(scratch.len() / 2);
            for row in rows {
                let range = row * split.len..(row + 1) * split.len;
                // SAFETY: each row belongs to one chunk, which has read it when it writes.
                unsafe {
                    let src = x.row(y, range.clone(), before);
                    y.fill(range, after, |dst| self.row(src, dst));
                }
            }
        })
    }

    /// Columns are gathered into rows, [`COLUMNS`] at a time.
    fn columns(&self, split: Split, x: Source<'_>, y: &FloatsMut<'_>, scratch: &mut [A]) -> Result<()> {
        let Split { outer, len, inner } = split;
        let tiles = inner.div_ceil(COLUMNS);
        for_rows(scratch, self.buffer(split), outer * tiles, rows_per_chunk(len * COLUMNS * size_of::<A>()), &|scratch, range| {
            let (before, after) = scratch.split_at_mut(scratch.len() / 2);
            for tile in range {
                let column = tile % tiles * COLUMNS;
                let width = COLUMNS.min(inner - column);
                let start = |i: usize| (tile / tiles * len + i) * inner + column;
                let mut line = [A::zero(); COLUMNS];
                let pace = Pace::default();
                for i in 0..len {
                    pace.spend(2 * COLUMNS);
                    // SAFETY: each tile of columns belongs to one chunk, which writes it only below.
                    unsafe { x.read(y, start(i), &mut line[..width]) };
                    line[..width].iter().enumerate().for_each(|(w, v)| before[w * len + i] = *v);
                }
                for (src, dst) in before.chunks_exact(len).zip(after.chunks_exact_mut(len)).take(width) {
                    self.row(src, dst);
                }
                for i in 0..len {
                    pace.spend(2 * COLUMNS);
                    (0..width).for_each(|w| line[w] = after[w * len + i]);
                    // SAFETY: each tile of columns belongs to one chunk.
                    unsafe { y.write(start(i), &line[..width]) };
                }
            }
        })
    }
}

/// Softmax of rows that lie where their results go.
fn rows_in_place<A: Real>(y: TensorMut<'_>, len: usize) -> Result<()> {
    let y = y.slice::<A>()?;
    base::threads::parallel_chunks_mut(y, len * rows_per_chunk(len * size_of::<A>()), &|_, rows| {
        rows.chunks_exact_mut(len).for_each(A::softmax_in_place);
    });
    base::threads::check()
}

/// Where rows are read from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Apart(Floats<'a>),
    /// From where the results go.
    InPlace,
}

impl<'a> Source<'a> {
    /// The elements of `range`, perhaps copied into `buffer`.
    ///
    /// # Safety
    /// Nobody writes them meanwhile.
    unsafe fn row<'b, A: Real>(self, y: &FloatsMut<'_>, range: std::ops::Range<usize>, buffer: &'b mut [A]) -> &'b [A]
    where
        'a: 'b,
    {
        match self {
            Self::Apart(x) => x.row(range, buffer),
            Self::InPlace => {
                let buffer = &mut buffer[..range.len()];
                // SAFETY: as the caller vouches.
                unsafe { y.read(range.start, buffer) };
                buffer
            }
        }
    }

    /// Copies elements from `start` on.
    ///
    /// # Safety
    /// Nobody writes them meanwhile.
    unsafe fn read<A: Real>(self, y: &FloatsMut<'_>, start: usize, to: &mut [A]) {
        match self {
            Self::Apart(x) => x.read(start, to),
            // SAFETY: as the caller vouches.
            Self::InPlace => unsafe { y.read(start, to) },
        }
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let split = sizes.input(0).and_then(|shape| self.op.split(shape));
        split.map_or(0, |split| scratch_bytes::<A>(self.buffer(split)))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), base::Shape::from(cx.input(0)?.shape()));
        cx.allocate(0, dtype, shape.clone())?;
        let split = self.op.split(&shape)?;
        let (x, y) = (cx.input(0)?, cx.output(0)?);
        ensure!(y.shape() == &*shape, Fail, "the output has shape {:?}, not {shape}", y.shape());
        if x.is_empty() {
            return Ok(());
        }
        let in_place = x.address() == y.address().cast_const();
        if in_place && self.plain && split.inner == 1 {
            return rows_in_place::<A>(y, split.len);
        }
        let x = if in_place { Source::InPlace } else { Source::Apart(Floats::of(x)?) };
        let (y, scratch) = (FloatsMut::of(y)?, cx.scratch::<A>()?);
        if split.inner == 1 { self.rows(split, x, &y, scratch) } else { self.columns(split, x, &y, scratch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use testkit::{assert_close, single};

    fn expected(x: &[f32], outer: usize, len: usize, inner: usize, log: bool) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        for o in 0..outer {
            for i in 0..inner {
                let at = |k: usize| (o * len + k) * inner + i;
                let max = (0..len).map(|k| f64::from(x[at(k)])).fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = (0..len).map(|k| (f64::from(x[at(k)]) - max).exp()).sum();
                for k in 0..len {
                    let v = (f64::from(x[at(k)]) - max).exp() / sum;
                    y[at(k)] = if log { v.ln() } else { v };
                }
            }
        }
        y
    }

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + 5) % 41) as f32 * 0.25 - 5.0).collect()
    }

    #[test]
    fn every_axis_of_both() {
        let shape = [3, 7, 37];
        let x = data(3 * 7 * 37);
        for (axis, outer, len, inner) in [(0i64, 1, 3, 259), (1, 3, 7, 37), (2, 21, 37, 1), (-1, 21, 37, 1), (-3, 1, 3, 259)] {
            for (def, log) in [(&SOFTMAX, false), (&LOG_SOFTMAX, true)] {
                let y = single(def, 13).attr("axis", axis).input(shape, &x).tensor().unwrap();
                assert_close(&y, &expected(&x, outer, len, inner, log), 1e-5, 1e-6);
            }
        }
    }

    #[test]
    fn old_opsets_flatten() {
        let x = data(24);
        for (axis, outer) in [(0i64, 1), (1, 2), (2, 6), (3, 24)] {
            let y = single(&SOFTMAX, 11).attr("axis", axis).input([2, 3, 4], &x).tensor().unwrap();
            assert_close(&y, &expected(&x, outer, 24 / outer, 1, false), 1e-5, 1e-7);
        }
        let y = single(&SOFTMAX, 1).input([2, 3, 4], &x).tensor().unwrap();
        assert_close(&y, &expected(&x, 2, 12, 1, false), 1e-5, 1e-7);
    }

    #[test]
    fn other_types() {
        let x = data(66);
        let halves: Vec<f16> = x.iter().map(|&v| f16::from_f32(v)).collect();
        for (axis, outer, len, inner) in [(1i64, 2, 33, 1), (0, 1, 2, 33)] {
            let want = expected(&x, outer, len, inner, false);
            let y = single(&SOFTMAX, 13).attr("axis", axis).input([2, 33], &halves).tensor().unwrap();
            assert_close(&y, &want, 1e-3, 1e-6);
            let wide: Vec<f64> = x.iter().map(|&v| v.into()).collect();
            let y = single(&SOFTMAX, 13).attr("axis", axis).input([2, 33], &wide).tensor().unwrap();
            assert_close(&y, &want, 1e-12, 1e-14);
        }
    }

    #[test]
    fn nothing_and_infinity() {
        let y = single(&SOFTMAX, 13).input([0, 4], &[0f32; 0]).tensor().unwrap();
        assert_eq!(&**y.shape(), [0, 4]);
        let y = single(&SOFTMAX, 13).input([2, 0], &[0f32; 0]).tensor().unwrap();
        assert_eq!(&**y.shape(), [2, 0]);
        let y = single(&SOFTMAX, 13).input([], &[3f32]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [1.0]);
        let y = single(&SOFTMAX, 13).input([1, 3], &[f32::NEG_INFINITY, 0.0, f32::NAN]).tensor().unwrap();
        assert!(y.slice::<f32>().unwrap().iter().all(|v| v.is_nan()));
    }

    #[test]
    fn an_axis_out_of_range_is_refused() {
        let e = single(&SOFTMAX, 13).attr("axis", 2i64).input([2, 2], &[0f32; 4]).tensor().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidGraph);
    }

    #[test]
    fn in_place_gives_the_same_bits() {
        let x = data(111);
        let mut y = base::Tensor::from_slice([3, 37], &x).unwrap();
        rows_in_place::<f32>(y.as_mut().unwrap(), 37).unwrap();
        let want = single(&SOFTMAX, 13).input([3, 37], &x).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), want.slice::<f32>().unwrap());
    }
}
