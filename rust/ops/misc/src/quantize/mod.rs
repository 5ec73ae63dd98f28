//! Quantization: numbers as small integers or floats with a scale and a zero point, for a whole tensor, an axis, or blocks of one.

pub mod dequantize_linear;
pub mod dynamic;
mod fast;
mod grid;
pub mod quantize_linear;
mod source;
mod write;

use base::{DType, Error, ErrorKind, Result, Shape, axis_index, ensure};
use ir::Dim;
use op::{Attrs, Infer};

use grid::Grid;

/// How many elements one thread works on at a time, about: some tens of KiB.
const CHUNK: usize = 16 << 10;

/// Which elements share a scale.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granularity {
    axis: i64,
    /// Elements of a block along the axis; 0 if scales are for the whole tensor or an axis.
    block: usize,
}

impl Granularity {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let block = a.int("block_size", 0)?;
        let Ok(block) = usize::try_from(block) else { base::bail!(InvalidGraph, "attribute 'block_size' is {block}") };
        Ok(Self { axis: a.int("axis", 1)?, block })
    }

    /// How the scales, of shape `scale`, lie over a tensor of shape `x`.
    ///
    /// # Errors
    /// `InvalidArgument` when the shapes do not fit.
    fn grid(self, x: &[usize], scale: &[usize]) -> Result<Grid> {
        ensure!(Shape::checked_len(x).is_some(), InvalidArgument, "a tensor of shape {} is too large", Shape::from(x));
        if scale.is_empty() || scale.iter().all(|&d| d == 1) {
            return Ok(Grid::tensor(x));
        }
        let axis = axis_index(self.axis, x.len())?;
        let (x_shape, scale_shape) = (Shape::from(x), Shape::from(scale));
        if scale.len() == 1 && (self.block == 0 || x.len() > 1) {
            let fits = scale[0] == x[axis];
            ensure!(fits, InvalidArgument, "scale has shape {scale_shape}, but axis {axis} of shape {x_shape} needs {}", x[axis]);
            return Ok(Grid::axis(x, axis));
        }
        ensure!(self.block > 0, InvalidArgument, "scale has shape {scale_shape}, which needs a block_size");
        let mut needed = x_shape.clone();
        needed.dims_mut()[axis] = x[axis].div_ceil(self.block);
        let fits = scale_shape == needed;
        ensure!(fits, InvalidArgument, "scale has shape {scale_shape}, but shape {x_shape} in blocks of {} needs {needed}", self.block);
        Ok(Grid::blocks(x, axis, self.block))
    }

    /// Checks what inference knows: input 0 is the tensor, input 1 the scale, input 2 the zero point.
    fn check(self, cx: &Infer<'_>) -> Result<()> {
        let known = |i: usize| cx.optional(i).and_then(ir::Fact::known_shape);
        if let (Some(scale), Some(zero)) = (known(1), known(2)) {
            check_zero_point(&scale, &zero).map_err(invalid_graph)?;
        }
        let (Some(x), Some(scale)) = (cx.dims(0)?, known(1)) else { return Ok(()) };
        if let Some(x) = x.iter().map(Dim::size).collect::<Option<Shape>>() {
            self.grid(&x, &scale).map_err(invalid_graph)?;
        }
        Ok(())
    }
}

fn invalid_graph(e: Error) -> Error {
    e.with_kind(ErrorKind::InvalidGraph)
}

/// Fails unless there is a zero point for each scale.
fn check_zero_point(scale: &[usize], zero: &[usize]) -> Result<()> {
    let one = |s: &[usize]| s.iter().all(|&d| d == 1);
    let fits = scale == zero || (one(scale) && one(zero));
    ensure!(fits, InvalidArgument, "scale has shape {}, but the zero point has {}", Shape::from(scale), Shape::from(zero));
    Ok(())
}

/// The least and the largest number of an integer type that tensors are quantized to.
fn range(dtype: DType) -> Option<(i32, i32)> {
    Some(match dtype {
        DType::U8 => (0, 255),
        DType::I8 => (-128, 127),
        DType::U16 => (0, 65535),
        DType::I16 => (-32768, 32767),
        DType::U4 => (0, 15),
        DType::I4 => (-8, 7),
        DType::U2 => (0, 3),
        DType::I2 => (-2, 1),
        _ => return None,
    })
}
