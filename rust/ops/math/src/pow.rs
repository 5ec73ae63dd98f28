//! Pow: `X` to the power `Y`, which may be of another type.

use base::{DType, Result};
use op::types::{FLOATS_V1, NUMERIC, NUMERIC_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use crate::cast::{Rounding, cast};
use crate::elementwise::{Align, Binary, BinaryKernel, Convert, Map, MapThrough, Zip, ZipThrough, each_wide, map, pairs, unknown};
use crate::types::T_FLOATS_V1;

const BASE_V12: TypeSet = FLOATS_V1.or(op::types::INDEX);
const BASE_V13: TypeSet = op::types::FLOATS.or(op::types::INDEX);
const SAME: &str = "X:T, Y:T -> Z:T";
const MIXED: &str = "X:T, Y:T1 -> Z:T";

/// Pow of `ai.onnx`.
///
/// Integers to integer powers wrap around, and negative powers of them are cut to an integer; any other power is computed in `f64`
/// unless `f32` holds base and exponent.
pub static POW: OpDef = OpDef {
    name: "Pow",
    versions: &[
        since(1, SAME, T_FLOATS_V1),
        since(7, SAME, T_FLOATS_V1),
        since(12, MIXED, &[("T", BASE_V12), ("T1", NUMERIC_V1)]),
        since(13, MIXED, &[("T", BASE_V13), ("T1", NUMERIC_V1)]),
        since(15, MIXED, &[("T", BASE_V13), ("T1", NUMERIC)]),
    ],
    load: load_pow,
    kernels: Kernels::NONE.cpu::<Pow>(),
    in_place: &[(0, 0)],
    layouts: Layouts::Follows,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Pow(Binary);

fn load_pow(a: &Attrs<'_>) -> Result<Box<dyn Op>> {
    Ok(Box::new(Pow(Binary { function: |_| None, output: None, align: Align::load(a)?, value: unknown })))
}

impl Op for Pow {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        self.0.infer(cx)
    }
}

impl CpuKernel for Pow {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let (x, y) = (cx.dtype(0)?, cx.dtype(1)?);
        let inner = computed_in(x, y);
        let Some(function) = power(x, y, inner) else { return Err(cx.no_kernel(x)) };
        let general = BinaryKernel { function, from: [x, y], to: x, align: self.0.align };
        let special = SPECIAL.map(|(_, single, double)| through(x, inner, if inner == DType::F32 { single() } else { double() }));
        let exponent = cast(y, DType::F64, Rounding::default()).ok_or_else(|| cx.no_kernel(y))?;
        Ok(Box::new(Kernel { general, special: (inner != DType::I64).then_some(special), exponent }))
    }
}

/// The type that a power is computed in: `f32` if it holds both, `i64` for integers alone, else `f64`.
fn computed_in(x: DType, y: DType) -> DType {
    use DType::{BF16, F16, F32, I8, I16, U8, U16};
    match x {
        DType::I32 | DType::I64 if y.is_integer() => DType::I64,
        F16 | BF16 | F32 if matches!(y, F16 | BF16 | F32 | I8 | U8 | I16 | U16) => F32,
        _ => DType::F64,
    }
}

fn power(x: DType, y: DType, inner: DType) -> Option<Box<dyn Zip>> {
    let function = match inner {
        DType::F32 => pairs(f32::powf),
        DType::F64 => pairs(f64::powf),
        // An exponent of `u64` beyond `i64` arrives negative.
        _ if y == DType::U64 => pairs(|x: i64, y: i64| wrapping_power(x, y as u64)),
        _ => pairs(|x: i64, y: i64| match u64::try_from(y) {
            Ok(y) => wrapping_power(x, y),
            Err(_) => inverse_power(x, y),
        }),
    };
    if x == inner && y == inner {
        return Some(function);
    }
    let convert =
        |from: DType, to: DType| if from == to { Some(None) } else { cast(from, to, Rounding::default()).map(|m| Some(Convert(m))) };
    let sizes = ([x.size()?, y.size()?], x.size()?);
    Some(Box::new(ZipThrough { load: [convert(x, inner)?, convert(y, inner)?], inner: function, store: convert(inner, x)?, sizes }))
}

fn wrapping_power(mut x: i64, mut y: u64) -> i64 {
    let mut result = 1i64;
    while y > 0 {
        if y & 1 == 1 {
            result = result.wrapping_mul(x);
        }
        x = x.wrapping_mul(x);
        y >>= 1;
    }
    result
}

/// `x^y` for negative `y`, cut to an integer: only 1 and -1 leave anything.
fn inverse_power(x: i64, y: i64) -> i64 {
    match x {
        1 => 1,
        -1 if y % 2 == 0 => 1,
        -1 => -1,
        _ => 0,
    }
}

/// Exponents that have a loop of their own where one stands for all elements, for `f32` and for `f64`.
type Special = (f64, fn() -> Box<dyn Map>, fn() -> Box<dyn Map>);

const SPECIAL: [Special; 5] = [
    (2.0, || each_wide(|x: f32| x * x), || each_wide(|x: f64| x * x)),
    (3.0, || each_wide(|x: f32| x * x * x), || each_wide(|x: f64| x * x * x)),
    (1.0, || each_wide(|x: f32| x), || each_wide(|x: f64| x)),
    (-1.0, || each_wide(|x: f32| 1.0 / x), || each_wide(|x: f64| 1.0 / x)),
    // Unlike a square root, the power of minus infinity is infinite, and that of -0 is 0.
    (
        0.5,
        || each_wide(|x: f32| if x == f32::NEG_INFINITY { f32::INFINITY } else { (x + 0.0).sqrt() }),
        || each_wide(|x: f64| if x == f64::NEG_INFINITY { f64::INFINITY } else { (x + 0.0).sqrt() }),
    ),
];

