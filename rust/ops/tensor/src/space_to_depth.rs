//! SpaceToDepth: blocks of pixels become blocks of channels.

use base::{Result, Shape, ensure, error};
use ir::{Dim, Dims};
use op::types::{ANY_V1, ANY_V13};
use op::{Infer, Kernels, Mask, Op, OpDef, Run, Stateless, since};

use crate::depth_to_space::Blocks;
use crate::movement::{Region, write};

const SIGNATURE: &str = "input:T -> output:T";

/// SpaceToDepth of `ai.onnx`.
pub static SPACE_TO_DEPTH: OpDef = OpDef {
    name: "SpaceToDepth",
    versions: &[since(1, SIGNATURE, &[("T", ANY_V1)]), since(13, SIGNATURE, &[("T", ANY_V13)]), since(28, SIGNATURE, &[("T", ANY_V13)])],
    load: |a| Ok(Box::new(SpaceToDepth { blocks: Blocks::load(a, a.since() >= 28)? })),
    kernels: Kernels::NONE.stateless::<SpaceToDepth>(),
    strided: Mask::of(1, 1),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SpaceToDepth {
    blocks: Blocks,
}

impl Op for SpaceToDepth {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (side, area) = (Dim::from(self.blocks.side), Dim::from(self.blocks.area()?));
        let dims: Dims = match cx.dims(0)? {
            Some([n, c, h, w]) => {
                let whole = |d: &Dim| d.size().is_none_or(|d| d.is_multiple_of(self.blocks.side));
                ensure!(whole(h) && whole(w), InvalidGraph, "{h} by {w} pixels are no blocks of {side}");
                [n.clone(), c.mul(&area), h.floor_div(&side), w.floor_div(&side)].into_iter().collect()
            }
            Some(dims) => base::bail!(InvalidGraph, "the input must have four axes, not shape {dims:?}"),
            None => cx.fresh_dims(4),
        };
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

impl Stateless for SpaceToDepth {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let input = cx.input(0)?;
        let (side, area) = (self.blocks.side, self.blocks.area()?);
        let dtype = input.dtype();
        let &[n, c, h, w] = input.shape() else {
            base::bail!(InvalidArgument, "the input must have four axes, not shape {}", Shape::from(input.shape()))
        };
        let whole = h.is_multiple_of(side) && w.is_multiple_of(side);
        ensure!(whole, InvalidArgument, "{h} by {w} pixels are no blocks of {side}");
        let deep = c.checked_mul(area).ok_or_else(|| error!(InvalidArgument, "blocks of {side} make {c} channels too many"))?;
        write(cx, 0, dtype, [n, deep, h / side, w / side].into(), |cx, out| {
            let input = cx.input(0)?;
            if input.is_empty() {
                return Ok(());
            }
            out.copy(&input, &self.blocks.cut(Region::of(&input)?)?, &self.blocks.unfolded(out.whole())?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn it_undoes_depth_to_space() {
        let data: Vec<i16> = (0..2 * 12 * 3 * 5).collect();
        for mode in ["DCR", "CRD"] {
            let wide =
                single(&crate::depth_to_space::DEPTH_TO_SPACE, 28).attr("blocksize", 2).attr("mode", mode).input([2, 12, 3, 5], &data);
            let wide = wide.tensor().unwrap();
            let deep = single(&SPACE_TO_DEPTH, 28).attr("blocksize", 2).attr("mode", mode).value(wide).tensor().unwrap();
            assert_eq!((&**deep.shape(), deep.slice::<i16>().unwrap()), (&[2, 12, 3, 5][..], &data[..]));
        }
    }

    #[test]
    fn impossible_blocks() {
        let case = |opset| single(&SPACE_TO_DEPTH, opset).attr("blocksize", 2).input([1, 1, 2, 3], &[0u8; 6]);
        assert!(case(13).tensor().is_err());
        let mode = single(&SPACE_TO_DEPTH, 13).attr("blocksize", 1).attr("mode", "CRD").input([1, 1, 1, 1], &[1u8]);
        assert!(mode.tensor().is_err(), "the mode came with opset 28");
    }
}
