//! Sequences: lists of tensors of one type.

pub mod at;
pub mod concat;
pub mod construct;
pub mod empty;
pub mod erase;
pub mod insert;
pub mod length;
pub mod split;

use std::sync::Arc;

use base::{Result, Sequence, Type, Value, bail, ensure};
use op::{Infer, Run};

use crate::scalar::int;

/// The type of a sequence of `element`s.
pub(crate) fn of(element: Type) -> Type {
    Type::Sequence(Box::new(element))
}

/// The element type of input `i`, which is a sequence.
pub(crate) fn element(cx: &Infer<'_>, i: usize) -> Result<Type> {
    match &cx.input(i)?.ty {
        Type::Sequence(element) => Ok((**element).clone()),
        other => bail!(InvalidGraph, "input {i} must be a sequence, not {other}"),
    }
}

/// The sequence that is input `i`, for changes: if no later node reads it and nobody else holds it, it is changed in place.
pub(crate) fn take(cx: &mut Run<'_>, i: usize) -> Result<Arc<Sequence>> {
    match cx.take(i)? {
        Value::Sequence(sequence) => Ok(sequence),
        other => bail!(InvalidArgument, "input {i} must be a sequence, not {}", other.ty()),
    }
}

/// The position that input `i` names in a sequence of `len` elements, counted from the end when negative; `default` if it is left out.
/// `most` is the largest position allowed.
pub(crate) fn position(cx: &Run<'_>, i: usize, len: usize, most: i64, default: usize) -> Result<usize> {
    let Some(given) = cx.optional(i)? else { return Ok(default) };
    let position = int(given)?;
    let least = -(len as i64);
    ensure!(least <= position && position <= most, InvalidArgument, "position {position} is outside [{least}, {most}] of {len} elements");
    Ok(if position < 0 { (position - least) as usize } else { position as usize })
}
