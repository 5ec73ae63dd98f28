//! Cast: elements as another type. CastLike: as the type of another tensor.

mod cuda;
mod like;
mod loops;
mod number;
mod packed;
mod strings;
mod text;

use std::sync::Arc;

use base::minifloat::RoundMode;
use base::{DType, Result, Type, bail, ensure, error};
use ir::{Dim, Fact};
use op::types::{ANY_V13, ANY_V19, ANY_V21, ANY_V23, ANY_V24, ANY_V25, BOOL, NUMERIC_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Since, TypeSet, since};

pub use like::CAST_LIKE;
pub(crate) use loops::{Rounding, cast};
pub(crate) use number::{Cut, To};

use crate::elementwise::{Map, map};
use packed::PackedCast;
use strings::{FromStrings, ToStrings};

const SIGNATURE: &str = "input:T1 -> output:T2";

const COMPLEX: &[DType] = &[DType::C64, DType::C128];
const V1: TypeSet = NUMERIC_V1.or(BOOL);
const V9: TypeSet = V1.or(TypeSet::tensors(&[DType::String]));
pub(crate) const V13: TypeSet = ANY_V13.without(COMPLEX);
pub(crate) const V19: TypeSet = ANY_V19.without(COMPLEX);
pub(crate) const V21: TypeSet = ANY_V21.without(COMPLEX);
pub(crate) const V23: TypeSet = ANY_V23.without(COMPLEX);
pub(crate) const V24: TypeSet = ANY_V24.without(COMPLEX);
pub(crate) const V25: TypeSet = ANY_V25.without(COMPLEX);
const V28: TypeSet = op::types::ANY.without(COMPLEX);

const VERSIONS: &[Since] = &[
    since(1, SIGNATURE, &[("T1", V1), ("T2", V1)]),
    since(6, SIGNATURE, &[("T1", V1), ("T2", V1)]),
    since(9, SIGNATURE, &[("T1", V9), ("T2", V9)]),
    since(13, SIGNATURE, &[("T1", V13), ("T2", V13)]),
    since(19, SIGNATURE, &[("T1", V19), ("T2", V19)]),
    since(21, SIGNATURE, &[("T1", V21), ("T2", V21)]),
    since(23, SIGNATURE, &[("T1", V23), ("T2", V23)]),
    since(24, SIGNATURE, &[("T1", V24), ("T2", V24)]),
    since(25, SIGNATURE, &[("T1", V25), ("T2", V25)]),
    since(28, SIGNATURE, &[("T1", V28), ("T2", V28)]),
];

/// Cast of `ai.onnx`.
///
/// A float that does not fit an integer type gives what processors give; text is written and read as ONNX Runtime does.
pub static CAST: OpDef = OpDef {
    name: "Cast",
    versions: VERSIONS,
    load: load_cast,
    kernels: Kernels::NONE.cpu::<Cast>().cuda::<Cast>(),
    in_place: &[(0, 0)],
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Cast {
    to: DType,
    rounding: Rounding,
}

fn load_cast(a: &Attrs<'_>) -> Result<Box<dyn Op>> {
    let to = if a.since() < 6 {
        let name = a.opt_string("to")?.unwrap_or_default();
        DType::all().find(|d| d.proto_name().eq_ignore_ascii_case(name))
    } else {
        a.opt_dtype("to")?
    };
    let to = to.ok_or_else(|| error!(InvalidGraph, "Required attribute 'to' is missing or no element type"))?;
    let allowed = VERSIONS.iter().rev().find(|s| s.version <= a.since()).and_then(|s| s.types.last());
    ensure!(
        allowed.is_some_and(|(_, set)| set.contains(&Type::Tensor(to))),
        InvalidGraph,
        "attribute 'to' is {to}, which version {} of Cast does not know",
        a.since()
    );
    Ok(Box::new(Cast { to, rounding: load_rounding(a)? }))
}

fn load_rounding(a: &Attrs<'_>) -> Result<Rounding> {
    let mut rounding = Rounding::default();
    if a.since() >= 19 {
        rounding.saturate = a.flag("saturate", true)?;
    }
    if a.since() >= 24 {
        let mode = a.string("round_mode", "up")?;
        rounding.mode = RoundMode::from_name(mode)
            .ok_or_else(|| error!(InvalidGraph, "attribute 'round_mode' is '{mode}', not up, down or nearest"))?;
    }
    Ok(rounding)
}

impl Op for Cast {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        state(cx, self.to)
    }
}

