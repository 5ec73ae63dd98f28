//! DFT: the discrete Fourier transform along an axis, and its inverse.
//!
//! Whatever the element type, it is computed in double precision.

use base::{DType, Error, ErrorKind, Result, Shape, TensorRef, axis_index, bail, ensure};
use half::{bf16, f16};
use ir::{Dim, Dims};
use op::types::{FLOATS, INDEX};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};
use rustfft::num_complex::Complex;

use super::fourier::{Kind, Plans};
use super::numbers::{Floats, Real, int};

const SIGNATURE_V17: &str = "input:T1, dft_length:T2? -> output:T1";
const SIGNATURE_V20: &str = "input:T1, dft_length:T2?, axis:int64? -> output:T1";

/// DFT of `ai.onnx`.
pub static DFT: OpDef = OpDef {
    name: "DFT",
    versions: &[since(17, SIGNATURE_V17, &[("T1", FLOATS), ("T2", INDEX)]), since(20, SIGNATURE_V20, &[("T1", FLOATS), ("T2", INDEX)])],
    load: |a| Dft::load(a).map(|d| Box::new(d) as Box<dyn Op>),
    kernels: Kernels::NONE.cpu::<Dft>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Dft {
    /// The axis, where no input says it.
    axis: i64,
    inverse: bool,
    onesided: bool,
}

impl Dft {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let axis = if a.since() < 20 { a.int("axis", 1)? } else { -2 };
        Ok(Self { axis, inverse: a.flag("inverse", false)?, onesided: a.flag("onesided", false)? })
    }

    fn kind(&self, real: bool) -> Kind {
        match (self.inverse, self.onesided) {
            (true, true) => Kind::RealInverse,
            (true, false) => Kind::Inverse,
            (false, _) if real => Kind::Real,
            (false, _) => Kind::Complex,
        }
    }

    /// How many parts numbers of the output have.
    fn parts(&self) -> i64 {
        if self.inverse && self.onesided { 1 } else { 2 }
    }

    /// The length of the signal, where no input says it.
    fn length(&self, size: &Dim) -> Dim {
        if self.inverse && self.onesided { size.sub(&Dim::Known(1)).mul(&Dim::Known(2)) } else { size.clone() }
    }

    /// How many numbers a line of the output has.
    fn kept(&self, length: &Dim) -> Dim {
        if self.onesided && !self.inverse { length.floor_div(&Dim::Known(2)).add(&Dim::Known(1)) } else { length.clone() }
    }
}

/// The axis of the transform in a tensor of `rank` axes, of which the last holds the parts of a number.
fn signal_axis(axis: i64, rank: usize) -> Result<usize> {
    let index = axis_index(axis, rank)?;
    ensure!(index + 1 < rank, InvalidArgument, "axis {axis} of {rank} holds the parts of numbers, and is no axis of the signal");
    Ok(index)
}

/// Fails unless the last axis holds one or two parts of a number.
fn check_parts(parts: &Dim) -> Result<()> {
    ensure!(parts.known().is_none_or(|n| n == 1 || n == 2), InvalidArgument, "the last axis has size {parts}, neither 1 nor 2");
    Ok(())
}

fn invalid_graph(e: Error) -> Error {
    e.with_kind(ErrorKind::InvalidGraph)
}

impl Op for Dft {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        ensure!(dims.len() >= 2, InvalidGraph, "a signal of shape {dims:?} needs two axes");
        check_parts(&dims[dims.len() - 1]).map_err(invalid_graph)?;
        let axis = match (cx.optional(2).is_some(), cx.known_ints(2)) {
            (false, _) => Some(self.axis),
            (true, Some(axis)) => axis.first().copied(),
            (true, None) => None,
        };
        let last = Dim::Known(self.parts());
        let Some(axis) = axis else {
            let sizes: Dims = cx.fresh_dims(dims.len() - 1).into_iter().chain([last]).collect();
            cx.tensor(0, dtype, Some(sizes));
            return Ok(());
        };
        let axis = signal_axis(axis, dims.len()).map_err(invalid_graph)?;
        let length = match (cx.optional(1).is_some(), cx.ints(1)) {
            (false, _) => self.length(&dims[axis]),
            (true, Some([length])) => length.clone(),
            _ => cx.fresh(),
        };
        ensure!(length.known().is_none_or(|n| n > 0), InvalidGraph, "the transform is of {length} numbers");
        let mut sizes = Dims::from(dims);
        sizes[axis] = self.kept(&length);
        sizes[dims.len() - 1] = last;
        cx.tensor(0, dtype, Some(sizes));
        Ok(())
    }
}

