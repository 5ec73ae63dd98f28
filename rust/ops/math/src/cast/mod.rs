//! Cast: elements as another type. CastLike: as the type of another tensor.

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
pub(crate) use number::Cut;

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
    kernels: Kernels::NONE.cpu::<Cast>(),
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
        rounding.mode =
            RoundMode::from_name(mode).ok_or_else(|| error!(InvalidGraph, "attribute 'round_mode' is '{mode}', not up, down or nearest"))?;
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
