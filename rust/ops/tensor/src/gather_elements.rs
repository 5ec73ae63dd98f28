//! GatherElements: each output element comes from the same place in `data`, but for `axis`, where an index of its own says.

use base::{Result, Shape, axis_index, ensure};
use op::types::{ANY_V1, ANY_V13, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::facts;
use crate::indices::Indices;
use crate::movement::{Region, Walk, write};

const SIGNATURE: &str = "data:T, indices:Tind -> output:T";

/// GatherElements of `ai.onnx`.
pub static GATHER_ELEMENTS: OpDef = OpDef {
    name: "GatherElements",
    versions: &[since(11, SIGNATURE, &[("T", ANY_V1), ("Tind", INDEX)]), since(13, SIGNATURE, &[("T", ANY_V13), ("Tind", INDEX)])],
    load: |a| Ok(Box::new(GatherElements { axis: a.int("axis", 0)? })),
    kernels: Kernels::NONE.stateless::<GatherElements>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct GatherElements {
    axis: i64,
}

impl Op for GatherElements {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (data, indices) = (cx.dims(0)?, cx.dims(1)?);
        if let (Some(data), Some(indices)) = (data, indices) {
            let axis = facts::axis(self.axis, data.len())?;
            let fits = |(a, b): (&ir::Dim, &ir::Dim)| a.known().zip(b.known()).is_none_or(|(a, b)| b <= a);
            let inside = data.len() == indices.len() && data.iter().zip(indices).enumerate().all(|(i, d)| i == axis || fits(d));
            ensure!(inside, InvalidGraph, "indices of shape {indices:?} do not fit data of shape {data:?} on axis {axis}");
        }
        let dims = indices.map(Into::into).or_else(|| data.map(|d| cx.fresh_dims(d.len())));
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

/// Where elements of `data` are read: for each index its place, but on `axis` the first one; and the stride of `axis`.
///
/// # Errors
/// `InvalidArgument` when ranks differ, or `indices` are more than `data` on another axis.
pub(crate) fn places(data: &[usize], indices: &[usize], axis: usize) -> Result<(Region, usize)> {
    let fits = data.len() == indices.len() && (0..data.len()).all(|i| i == axis || indices[i] <= data[i]);
    ensure!(fits, InvalidArgument, "indices of shape {} do not fit data of shape {}", Shape::from(indices), Shape::from(data));
    let stride = data[axis + 1..].iter().product();
    let mut region = Region::dense(data);
    for (i, &count) in indices.iter().enumerate() {
        let step = if i == axis { 0 } else { 1 };
        region = if data[i] == 0 { Region::dense(indices) } else { region.slice(i, 0, step, count)? };
    }
    Ok((region, stride))
}

impl Stateless for GatherElements {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (data, indices) = (cx.input(0)?, cx.input(1)?);
        let axis = axis_index(self.axis, data.rank())?;
        let (region, stride) = places(data.shape(), indices.shape(), axis)?;
        let (len, dtype, shape) = (data.shape()[axis], data.dtype(), Shape::from(indices.shape()));
        write(cx, 0, dtype, shape, |cx, out| {
            let indices = Indices::of(&cx.input(1)?)?;
            out.rows(&cx.input(0)?, 1, |range| {
                let mut walk = Walk::new(region.axes(), [region.offset()], range.start);
                range.map(move |i| {
                    let base = walk.at[0] as usize;
                    walk.step();
                    indices.at(i, len).map(|index| base + index * stride)
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn on_both_axes() {
        let case = |axis: i64| single(&GATHER_ELEMENTS, 13).attr("axis", axis).input([2, 2], &[1f32, 2., 3., 4.]);
        let t = case(1).input([2, 2], &[0i64, 0, -1, 0]).tensor().unwrap();
        assert_eq!(t.slice::<f32>().unwrap(), [1., 1., 4., 3.]);
        let t = case(0).input([3, 1], &[1i32, 0, -1]).tensor().unwrap();
        assert_eq!(t.slice::<f32>().unwrap(), [3., 1., 3.]);
        assert!(case(0).input([1, 1], &[2i64]).tensor().unwrap_err().message().contains("idx=2"));
        assert!(case(0).input([1, 3], &[0i64; 3]).tensor().is_err());
        assert!(case(0).input([1], &[0i64]).tensor().is_err());
    }

    #[test]
    fn empty_and_large() {
        let t = single(&GATHER_ELEMENTS, 11).input([0, 2], &[0u8; 0]).input([0, 2], &[0i64; 0]).tensor().unwrap();
        assert_eq!(&**t.shape(), [0, 2]);
        assert!(single(&GATHER_ELEMENTS, 11).input([0, 2], &[0u8; 0]).input([1, 2], &[0i64; 2]).tensor().is_err());
        let (rows, columns) = (301, 211);
        let data: Vec<i64> = (0..rows * columns).collect();
        let indices: Vec<i64> = (0..rows * columns).map(|i| (i * 7) % columns).collect();
        let shape = [rows as usize, columns as usize];
        let t = single(&GATHER_ELEMENTS, 13).attr("axis", 1).input(shape, &data).input(shape, &indices).tensor().unwrap();
        let expected = indices.iter().enumerate().map(|(i, x)| i as i64 / columns * columns + x);
        assert!(t.slice::<i64>().unwrap().iter().copied().eq(expected));
    }
}
