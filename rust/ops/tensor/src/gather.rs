//! Gather: `output = data[.., indices, ..]` along `axis`.

use std::ops::Range;

use base::{Result, Shape, axis_index};
use ir::{Dim, SMALL};
use op::cuda::{Cuda, CudaClaim, CudaKernel, joined_row, suffix};
use op::types::{ANY_V1, ANY_V13, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::facts;
use crate::indices::{Indices, wrap};
use crate::movement::write;

const SIGNATURE: &str = "data:T, indices:Tind -> output:T";

/// Gather of `ai.onnx`.
pub static GATHER: OpDef = OpDef {
    name: "Gather",
    versions: &[
        since(1, SIGNATURE, &[("T", ANY_V1), ("Tind", INDEX)]),
        since(11, SIGNATURE, &[("T", ANY_V1), ("Tind", INDEX)]),
        since(13, SIGNATURE, &[("T", ANY_V13), ("Tind", INDEX)]),
    ],
    load: |a| Ok(Box::new(Gather { axis: a.int("axis", 0)? })),
    kernels: Kernels::NONE.stateless::<Gather>().cuda::<Gather>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Gather {
    axis: i64,
}

impl Op for Gather {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (Some(data), Some(indices)) = (cx.dims(0)?, cx.dims(1)?) else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let axis = facts::axis(self.axis, data.len())?;
        let dims = [&data[..axis], indices, &data[axis + 1..]].concat();
        let value = match (cx.ints(0), cx.known_ints(1)) {
            (Some(elements), Some(indices)) if data.len() == 1 => pick(elements, &indices),
            _ => None,
        };
        cx.set(0, ir::Fact { value, ..ir::Fact::tensor(dtype, dims) });
        Ok(())
    }
}

/// The chosen elements of a small known vector: shapes are taken apart this way.
fn pick(elements: &[Dim], indices: &[i64]) -> Option<std::sync::Arc<[Dim]>> {
    if indices.len() > SMALL {
        return None;
    }
    indices.iter().map(|&i| elements.get(wrap(i, elements.len())?).cloned()).collect()
}

impl Stateless for Gather {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (data, indices) = (cx.input(0)?, cx.input(1)?);
        let axis = axis_index(self.axis, data.rank())?;
        let (outer, inner) = (&data.shape()[..axis], &data.shape()[axis + 1..]);
        let (len, row) = (data.shape()[axis], inner.iter().product());
        let shape: Shape = outer.iter().chain(indices.shape()).chain(inner).copied().collect();
        let dtype = data.dtype();
        write(cx, 0, dtype, shape, |cx, out| {
            let indices = Indices::of(&cx.input(1)?)?;
            out.rows(&cx.input(0)?, row, |range| chosen(indices, len, range))
        })
    }
}

/// The row of `data`, seen as `[outer, len, inner]`, that each row of `range` of the output is.
fn chosen(indices: Indices<'_>, len: usize, range: Range<usize>) -> impl Iterator<Item = Result<usize>> {
    let count = indices.len().max(1);
    let (mut first, mut i) = (range.start / count * len, range.start % count);
    range.map(move |_| {
        let row = indices.at(i, len).map(|index| first + index);
        i += 1;
        if i == count {
            (first, i) = (first + len, 0);
        }
        row
    })
}

impl CudaKernel for Gather {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        cx.needs(&format!("gather_{}_{}", cx.element_size(0)?, suffix(cx.dtype(1)?)))
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let (data, indices) = (cx.dense(0)?, cx.dense(1)?);
        let axis = axis_index(self.axis, data.rank())?;
        let (outer, inner) = (&data.shape()[..axis], &data.shape()[axis + 1..]);
        let shape: Shape = outer.iter().chain(indices.shape()).chain(inner).copied().collect();
        let output = cx.output_of(0, &shape)?;
        let (count, len) = (indices.len() as u64, data.shape()[axis] as u64);
        let addresses = (data.address() as u64, indices.address() as u64, output.address() as u64);
        let size = data.dtype().size().unwrap_or_default();
        let (row, size) = joined_row(inner.iter().product(), size, [addresses.0, addresses.2]);
        let kernel = format!("gather_{size}_{}", suffix(indices.dtype()));
        let (n, row, (fault, node)) = (outer.iter().product::<usize>() * indices.len() * row, row as u64, cx.fault()?);
        // SAFETY: the output has a row for each pair of an outer index and one of the indices, which the kernel checks; `movement.cu`
        // declares these arguments.
        unsafe { cx.for_each(&kernel, n, (addresses.0, addresses.1, addresses.2, n as u64, count, len, row, fault, node)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn negative_index() {
        let t = single(&GATHER, 13).attr("axis", 1).input([2, 3], &[1f32, 2., 3., 4., 5., 6.]).input([2], &[-1i64, 0]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[2, 2][..], &[3f32, 1., 6., 4.][..]));
    }

    #[test]
    fn scalar_index_drops_the_axis() {
        let t = single(&GATHER, 13).input([2, 2], &[1i32, 2, 3, 4]).input([], &[1i32]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i32>().unwrap()), (&[2][..], &[3, 4][..]));
    }

    #[test]
    fn rows_of_every_size() {
        for row in [1usize, 2, 3, 4, 5, 8, 16, 30, 100_000] {
            let data: Vec<u16> = (0..6 * row).map(|i| i as u16).collect();
            let t = single(&GATHER, 13).attr("axis", 1).input([2, 3, row], &data).input([2, 1], &[2i32, -3]).tensor().unwrap();
            let expected = [2, 0, 5, 3].map(|i| &data[i * row..][..row]).concat();
            assert_eq!((&**t.shape(), t.slice::<u16>().unwrap()), (&[2, 2, 1, row][..], &expected[..]));
        }
    }

    #[test]
    fn empty_axis() {
        let t = single(&GATHER, 1).input([0, 2], &[0f64; 0]).input([0], &[0i64; 0]).tensor().unwrap();
        assert_eq!(&**t.shape(), [0, 2]);
        assert!(single(&GATHER, 11).input([0, 2], &[0f64; 0]).input([1], &[0i64]).tensor().is_err());
    }

    #[test]
    fn index_out_of_range_is_named() {
        let e = single(&GATHER, 13).input([3], &[1f32, 2., 3.]).input([1], &[3i64]).tensor().unwrap_err();
        assert!(e.message().contains("idx=3 must be within the inclusive range [-3,2]"), "{e}");
    }

    #[test]
    fn strings() {
        let t = single(&GATHER, 13).strings([2], &["a", "bc"]).input([3], &[1i64, 0, 1]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["bc", "a", "bc"]);
    }
}
