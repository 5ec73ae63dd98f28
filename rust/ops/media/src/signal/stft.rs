//! STFT: the Fourier transforms of pieces of a signal, each weighted by a window.

use base::{DType, Result, Shape, TensorRef, bail, ensure};
use half::{bf16, f16};
use ir::{Dim, Dims};
use op::types::{FLOATS, INDEX};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};
use rustfft::num_complex::Complex;

use super::fourier::{Kind, Plans};
use super::numbers::{Floats, Real, int};

const SIGNATURE: &str = "signal:T1, frame_step:T2, window:T1?, frame_length:T2? -> output:T1";

/// STFT of `ai.onnx`.
pub static STFT: OpDef = OpDef {
    name: "STFT",
    versions: &[since(17, SIGNATURE, &[("T1", FLOATS), ("T2", INDEX)])],
    load: |a| Ok(Box::new(Stft { onesided: a.flag("onesided", true)? })),
    kernels: Kernels::NONE.cpu::<Stft>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Stft {
    onesided: bool,
}

impl Stft {
    fn bins(&self, length: &Dim) -> Dim {
        if self.onesided { length.floor_div(&Dim::Known(2)).add(&Dim::Known(1)) } else { length.clone() }
    }
}

/// Input `i` as a size: `None` when it is left out, a new size when only a run will tell.
fn given(cx: &mut Infer<'_>, i: usize) -> Option<Dim> {
    cx.optional(i)?;
    Some(match cx.ints(i) {
        Some([n]) => n.clone(),
        _ => cx.fresh(),
    })
}

impl Op for Stft {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (batch, signal) = match cx.dims(0)? {
            Some([batch, signal, parts]) => {
                ensure!(parts.known().is_none_or(|n| n == 1 || n == 2), InvalidGraph, "a signal has {parts} parts, neither 1 nor 2");
                (batch.clone(), signal.clone())
            }
            // Exporters leave the axis of one part out, and ONNX Runtime takes that.
            Some([batch, signal]) => (batch.clone(), signal.clone()),
            Some(dims) => bail!(InvalidGraph, "a signal must have two or three axes, not shape {dims:?}"),
            None => (cx.fresh(), cx.fresh()),
        };
        let window = match cx.optional(2).map(|w| w.shape.as_deref()) {
            Some(Some([n])) => Some(n.clone()),
            Some(Some(dims)) => bail!(InvalidGraph, "a window must be a vector, not of shape {dims:?}"),
            Some(None) => Some(cx.fresh()),
            None => None,
        };
        let length = given(cx, 3).or(window).unwrap_or_else(|| signal.clone());
        let frames = match given(cx, 1) {
            Some(step) if !step.is(0) => signal.sub(&length).floor_div(&step).add(&Dim::Known(1)),
            _ => cx.fresh(),
        };
        let dims: Dims = [batch, frames.larger(&Dim::Known(0)), self.bins(&length), Dim::Known(2)].into_iter().collect();
        if let Some(size) = dims.iter().find(|d| d.known().is_some_and(|n| n < 0)) {
            bail!(InvalidGraph, "a transform of frames of length {length} cannot give {size} numbers");
        }
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

impl CpuKernel for Stft {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(StftKernel { stft: self.clone(), plans: Plans::default() }))
    }
}

struct StftKernel {
    stft: Stft,
    plans: Plans,
}

/// The sizes of one run.
struct Frames {
    batch: usize,
    signal: usize,
    parts: usize,
    count: usize,
    step: usize,
    length: usize,
    bins: usize,
}

impl StftKernel {
    fn frames(&self, cx: &Run<'_>) -> Result<Frames> {
        let (batch, signal, parts) = match *cx.input(0)?.shape() {
            [batch, signal, parts @ (1 | 2)] => (batch, signal, parts),
            [batch, signal] => (batch, signal, 1),
            ref shape => bail!(
                InvalidArgument,
                "a signal must have a batch, a length, and perhaps one or two parts, not shape {}",
                Shape::from(shape)
            ),
        };
        let step = int(cx.input(1)?)?;
        let window = cx.optional(2)?.map(|w| w.shape());
        ensure!(window.is_none_or(|w| w.len() == 1), InvalidArgument, "a window must be a vector, not of shape {window:?}");
        let window = window.map(|w| w[0] as i64);
        let length = cx.optional(3)?.map(int).transpose()?.or(window).unwrap_or(signal as i64);
        ensure!(window.is_none_or(|w| w == length), InvalidArgument, "frame_length is {length}, but the window has {window:?} weights");
        let (Ok(step), Ok(length)) = (usize::try_from(step), usize::try_from(length)) else {
            bail!(InvalidArgument, "frame_step is {step} and frame_length is {length}, but neither may be negative");
        };
        ensure!(step > 0 && length > 0, InvalidArgument, "frame_step is {step} and frame_length is {length}, but neither may be zero");
        let count = signal.checked_sub(length).map_or(0, |rest| rest / step + 1);
        let bins = if self.stft.onesided { length / 2 + 1 } else { length };
        Ok(Frames { batch, signal, parts, count, step, length, bins })
    }

