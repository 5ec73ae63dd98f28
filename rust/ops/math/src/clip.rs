//! Clip: elements cut to a range.

use base::{DType, Element, Result, Type};
use ir::Fact;
use op::{Attrs, CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, Run, since};

use crate::elementwise::{Convert, Map, Vector, consumed_inputs, each_here, for_integers, map, through};
use crate::types::{INPUT_OUTPUT, T_FLOATS_V1, T_NUMERIC, T_NUMERIC_V1};

const BOUNDS: &str = "input:T, min:T?, max:T? -> output:T";

/// Clip of `ai.onnx`: `min(max(x, low), high)`. NaN stays; a bound that is NaN is none.
pub static CLIP: OpDef = OpDef {
    name: "Clip",
    versions: &[
        since(1, INPUT_OUTPUT, T_FLOATS_V1),
        since(6, INPUT_OUTPUT, T_FLOATS_V1),
        since(11, BOUNDS, T_FLOATS_V1),
        since(12, BOUNDS, T_NUMERIC_V1),
        since(13, BOUNDS, T_NUMERIC),
    ],
    load: load_clip,
    kernels: Kernels::NONE.cpu::<Clip>(),
    in_place: &[(0, 0)],
    layouts: Layouts::Follows,
    ..OpDef::ONNX
};

/// The bounds that attributes give; since version 11, inputs give them.
#[derive(Clone, Debug)]
struct Clip {
    low: f32,
    high: f32,
}

fn load_clip(a: &Attrs<'_>) -> Result<Box<dyn Op>> {
    consumed_inputs(a);
    // Version 6 says that its bounds are the largest numbers, so that infinity is cut to them.
    let bound = |name: &str, default: f32| if a.since() < 11 { a.float(name, default) } else { Ok(default) };
    let default = if a.since() == 6 { f32::MAX } else { f32::INFINITY };
    Ok(Box::new(Clip { low: bound("min", -default)?, high: bound("max", default)? }))
}

impl Op for Clip {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let shape = cx.dims(0)?.map(Into::into);
        let bound = |i: usize| cx.ints(i).and_then(<[ir::Dim]>::first);
        let known = |i: usize| cx.optional(i).is_none() || bound(i).is_some();
        let cut = |x: &ir::Dim| {
            let x = bound(1).map_or_else(|| x.clone(), |low| x.larger(low));
            bound(2).map_or_else(|| x.clone(), |high| x.smaller(high))
        };
        let value = cx.ints(0).filter(|_| known(1) && known(2)).map(|v| v.iter().map(cut).collect());
        cx.set(0, Fact { shape, value, ..Fact::of(Type::Tensor(dtype)) });
        Ok(())
    }
}

impl CpuKernel for Clip {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let half = Convert::widen(dtype).zip(Convert::narrow(dtype));
        Ok(Box::new(Kernel { low: self.low, high: self.high, dtype, half }))
    }
}

struct Kernel {
    low: f32,
    high: f32,
    dtype: DType,
    /// For 16-bit floats: how to become `f32` and back.
    half: Option<(Convert, Convert)>,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        if let Some((load, store)) = &self.half {
            let bound = |i, default| bound_in_float(cx, i, load, default);
            let clip = simd::math::Clip { low: bound(1, self.low)?, high: bound(2, self.high)? };
            return map(cx, &Half { load, clip: Vector(clip), store }, self.dtype, self.dtype);
        }
        match self.dtype {
            DType::F32 => {
                let clip = simd::math::Clip { low: bound(cx, 1, self.low)?, high: bound(cx, 2, self.high)? };
                map(cx, &Vector(clip), self.dtype, self.dtype)
            }
            DType::F64 => self.clip::<f64>(cx, self.low.into(), self.high.into()),
            dtype => match for_integers!(dtype, T => self.clip::<T>(cx, T::MIN, T::MAX)) {
                Some(done) => done,
                None => base::bail!(NotImplemented, "Clip has no kernel for {dtype}"),
            },
        }
    }
}

impl Kernel {
    fn clip<T: Element + PartialOrd>(&self, cx: &mut Run<'_>, low: T, high: T) -> Result<()> {
        let (low, high) = (bound(cx, 1, low)?, bound(cx, 2, high)?);
        let clip = each_here(move |x: T| {
            let x = if low > x { low } else { x };
            if high < x { high } else { x }
        });
        map(cx, &clip, self.dtype, self.dtype)
    }
}

