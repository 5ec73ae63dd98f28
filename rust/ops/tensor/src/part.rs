//! Parts of a dense whole, as planners want them.

use base::{Result, error};
use op::Part;

use crate::movement::Region;

/// Where `region` of a dense tensor lies.
///
/// # Errors
/// `Fail` when it begins before the tensor.
pub(crate) fn part_of(region: &Region) -> Result<Part> {
    let offset = usize::try_from(region.offset()).map_err(|_| error!(Fail, "{region:?} begins before its tensor"))?;
    Ok(Part { offset, strides: region.axes().iter().map(|a| a.by[0]).collect() })
}