impl CpuKernel for Dft {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(DftKernel { dft: self.clone(), plans: Plans::default() }))
    }
}

struct DftKernel {
    dft: Dft,
    plans: Plans,
}

/// The sizes of one transform.
struct Sizes {
    shape: Shape,
    axis: usize,
    /// The length of the signal.
    length: usize,
}

impl DftKernel {
    fn sizes(&self, cx: &Run<'_>) -> Result<Sizes> {
        let x = cx.input(0)?;
        ensure!(x.rank() >= 2, InvalidArgument, "a signal of shape {} needs two axes", Shape::from(x.shape()));
        check_parts(&Dim::from(x.shape()[x.rank() - 1]))?;
        let axis = signal_axis(cx.optional(2)?.map_or(Ok(self.dft.axis), int)?, x.rank())?;
        let length = match cx.optional(1)? {
            Some(length) => Dim::Known(int(length)?),
            None => self.dft.length(&Dim::from(x.shape()[axis])),
        };
        let Some(n) = length.size().filter(|n| *n > 0) else { bail!(InvalidArgument, "the transform is of {length} numbers") };
        let mut shape = Shape::from(x.shape());
        shape.dims_mut()[axis] = self.dft.kept(&length).size().unwrap_or(n);
        shape.dims_mut()[x.rank() - 1] = self.dft.parts() as usize;
        Ok(Sizes { shape, axis, length: n })
    }

    fn transform<T: Real>(&self, x: TensorRef<'_>, sizes: &Sizes, out: &mut [T]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let rank = x.rank();
        let (parts, len) = (x.shape()[rank - 1], x.shape()[sizes.axis]);
        let inner: usize = x.shape()[sizes.axis + 1..rank - 1].iter().product();
        let outer: usize = x.shape()[..sizes.axis].iter().product();
        let kind = self.dft.kind(parts == 1);
        let read = len.min(kind.needs(sizes.length));
        let values = Floats::new(x)?;
        let load = |line: usize, numbers: &mut [Complex<f64>]| {
            let start = line / inner * len * inner + line % inner;
            for (k, number) in numbers[..read].iter_mut().enumerate() {
                let at = (start + k * inner) * parts;
                *number = Complex::new(values.get(at), if parts == 2 { values.get(at + 1) } else { 0.0 });
            }
        };
        self.plans.get(kind, sizes.length)?.run((outer * inner, inner), sizes.shape[sizes.axis], &load, out)
    }
}