/// States that the output is input 0 as `to`.
fn state(cx: &mut Infer<'_>, to: DType) -> Result<()> {
    let shape = cx.dims(0)?.map(Into::into);
    let value = cx.ints(0).and_then(|v| v.iter().map(|d| element(d, to)).collect::<Option<Arc<[Dim]>>>());
    cx.set(0, Fact { shape, value, ..Fact::of(Type::Tensor(to)) });
    Ok(())
}

/// A known integer as another type that shapes are computed in.
fn element(d: &Dim, to: DType) -> Option<Dim> {
    match (to, d.known()) {
        (DType::I64, _) => Some(d.clone()),
        (DType::I32, Some(n)) => Some(Dim::Known((n as i32).into())),
        (DType::I32, None) => Some(d.clone()),
        (DType::Bool, Some(n)) => Some(Dim::Known((n != 0).into())),
        (DType::Bool, None) if d.range().0 > 0 => Some(Dim::Known(1)),
        _ => None,
    }
}

impl CpuKernel for Cast {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        kernel(cx, self.to, self.rounding)
    }
}

/// The kernel for the type of input 0.
fn kernel(cx: &Prepare<'_>, to: DType, rounding: Rounding) -> Result<Box<dyn Prepared>> {
    let from = cx.dtype(0)?;
    let made: Option<Box<dyn Prepared>> = match (from, to) {
        (DType::String, DType::String) => Some(Box::new(Same)),
        (DType::String, _) => FromStrings::new(to, rounding).map(|k| Box::new(k) as _),
        (_, DType::String) => ToStrings::new(from).map(|k| Box::new(k) as _),
        _ if from.is_packed() || to.is_packed() => cast(from, to, rounding).map(|map| Box::new(PackedCast { map, from, to }) as _),
        _ => cast(from, to, rounding).map(|map| Box::new(Loop { map, from, to }) as _),
    };
    match made {
        Some(kernel) => Ok(kernel),
        None => bail!(NotImplemented, "Could not find an implementation for {} from {from} to {to}", cx.node.key),
    }
}

struct Loop {
    map: Box<dyn Map>,
    from: DType,
    to: DType,
}

impl Prepared for Loop {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        map(cx, &*self.map, self.from, self.to)
    }
}

/// Strings as strings.
struct Same;

