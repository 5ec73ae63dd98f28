//! Steps of shape inference that operators here share.

use base::Result;
use op::Infer;

/// States that output `o` has the type and the sizes of input `i`.
///
/// # Errors
/// `InvalidGraph` when the input is left out or no tensor.
pub(crate) fn same(cx: &mut Infer<'_>, i: usize, o: usize) -> Result<()> {
    let (dtype, dims) = (cx.dtype(i)?, cx.dims(i)?);
    cx.tensor(o, dtype, dims.map(Into::into));
    Ok(())
}
