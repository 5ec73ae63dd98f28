//! Scratch memory whose size a plan may not have known.

use base::Result;
use op::Run;

/// `len` words of any content: scratch memory if the plan set enough aside, else from `heap`.
///
/// # Errors
/// `Fail` when the scratch memory is given out already.
pub(crate) fn words<'a>(cx: &'a Run<'_>, len: usize, heap: &'a mut Vec<i64>) -> Result<&'a mut [i64]> {
    let scratch = cx.scratch::<i64>()?;
    if scratch.len() >= len {
        return Ok(&mut scratch[..len]);
    }
    heap.resize(len, 0);
    Ok(heap)
}
