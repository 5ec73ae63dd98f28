//! Queries, keys and values that the operator Attention of `com.microsoft` makes itself.

use std::sync::Arc;

use base::{Result, bail, ensure};
use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Rhs, Step, gemm, scratch_len};
use op::{Prepare, Run};

use super::super::core::{room, room_bytes};
use crate::floats::Floats;
use crate::widen::take;

/// The product that makes them: sizes of the input and of what is made, and constant weights.
pub(super) struct Projection {
    weights: Option<Arc<PackedB<f32>>>,
}

/// The sizes of a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// Positions of all images.
    pub(super) rows: usize,
    /// Elements of an input position.
    pub(super) inner: usize,
    /// Elements of all that is made of it.
    pub(super) width: usize,
}

impl Projection {
    /// A product with the weights of input 1, packed if they are constant.
    pub(super) fn new(cx: &Prepare<'_>) -> Result<Self> {
        let Some(w) = cx.constant(1) else { return Ok(Self { weights: None }) };
        let &[rows, cols] = &**w.shape() else { bail!(InvalidGraph, "weights of shape {}", w.shape()) };
        let format = format!("attention projection {}", simd::isa::best().name());
        let pack = |w: &base::Tensor| {
            let mut wide = vec![0f32; w.len()];
            Floats::of(w.as_ref())?.read(0, &mut wide);
            PackedB::new(Mat::row_major(&wide, rows, cols)?)
        };
        Ok(Self { weights: Some(cx.packed.get(w, &format, pack)?) })
    }

    /// Bytes of scratch memory.
    pub(super) fn bytes(&self, m: Made) -> usize {
        let weights = if self.weights.is_some() { 0 } else { m.inner * m.width };
        let rooms = [m.rows * m.inner, m.rows * m.width, weights, m.width].map(room_bytes::<f32>);
        rooms.iter().sum::<usize>() + self.product_bytes(m)
    }

    fn product_bytes(&self, m: Made) -> usize {
        scratch_len::<f32>(1, m.rows, m.width, m.inner, false, self.weights.is_some()).next_multiple_of(64)
    }

    /// Multiplies the input by the weights: queries, keys and values side by side.
    pub(super) fn make<'a>(&self, m: Made, cx: &Run<'_>, scratch: &mut &'a mut [u8]) -> Result<&'a [f32]> {
        let Made { rows, inner, width } = m;
        let (x_room, made) = (room(scratch, rows * inner)?, room(scratch, rows * width)?);
        let bias_room = room(scratch, width)?;
        let x = Floats::of(cx.input(0)?)?;
        let x = x.row(0..x.len(), x_room);
        let w_room = if self.weights.is_some() { &mut [] } else { room(scratch, inner * width)? };
        let b = match &self.weights {
            Some(packed) => Rhs::Packed(packed),
            None => {
                let w = Floats::of(cx.input(1)?)?;
                Rhs::Plain(Mat::row_major(w.row(0..w.len(), w_room), inner, width)?)
            }
        };
        let bias = cx.optional(2)?.map(Floats::of).transpose()?;
        ensure!(bias.is_none_or(|b| b.len() == width), InvalidArgument, "a bias of {:?} elements, not {width}", bias.map(|b| b.len()));
        let bias = bias.map(|b| b.row(0..width, bias_room));
        let steps = bias.map(|b| [Step::add(Operand::per_column(b))]);
        let epilogue = Epilogue::new(steps.as_ref().map_or(&[], |s| &s[..]));
        let product = self.product_bytes(m).min(scratch.len());
        let product = take(scratch, product)?;
        gemm(Mat::row_major(x, rows, inner)?, b, &epilogue, MatMut::row_major(&mut *made, rows, width)?, product)?;
        Ok(made)
    }
}
