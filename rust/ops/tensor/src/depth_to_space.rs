//! DepthToSpace: blocks of channels become blocks of pixels.

use base::{Result, Shape, ensure, error};
use ir::{Dim, Dims};
use op::types::{ANY_V1, ANY_V13};
use op::{Attrs, Infer, Kernels, Mask, Op, OpDef, Run, Stateless, since};

use crate::movement::{Region, write};

const SIGNATURE: &str = "input:T -> output:T";

/// DepthToSpace of `ai.onnx`.
pub static DEPTH_TO_SPACE: OpDef = OpDef {
    name: "DepthToSpace",
    versions: &[
        since(1, SIGNATURE, &[("T", ANY_V1)]),
        since(11, SIGNATURE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(28, SIGNATURE, &[("T", ANY_V13)]),
    ],
    load: |a| Ok(Box::new(DepthToSpace { blocks: Blocks::load(a, a.since() >= 11)? })),
    kernels: Kernels::NONE.stateless::<DepthToSpace>(),
    strided: Mask::of(1, 1),
    ..OpDef::ONNX
};

/// Square blocks of pixels, and where they are among the channels.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// The side of a block.
    pub(crate) side: usize,
    /// Whether a block's pixels come before the other channels (`DCR`), or after them (`CRD`).
    pub(crate) pixels_first: bool,
}

impl Blocks {
    /// Reads `blocksize`, and `mode` where the version has it.
    ///
    /// # Errors
    /// `InvalidGraph` when they are none of those.
    pub(crate) fn load(a: &Attrs<'_>, has_mode: bool) -> Result<Self> {
        let side = a.required_int("blocksize")?;
        let side = usize::try_from(side).ok().filter(|&s| s > 0).ok_or_else(|| error!(InvalidGraph, "blocksize is {side}"))?;
        let mode = if has_mode { a.choice("mode", &["DCR", "CRD"], "DCR")? } else { 0 };
        Ok(Self { side, pixels_first: mode == 0 })
    }

    /// Channels of a block of one pixel each.
    ///
    /// # Errors
    /// `InvalidGraph` when their number overflows.
    pub(crate) fn area(&self) -> Result<usize> {
        self.side.checked_mul(self.side).ok_or_else(|| error!(InvalidGraph, "blocksize is {}", self.side))
    }

    /// A region of shape `[N, C * side * side, H, W]` as `[N, C, H, side, W, side]`, the pixels of each block where they go.
    ///
    /// # Errors
    /// `InvalidArgument` when the channels are no whole blocks.
    pub(crate) fn unfolded(&self, deep: Region) -> Result<Region> {
        let channels = deep.axes()[1].len / self.area()?.max(1);
        if self.pixels_first {
            deep.split(1, self.side * channels.max(1))?.split(2, channels.max(1))?.permute(&[0, 3, 4, 1, 5, 2])
        } else {
            deep.split(1, self.area()?)?.split(2, self.side)?.permute(&[0, 1, 4, 2, 5, 3])
        }
    }

    /// A region of shape `[N, C, H * side, W * side]` as `[N, C, H, side, W, side]`.
    ///
    /// # Errors
    /// `InvalidArgument` when height or width are no whole blocks.
    pub(crate) fn cut(&self, wide: Region) -> Result<Region> {
        wide.split(2, self.side)?.split(4, self.side)
    }
}

#[derive(Clone, Debug)]
struct DepthToSpace {
    blocks: Blocks,
}

impl Op for DepthToSpace {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (side, area) = (Dim::from(self.blocks.side), Dim::from(self.blocks.area()?));
        let dims: Dims = match cx.dims(0)? {
            Some([n, c, h, w]) => {
                let whole = c.size().is_none_or(|c| c.is_multiple_of(area.size().unwrap_or(1)));
                ensure!(whole, InvalidGraph, "{c} channels are no multiple of {area}");
                [n.clone(), c.floor_div(&area), h.mul(&side), w.mul(&side)].into_iter().collect()
            }
            Some(dims) => base::bail!(InvalidGraph, "the input must have four axes, not shape {dims:?}"),
            None => cx.fresh_dims(4),
        };
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

impl Stateless for DepthToSpace {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let input = cx.input(0)?;
        let (side, area) = (self.blocks.side, self.blocks.area()?);
        let dtype = input.dtype();
        let &[n, c, h, w] = input.shape() else {
            base::bail!(InvalidArgument, "the input must have four axes, not shape {}", Shape::from(input.shape()))
        };
        ensure!(c.is_multiple_of(area), InvalidArgument, "{c} channels are no multiple of {area}");
        let sides = h.checked_mul(side).zip(w.checked_mul(side));
        let (h, w) = sides.ok_or_else(|| error!(InvalidArgument, "blocks of {side} make {h} by {w} pixels too many"))?;
        write(cx, 0, dtype, [n, c / area, h, w].into(), |cx, out| {
            let input = cx.input(0)?;
            if input.is_empty() {
                return Ok(());
            }
            out.copy(&input, &self.blocks.unfolded(Region::of(&input)?)?, &self.blocks.cut(out.whole())?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn both_modes() {
        let data: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let case = |mode: &str| single(&DEPTH_TO_SPACE, 13).attr("blocksize", 2).attr("mode", mode).input([1, 8, 1, 1], &data);
        let t = case("DCR").tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[1, 2, 2, 2][..], &[0., 2., 4., 6., 1., 3., 5., 7.][..]));
        assert_eq!(case("CRD").tensor().unwrap().slice::<f32>().unwrap(), data);
        assert!(case("XYZ").tensor().is_err());
    }

    #[test]
    fn impossible_blocks() {
        let case = |side: i64, channels: usize| {
            single(&DEPTH_TO_SPACE, 1).attr("blocksize", side).input([1, channels, 1, 1], &vec![0u8; channels]).tensor()
        };
        assert!(case(2, 6).is_err() && case(0, 4).is_err() && case(i64::MAX, 4).is_err());
        assert_eq!(&**case(1, 3).unwrap().shape(), [1, 3, 1, 1]);
        assert_eq!(&**case(2, 0).unwrap().shape(), [1, 0, 2, 2]);
        assert!(single(&DEPTH_TO_SPACE, 13).attr("blocksize", 1).input([1], &[1u8]).tensor().is_err());
    }
}