    fn transform<T: Real>(&self, f: &Frames, signal: TensorRef<'_>, window: Option<TensorRef<'_>>, out: &mut [T]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let signal = Floats::new(signal)?;
        let window = window.map(Floats::new).transpose()?;
        let load = |line: usize, numbers: &mut [Complex<f64>]| {
            let start = line / f.count * f.signal + line % f.count * f.step;
            for (k, number) in numbers.iter_mut().enumerate() {
                let (at, weight) = ((start + k) * f.parts, window.map_or(1.0, |w| w.get(k)));
                *number = Complex::new(signal.get(at) * weight, if f.parts == 2 { signal.get(at + 1) * weight } else { 0.0 });
            }
        };
        let kind = if f.parts == 1 { Kind::Real } else { Kind::Complex };
        self.plans.get(kind, f.length)?.run((f.batch * f.count, 1), f.bins, &load, out)
    }
}

impl Prepared for StftKernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let frames = self.frames(cx)?;
        let dtype = cx.input(0)?.dtype();
        cx.allocate(0, dtype, [frames.batch, frames.count, frames.bins, 2])?;
        let (signal, window, out) = (cx.input(0)?, cx.optional(2)?, cx.output(0)?);
        match dtype {
            DType::F64 => self.transform(&frames, signal, window, out.slice::<f64>()?),
            DType::F16 => self.transform(&frames, signal, window, out.slice::<f16>()?),
            DType::BF16 => self.transform(&frames, signal, window, out.slice::<bf16>()?),
            _ => self.transform(&frames, signal, window, out.slice::<f32>()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_close, single};

    use super::*;
    use crate::signal::dft::DFT;

    #[test]
    fn each_frame_is_a_transform() {
        let x: Vec<f64> = (0..22).map(|i| ((i * 7 + 3) % 11) as f64).collect();
        let window = [0.5, 1.0, 2.0, 1.0, 0.25];
        for onesided in [0, 1] {
            let s = single(&STFT, 17).attr("onesided", onesided).input([2, 11, 1], &x).input([], &[2i64]).input([5], &window);
            let t = s.tensor().unwrap();
            let bins = if onesided == 1 { 3 } else { 5 };
            assert_eq!(&**t.shape(), [2, 4, bins, 2]);
            let frame: Vec<f64> = (0..5).map(|k| x[11 + 2 * 2 + k] * window[k]).collect();
            let expected = single(&DFT, 20).attr("onesided", onesided).input([5, 1], &frame).tensor().unwrap();
            let actual = &t.slice::<f64>().unwrap()[(4 + 2) * bins * 2..][..bins * 2];
            assert_eq!(actual, expected.slice::<f64>().unwrap());
            let flat = single(&STFT, 17).attr("onesided", onesided).input([2, 11], &x).input([], &[2i64]).input([5], &window);
            assert_eq!(flat.tensor().unwrap().slice::<f64>().unwrap(), t.slice::<f64>().unwrap());
        }
    }

    #[test]
    fn complex_signals_and_no_window() {
        let x: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let s = || single(&STFT, 17).input([1, 8, 2], &x).input([], &[2i32]).skip();
        let t = s().input([], &[4i32]).tensor().unwrap();
        assert_eq!(&**t.shape(), [1, 3, 3, 2]);
        assert_close(&t, &[12., 16., -8., 0., -4., -4., 28., 32., -8., 0., -4., -4., 44., 48., -8., 0., -4., -4.], 1e-6, 1e-6);
        let t = s().attr("onesided", 0).tensor().unwrap();
        assert_eq!(&**t.shape(), [1, 1, 8, 2]);
        assert!(s().input([], &[9i32]).tensor().unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let x = [1f32; 8];
        let s = || single(&STFT, 17).input([1, 8, 1], &x);
        assert!(s().input([], &[0i64]).run(1).is_err());
        assert!(s().input([], &[-1i64]).run(1).is_err());
        assert!(
            s().input([], &[1i64]).input([3], &[1f32; 3]).input([], &[4i64]).run(1).unwrap_err().detail().contains("frame_length is 4")
        );
        assert!(s().input([], &[1i64]).input([1, 3], &[1f32; 3]).run(1).is_err());
        assert!(single(&STFT, 17).input([8], &x).input([], &[1i64]).run(1).is_err());
    }
}