/// `function`, computed in `inner`, on elements of `dtype`.
fn through(dtype: DType, inner: DType, function: Box<dyn Map>) -> Option<Box<dyn Map>> {
    if dtype == inner {
        return Some(function);
    }
    let load = cast(dtype, inner, Rounding::default())?;
    let store = cast(inner, dtype, Rounding::default())?;
    let sizes = (dtype.size()?, dtype.size()?);
    Some(Box::new(MapThrough { load: Some(Convert(load)), inner: function, store: Some(Convert(store)), sizes }))
}

struct Kernel {
    general: BinaryKernel,
    /// The loops of [`SPECIAL`], for bases that are floats or computed as such.
    special: Option<[Option<Box<dyn Map>>; 5]>,
    /// The exponent as `f64`.
    exponent: Box<dyn Map>,
}

impl Kernel {
    /// The loop for the exponent, if it is one for all and has a loop of its own.
    fn special(&self, cx: &Run<'_>) -> Result<Option<&dyn Map>> {
        let (x, y) = (cx.input(0)?, cx.input(1)?);
        let (Some(special), true) = (&self.special, y.len() == 1 && y.rank() <= x.rank()) else { return Ok(None) };
        let mut exponent = 0f64;
        // SAFETY: the loop reads one element of the type of input 1, which `bytes` proves to be there, and writes one `f64`.
        unsafe { self.exponent.run(y.bytes()?.as_ptr(), (&raw mut exponent).cast(), 1) };
        let place = SPECIAL.iter().position(|(e, ..)| *e == exponent);
        Ok(place.and_then(|i| special[i].as_deref()))
    }
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        base::ensure!(cx.input(1)?.dtype() == self.general.from[1], Fail, "the exponent is of type {}", cx.input(1)?.dtype());
        match self.special(cx)? {
            Some(function) => map(cx, function, self.general.from[0], self.general.to),
            None => self.general.run(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn floats() {
        let (x, y) = ([-8f32, 0.0, 2.0, 9.0, -2.0], [1f32 / 3.0, 0.0, -1.0, 0.5, 3.0]);
        let t = single(&POW, 7).input([5], &x).input([5], &y).tensor().unwrap();
        assert_close(&t, &[f64::NAN, 1.0, 0.5, 3.0, -8.0], 1e-6, 0.0);
        let t = single(&POW, 15).input([2, 1], &[2f64, 3.0]).input([2], &[10i32, -1]).tensor().unwrap();
        assert_close(&t, &[1024.0, 0.5, 59049.0, 1.0 / 3.0], 1e-15, 0.0);
        let h = [2f32, 3.0].map(half::f16::from_f32);
        assert_close(&single(&POW, 13).input([2], &h).input([2], &[3u64, 2]).tensor().unwrap(), &[8.0, 9.0], 0.0, 0.0);
        let t =
            single(&POW, 1).attr("broadcast", 1).attr("axis", 0).input([2, 2], &[1f32, 2.0, 3.0, 4.0]).input([2], &[1f32, 2.0]).tensor();
        assert_close(&t.unwrap(), &[1.0, 2.0, 9.0, 16.0], 1e-6, 0.0);
    }

    #[test]
    fn one_exponent_for_all_gives_what_many_give() {
        let x = [-0.0f64, 0.0, f64::NEG_INFINITY, f64::INFINITY, f64::NAN, 4.0, -4.0, 0.3];
        for e in [2.0, 3.0, 1.0, -1.0, 0.5, 0.25] {
            let want = x.map(|x| x.powf(e));
            let t = single(&POW, 7).input([8], &x).input([], &[e]).tensor().unwrap();
            assert_close(&t, &want, 1e-15, 0.0);
            let t = single(&POW, 12).input([8], &x.map(|x| x as f32)).input([1], &[e as f32]).tensor().unwrap();
            assert_close(&t, &x.map(|x| f64::from((x as f32).powf(e as f32))), 1e-6, 0.0);
            let t = single(&POW, 15).input([8], &x.map(half::bf16::from_f64)).input([], &[e]).tensor().unwrap();
            assert_close(&t, &want, 1e-2, 0.0);
        }
        let t = single(&POW, 15).input([2], &[2f32, 3.0]).input([1, 1], &[2i64]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[1, 2][..], &[4.0, 9.0][..]));
    }

    #[test]
    fn integers() {
        let (x, y) = ([2i32, 2, 3, 0, -2, 1, -1, -1, 10], [3i64, -1, 0, 0, 3, -5, -3, -4, 10]);
        let t = single(&POW, 12).input([9], &x).input([9], &y).tensor().unwrap();
        assert_eq!(t.slice::<i32>().unwrap(), [8, 0, 1, 1, -8, 1, -1, 1, 10i64.pow(10) as i32]);
        let t = single(&POW, 12).input([3], &[3i64, 2, -1]).input([3], &[40u64, 64, u64::MAX]).tensor().unwrap();
        assert_eq!(t.slice::<i64>().unwrap(), [-6289078614652622815, 0, -1]);
        let t = single(&POW, 12).input([2], &[9i32, 2]).input([], &[0.5f32]).tensor().unwrap();
        assert_eq!(t.slice::<i32>().unwrap(), [3, 1]);
        let t = single(&POW, 12).input([2], &[9i64, -2]).input([], &[2f64]).tensor().unwrap();
        assert_eq!(t.slice::<i64>().unwrap(), [81, 4]);
    }
}
