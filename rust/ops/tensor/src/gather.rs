//! Gather: `output = data[.., indices, ..]` along `axis`.

use base::{DType, Element, Result, Strings, TensorRef, axis_index, bail, error};
use ir::Dim;
use op::types::{ANY_V1, ANY_V13, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

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
    kernels: Kernels::NONE.stateless::<Gather>(),
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
        let axis = axis_index(self.axis, data.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
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
    indices.iter().map(|&i| elements.get(wrap(i, elements.len())?).cloned()).collect()
}

fn wrap(index: i64, len: usize) -> Option<usize> {
    let i = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(i).ok().filter(|i| *i < len)
}

impl Stateless for Gather {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (data, indices) = (cx.input(0)?, cx.input(1)?);
        let axis = axis_index(self.axis, data.rank())?;
        let rows = Rows {
            outer: data.shape()[..axis].iter().product(),
            len: data.shape()[axis],
            inner: data.shape()[axis + 1..].iter().product(),
            chosen: chosen(indices, data.shape()[axis])?,
        };
        if let Ok(strings) = data.strings() {
            let shape = [&data.shape()[..axis], indices.shape(), &data.shape()[axis + 1..]].concat();
            let picked = rows.elements().map(|i| strings.get(i)).collect::<Strings>();
            return cx.set_strings(0, shape, picked);
        }
        let output = cx.output(0)?;
        match data.dtype().size() {
            Some(size) => rows.copy(data.bytes()?, size, output.bytes()?),
            None => bail!(NotImplemented, "Gather has no kernel for packed {}", data.dtype()),
        }
        Ok(())
    }
}

/// `data` seen as `[outer, len, inner]`, and the rows chosen of the middle axis.
struct Rows {
    outer: usize,
    len: usize,
    inner: usize,
    chosen: Vec<usize>,
}

impl Rows {
    /// The flat index of every element of the output, in order.
    fn elements(&self) -> impl Iterator<Item = usize> + '_ {
        let rows = (0..self.outer).flat_map(move |o| self.chosen.iter().map(move |c| (o * self.len + c) * self.inner));
        rows.flat_map(move |start| start..start + self.inner)
    }

    /// Copies the chosen rows of elements of `size` bytes.
    fn copy(&self, data: &[u8], size: usize, output: &mut [u8]) {
        match size * self.inner {
            1 => self.copy_small::<1>(data, output),
            2 => self.copy_small::<2>(data, output),
            4 => self.copy_small::<4>(data, output),
            8 => self.copy_small::<8>(data, output),
            0 => {}
            row => {
                let starts = (0..self.outer).flat_map(|o| self.chosen.iter().map(move |c| (o * self.len + c) * row));
                for (to, from) in output.chunks_exact_mut(row).zip(starts) {
                    to.copy_from_slice(&data[from..from + row]);
                }
            }
        }
    }

    /// Rows of `N` bytes: a move each, not a call.
    fn copy_small<const N: usize>(&self, data: &[u8], output: &mut [u8]) {
        let (data, _) = data.as_chunks::<N>();
        let (output, _) = output.as_chunks_mut::<N>();
        let rows = (0..self.outer).flat_map(|o| self.chosen.iter().map(move |c| o * self.len + c));
        output.iter_mut().zip(rows).for_each(|(to, from)| *to = data[from]);
    }
}

fn chosen(indices: TensorRef<'_>, len: usize) -> Result<Vec<usize>> {
    match indices.dtype() {
        DType::I32 => checked::<i32>(indices, len),
        _ => checked::<i64>(indices, len),
    }
}

fn checked<T: Element + Into<i64>>(indices: TensorRef<'_>, len: usize) -> Result<Vec<usize>> {
    let indices = indices.slice::<T>()?.iter().map(|&i| i.into());
    let out_of_range = |i| {
        error!(
            InvalidArgument,
            "indices element out of data bounds, idx={i} must be within the inclusive range [-{len},{}]",
            len as i64 - 1
        )
    };
    indices.map(|i| wrap(i, len).ok_or_else(|| out_of_range(i))).collect()
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