impl Prepared for DftKernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let sizes = self.sizes(cx)?;
        let dtype = cx.input(0)?.dtype();
        cx.allocate(0, dtype, sizes.shape.clone())?;
        let (x, out) = (cx.input(0)?, cx.output(0)?);
        match dtype {
            DType::F64 => self.transform(x, &sizes, out.slice::<f64>()?),
            DType::F16 => self.transform(x, &sizes, out.slice::<f16>()?),
            DType::BF16 => self.transform(x, &sizes, out.slice::<bf16>()?),
            _ => self.transform(x, &sizes, out.slice::<f32>()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Tensor;
    use testkit::{Single, assert_close, single};

    use super::*;

    /// The transform by its definition, of numbers of two parts.
    fn expected(x: &[(f64, f64)], n: usize, inverse: bool) -> Vec<f64> {
        let sign = if inverse { 1.0 } else { -1.0 };
        let number = |k: usize| {
            let term = |(i, &(re, im)): (usize, &(f64, f64))| {
                let (sin, cos) = (sign * std::f64::consts::TAU * (k * i % n) as f64 / n as f64).sin_cos();
                (re * cos - im * sin, re * sin + im * cos)
            };
            let sum = x.iter().take(n).enumerate().map(term).fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            if inverse { (sum.0 / n as f64, sum.1 / n as f64) } else { sum }
        };
        (0..n).map(number).flat_map(|(re, im)| [re, im]).collect()
    }

    fn signal(n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 37 + 11) % 23) as f64 - 9.5).collect()
    }

    fn real(x: &[f64]) -> Vec<(f64, f64)> {
        x.iter().map(|&re| (re, 0.0)).collect()
    }

    fn pairs(x: &[f64]) -> Vec<(f64, f64)> {
        x.chunks(2).map(|c| (c[0], c[1])).collect()
    }

    fn dft(shape: &[usize], x: &[f64]) -> Single {
        single(&DFT, 20).input(shape, x)
    }

    #[test]
    fn real_and_complex_signals_of_any_length() {
        for n in [1, 2, 3, 5, 8, 12, 17, 101] {
            let x = signal(n);
            assert_close(&dft(&[n, 1], &x).tensor().unwrap(), &expected(&real(&x), n, false), 1e-12, 1e-10);
            let half = expected(&real(&x), n, false)[..(n / 2 + 1) * 2].to_vec();
            assert_close(&dft(&[n, 1], &x).attr("onesided", 1).tensor().unwrap(), &half, 1e-12, 1e-10);
            let x = signal(2 * n);
            for inverse in [0, 1] {
                let t = dft(&[n, 2], &x).attr("inverse", inverse).tensor().unwrap();
                assert_close(&t, &expected(&pairs(&x), n, inverse == 1), 1e-12, 1e-10);
            }
        }
    }

    #[test]
    fn half_a_spectrum_becomes_a_real_signal() {
        for n in [1, 2, 6, 7, 30] {
            let x = signal(n);
            let spectrum = dft(&[n, 1], &x).attr("onesided", 1).run(1).unwrap().remove(0);
            let inverse = || single(&DFT, 20).value(spectrum.clone()).attr("onesided", 1).attr("inverse", 1);
            let t = inverse().input([], &[n as i64]).tensor().unwrap();
            assert_eq!(&**t.shape(), [n, 1]);
            assert_close(&t, &x, 1e-12, 1e-12);
            if n % 2 == 0 {
                assert_close(&inverse().tensor().unwrap(), &x, 1e-12, 1e-12);
            }
        }
    }

    #[test]
    fn any_axis_and_length() {
        let x = signal(2 * 3 * 4);
        let line = |o: usize, i: usize| real(&[0, 1, 2].map(|k| x[(o * 3 + k) * 4 + i]));
        for n in [2, 3, 5] {
            let s = single(&DFT, 17).attr("axis", 1).input([2, 3, 4, 1], &x).input([], &[n as i32]);
            let t = s.tensor().unwrap();
            assert_eq!(&**t.shape(), [2, n, 4, 2]);
            let out = t.slice::<f64>().unwrap();
            for (o, i) in [(0, 0), (0, 3), (1, 2)] {
                let actual: Vec<f64> = (0..n).flat_map(|k| [0, 1].map(|c| out[((o * n + k) * 4 + i) * 2 + c])).collect();
                let t = Tensor::from_slice([actual.len()], &actual).unwrap();
                assert_close(&t, &expected(&line(o, i), n, false), 1e-12, 1e-12);
            }
            let s = single(&DFT, 20).input([2, 3, 4, 1], &x).input([], &[n as i64]).input([], &[-3i64]);
            testkit::assert_equal(&s.tensor().unwrap().into(), &t.into());
        }
    }

    #[test]
    fn other_float_types() {
        let x = [1., 2., 3., 4.];
        let t = single(&DFT, 20).input([4, 1], &x.map(f16::from_f64)).tensor().unwrap();
        assert_close(&t, &[10., 0., -2., 2., -2., 0., -2., -2.], 0.0, 0.0);
        let t = single(&DFT, 17).attr("axis", 0).input([4, 1], &x.map(|x| x as f32)).tensor().unwrap();
        assert_close(&t, &[10., 0., -2., 2., -2., 0., -2., -2.], 0.0, 0.0);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let x = [1f32; 12];
        assert!(single(&DFT, 20).input([4, 3], &x).run(1).unwrap_err().detail().contains("the last axis has size 3"));
        assert!(single(&DFT, 17).input([6, 2], &x).run(1).unwrap_err().detail().contains("no axis of the signal"));
        assert!(single(&DFT, 20).input([6, 2], &x).input([], &[0i64]).run(1).is_err());
        assert!(single(&DFT, 20).input([6, 2], &x).skip().input([], &[2i64]).run(1).is_err());
        assert!(single(&DFT, 20).input([12], &x).run(1).is_err());
        assert!(single(&DFT, 20).input([1, 2], &x[..2]).attr("onesided", 1).attr("inverse", 1).run(1).is_err());
        assert!(single(&DFT, 20).input([0, 6, 2], &[0f32; 0]).tensor().unwrap().is_empty());
    }
}
