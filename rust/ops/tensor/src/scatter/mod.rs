//! Writing updates where indices say: Scatter, ScatterElements, ScatterND.

pub mod elements;
pub mod nd;
mod reduction;

use std::sync::Arc;

use base::{DType, Result, Shape, Strings, TensorMut, TensorRef, bail, error};
use ir::Dim;
use op::{Attrs, Infer, Run};

use crate::dispatch::with_type;
use crate::indices::wrap;
use crate::movement::{Word, words, words_mut};
use reduction::{Number, Reduction};

/// How an update becomes an element: from the element that is there, and from the update.
type Combine<T> = fn(T, T) -> T;

/// Writes updates into elements.
trait Scatter: Sync {
    /// Combines each of `updates` with the element of `out` that its index names, in the order of the updates.
    ///
    /// # Errors
    /// `InvalidArgument` when an index is out of range.
    fn scatter<T: Copy + Send + Sync>(&self, out: &mut [T], updates: &[T], combine: impl Fn(T, T) -> T + Sync) -> Result<()>;
}

/// The elements of the output when `data` is a small vector, all three inputs are known, and updates replace what is there:
/// exporters set sizes in shapes this way.
fn replaced(cx: &Infer<'_>, reduction: Reduction) -> Option<Arc<[Dim]>> {
    let vector = reduction == Reduction::None && cx.dims(0).ok()??.len() == 1;
    let (mut data, updates) = (cx.ints(0).filter(|_| vector)?.to_vec(), cx.ints(2)?);
    for (index, update) in cx.known_ints(1)?.into_iter().zip(updates) {
        let at = wrap(index, data.len())?;
        data[at] = update.clone();
    }
    Some(data.into())
}

/// The attribute `reduction`: from opset 16 on, with `min` and `max` from 18 on.
fn load_reduction(a: &Attrs<'_>) -> Result<Reduction> {
    let names = Reduction::NAMES.map(|n| n.0);
    match a.since() {
        ..16 => Ok(Reduction::None),
        16..18 => Ok(Reduction::NAMES[a.choice("reduction", &names[..3], "none")?].1),
        _ => Ok(Reduction::NAMES[a.choice("reduction", &names, "none")?].1),
    }
}

/// Makes memory for output 0, which has the type and shape of input 0.
fn start(cx: &mut Run<'_>) -> Result<()> {
    let data = cx.input(0)?;
    let (dtype, shape) = (data.dtype(), Shape::from(data.shape()));
    if dtype == DType::String { Ok(()) } else { cx.allocate(0, dtype, shape) }
}

/// Makes output 0 the elements of input 0 with the updates of input 2. Strings are given back, for [`finish`].
fn apply(cx: &Run<'_>, scatter: &impl Scatter, reduction: Reduction) -> Result<Option<Strings>> {
    let (data, updates) = (cx.input(0)?, cx.input(2)?);
    let dtype = data.dtype();
    if dtype == DType::String {
        if reduction != Reduction::None {
            bail!(NotImplemented, "strings cannot be reduced by {reduction:?}");
        }
        return scatter_strings(cx, scatter).map(Some);
    }
    let out = cx.output(0)?;
    if out.address().cast_const() != data.address() {
        // SAFETY: this handle to the output is used for the copy alone, and is gone before `out` is used.
        base::copy::copy(data, unsafe { TensorMut::new(dtype, out.shape(), out.layout(), out.memory(), out.address()) })?;
    }
    write(scatter, out, updates, reduction).map(|()| None)
}

/// Makes strings output 0.
fn finish(cx: &mut Run<'_>, strings: Option<Strings>) -> Result<()> {
    let shape = Shape::from(cx.input(0)?.shape());
    strings.map_or(Ok(()), |strings| cx.set_strings(0, shape, strings))
}

fn write(scatter: &impl Scatter, out: TensorMut<'_>, updates: TensorRef<'_>, reduction: Reduction) -> Result<()> {
    let dtype = out.dtype();
    if reduction == Reduction::None {
        return match dtype.size() {
            Some(1) => replace::<u8>(scatter, out, updates),
            Some(2) => replace::<u16>(scatter, out, updates),
            Some(4) => replace::<u32>(scatter, out, updates),
            Some(8) => replace::<u64>(scatter, out, updates),
            Some(_) => replace::<[u64; 2]>(scatter, out, updates),
            None => Err(error!(NotImplemented, "there is no kernel for packed {dtype}")),
        };
    }
    with_type!(dtype, T => reduce::<T>(scatter, out, updates, reduction), _ => bail!(NotImplemented, "there is no kernel for {dtype}"),
        F32: f32, F64: f64, F16: half::f16, BF16: half::bf16, I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64,
        Bool: bool, C64: num_complex::Complex<f32>, C128: num_complex::Complex<f64>)
}

fn replace<T: Word>(scatter: &impl Scatter, out: TensorMut<'_>, updates: TensorRef<'_>) -> Result<()> {
    scatter.scatter(words_mut::<T>(out.bytes()?), words::<T>(updates.bytes()?), |_, update| update)
}

fn reduce<T: Number>(scatter: &impl Scatter, out: TensorMut<'_>, updates: TensorRef<'_>, reduction: Reduction) -> Result<()> {
    let Some(combine) = reduction.of::<T>() else { bail!(NotImplemented, "{} cannot be reduced by {reduction:?}", T::DTYPE) };
    scatter.scatter(out.slice::<T>()?, updates.slice::<T>()?, combine)
}

fn scatter_strings(cx: &Run<'_>, scatter: &impl Scatter) -> Result<Strings> {
    let mut all: Vec<&str> = cx.input(0)?.strings()?.iter().collect();
    let updates: Vec<&str> = cx.input(2)?.strings()?.iter().collect();
    scatter.scatter(&mut all, &updates, |_, update| update)?;
    Strings::gather(all.into_iter())
}