/// The bound that input `i` gives.
fn bound<T: Element>(cx: &Run<'_>, i: usize, default: T) -> Result<T> {
    cx.optional(i)?.map_or(Ok(default), |t| t.scalar::<T>())
}

/// As [`bound`], of a 16-bit float.
fn bound_in_float(cx: &Run<'_>, i: usize, load: &Convert, default: f32) -> Result<f32> {
    let Some(t) = cx.optional(i)? else { return Ok(default) };
    base::ensure!(t.len() == 1 && t.dtype().size() == Some(2), InvalidArgument, "one element is needed as a bound, not {t:?}");
    let mut bound = 0f32;
    // SAFETY: there is one element of 16 bits, and `bytes` proves it to be there.
    unsafe { load.0.run(t.bytes()?.as_ptr(), (&raw mut bound).cast(), 1) };
    Ok(bound)
}

/// Clipping of 16-bit floats.
struct Half<'a> {
    load: &'a Convert,
    clip: Vector<simd::math::Clip>,
    store: &'a Convert,
}

impl Map for Half<'_> {
    unsafe fn run(&self, x: *const u8, out: *mut u8, n: usize) {
        // SAFETY: the caller vouches for the elements.
        unsafe { through(Some(self.load), &self.clip, Some(self.store), (2, 2), (x, out), n) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    const X: [f32; 5] = [-5.0, 0.5, 9.0, f32::NAN, f32::INFINITY];

    #[test]
    fn bounds_are_inputs() {
        let t = single(&CLIP, 13).input([5], &X).input([], &[-1f32]).input([1], &[2f32]).tensor().unwrap();
        assert_close(&t, &[-1.0, 0.5, 2.0, f64::NAN, 2.0], 0.0, 0.0);
        let t = single(&CLIP, 11).input([5], &X).skip().input([], &[2f32]).tensor().unwrap();
        assert_close(&t, &[-5.0, 0.5, 2.0, f64::NAN, 2.0], 0.0, 0.0);
        let t = single(&CLIP, 11).input([5], &X).input([], &[f32::NAN]).tensor().unwrap();
        assert_close(&t, &[-5.0, 0.5, 9.0, f64::NAN, f64::INFINITY], 0.0, 0.0);
        let t = single(&CLIP, 13).input([5], &X.map(half::f16::from_f32)).input([], &[half::f16::ZERO]).tensor().unwrap();
        assert_close(&t, &[0.0, 0.5, 9.0, f64::NAN, f64::INFINITY], 0.0, 0.0);
        assert!(single(&CLIP, 13).input([5], &X).input([2], &[-1f32, 0.0]).tensor().is_err());
        assert!(single(&CLIP, 13).input([5], &X).input([], &[-1f64]).tensor().is_err());
    }

    #[test]
    fn the_upper_bound_wins() {
        let t = single(&CLIP, 12).input([3], &[1i8, 2, 3]).input([], &[5i8]).input([], &[2i8]).tensor().unwrap();
        assert_eq!(t.slice::<i8>().unwrap(), [2, 2, 2]);
        let t = single(&CLIP, 12).input([2], &[u64::MAX, 0]).skip().input([], &[9u64]).tensor().unwrap();
        assert_eq!(t.slice::<u64>().unwrap(), [9, 0]);
        let t = single(&CLIP, 13).input([3], &[1f64, 2.0, 3.0]).input([], &[5f64]).input([], &[2f64]).tensor().unwrap();
        assert_eq!(t.slice::<f64>().unwrap(), [2.0; 3]);
    }

    #[test]
    fn bounds_were_attributes() {
        let t = single(&CLIP, 6).attr("min", -1f32).attr("max", 1f32).input([5], &X).tensor().unwrap();
        assert_close(&t, &[-1.0, 0.5, 1.0, f64::NAN, 1.0], 0.0, 0.0);
        let t = single(&CLIP, 6).input([5], &X).tensor().unwrap();
        assert_close(&t, &[-5.0, 0.5, 9.0, f64::NAN, f32::MAX.into()], 0.0, 0.0);
        let t = single(&CLIP, 1).attr("min", 0f32).input([5], &X).tensor().unwrap();
        assert_close(&t, &[0.0, 0.5, 9.0, f64::NAN, f64::INFINITY], 0.0, 0.0);
        assert!(single(&CLIP, 11).attr("min", 0f32).input([5], &X).tensor().is_err());
    }
}
