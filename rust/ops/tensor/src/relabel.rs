//! The kernel of operators that only give their input another shape, where a planner could not alias.

use base::{DType, Result, Shape};
use op::Run;

use crate::movement::write;

/// Makes output 0 the elements of input 0 under `shape`.
///
/// # Errors
/// `InvalidArgument` when the numbers of elements differ.
pub(crate) fn relabel(cx: &mut Run<'_>, shape: Shape) -> Result<()> {
    let dtype = cx.input(0)?.dtype();
    if dtype == DType::String {
        let strings = cx.value(0)?.tensor()?.reshaped(shape)?;
        return cx.set(0, strings);
    }
    write(cx, 0, dtype, shape, |cx, out| out.copy_all(&cx.input(0)?))
}