impl Prepared for Same {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let value = cx.value(0)?;
        cx.set(0, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Tensor;
    use testkit::{assert_close, single};

    fn to(dtype: DType) -> testkit::Single {
        single(&CAST, 28).attr("to", dtype as i64)
    }

    #[test]
    fn every_pair_of_types() {
        // Numbers that every type can hold, or nearly so: 1 in a type of powers of two, and no negative ones.
        for from in DType::all().filter(|d| !matches!(d, DType::C64 | DType::C128)) {
            let ones: Vec<bool> = (0..3001).map(|i| i % 3 == 0 || from == DType::F8E8M0).collect();
            let start = to(from).input([3001], &ones).tensor().unwrap();
            assert_eq!((start.dtype(), start.len()), (from, 3001));
            for dtype in DType::all().filter(|d| !matches!(d, DType::C64 | DType::C128)) {
                let there = to(dtype).value(start.clone()).tensor().unwrap();
                let back = to(DType::Bool).value(there.clone()).tensor().unwrap();
                assert_eq!(there.dtype(), dtype);
                // The least power of two is not zero.
                let expected: Vec<bool> = ones.iter().map(|o| *o || dtype == DType::F8E8M0).collect();
                assert_eq!(back.slice::<bool>().unwrap(), expected, "{from} {dtype}");
            }
        }
    }

    #[test]
    fn doubles_are_rounded_once() {
        // Above the middle of two neighbours by less than a float tells.
        let x = [1.0 + 2f64.powi(-11) + 2f64.powi(-40)];
        assert_close(&to(DType::F16).input([1], &x).tensor().unwrap(), &[1.0 + 2f64.powi(-10)], 0.0, 0.0);
        assert_eq!(to(DType::F8E4M3FN).input([1], &[1.0625 + 1e-12]).tensor().unwrap().as_ref().bytes().unwrap(), [0x39]);
    }

    #[test]
    fn attributes_for_small_floats() {
        let x = [1e6f32, 1.5, f32::INFINITY];
        let bytes = |s: testkit::Single| s.input([3], &x).tensor().unwrap().as_ref().bytes().unwrap().to_vec();
        assert_eq!(bytes(to(DType::F8E4M3FN)), [126, 0x3c, 126]);
        assert_eq!(bytes(to(DType::F8E4M3FN).attr("saturate", 0)), [127, 0x3c, 127]);
        assert_eq!(bytes(to(DType::F8E8M0)), [147, 128, 254]);
        assert_eq!(bytes(to(DType::F8E8M0).attr("round_mode", "down")), [146, 127, 254]);
        assert_eq!(bytes(to(DType::F8E8M0).attr("round_mode", "nearest").attr("saturate", 0)), [147, 128, 255]);
        assert!(to(DType::F8E8M0).attr("round_mode", "out").input([1], &[1f32]).tensor().is_err());
        assert!(single(&CAST, 13).attr("to", 1).attr("saturate", 0).input([1], &[1f32]).tensor().is_err());
    }

    #[test]
    fn packed_types_of_odd_lengths() {
        for n in [0usize, 1, 3, 1023, 1024, 1025, 20000] {
            let x: Vec<i32> = (0..n as i32).map(|i| i % 37 - 18).collect();
            let cut = |bits: u32| x.iter().map(|x| x << (32 - bits) >> (32 - bits)).collect::<Vec<_>>();
            for (dtype, want) in [(DType::I4, cut(4)), (DType::I2, cut(2))] {
                let packed = to(dtype).input([n], &x).tensor().unwrap();
                let back = to(DType::I32).value(packed).tensor().unwrap();
                assert_eq!(back.slice::<i32>().unwrap(), want, "{dtype} {n}");
            }
        }
        let odd = to(DType::U4).input([3], &[1u8, 2, 0xff]).tensor().unwrap();
        assert_eq!(odd.as_ref().bytes().unwrap(), [0x21, 0x0f]);
    }

    #[test]
    fn text_both_ways() {
        let t = to(DType::String).input([4], &[1.5f32, f32::NAN, -f32::INFINITY, 1e20]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["1.5", "NaN", "-INF", "1e+20"]);
        let t = to(DType::String).input([2], &[u64::MAX, 0]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["18446744073709551615", "0"]);
        let t = to(DType::String).input([2], &[true, false]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["1", "0"]);
        let four = Tensor::from_bytes(DType::I4, [3], &[0x9f, 0x07]).unwrap();
        let t = to(DType::String).value(four).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["-1", "-7", "7"]);
        let t = to(DType::F16).strings([3], &["1.5", "INF", "-2e1"]).tensor().unwrap();
        assert_close(&t, &[1.5, f64::INFINITY, -20.0], 0.0, 0.0);
        assert_eq!(to(DType::U8).strings([2], &["300", "-1"]).tensor().unwrap().slice::<u8>().unwrap(), [44, 255]);
        let e = to(DType::I64).strings([1], &["hello"]).tensor().unwrap_err();
        assert!(e.detail().contains("'hello' is no integer"), "{e}");
        assert!(single(&CAST, 6).attr("to", 8).input([1], &[1f32]).tensor().is_err());
    }

    #[test]
    fn the_type_was_text_once() {
        let t = single(&CAST, 1).attr("to", "INT32").input([2], &[1.9f32, -1.9]).tensor().unwrap();
        assert_eq!(t.slice::<i32>().unwrap(), [1, -1]);
        assert!(single(&CAST, 1).attr("to", "INT33").input([1], &[1f32]).tensor().is_err());
        assert!(single(&CAST, 13).attr("to", 17).input([1], &[1f32]).tensor().unwrap_err().detail().contains("does not know"));
        assert!(single(&CAST, 13).input([1], &[1f32]).tensor().is_err());
    }
}
