//! StringConcat: strings of two tensors put together, one by one.

use base::threads::paced;
use base::{DType, Result, Shape, Strings, broadcast, dense_strides};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, broadcast_dims, since};

use super::STRING;

/// StringConcat of `ai.onnx`.
pub static STRING_CONCAT: OpDef = OpDef {
    name: "StringConcat",
    versions: &[since(20, "X:T, Y:T -> Z:T", &[("T", STRING)])],
    load: |_| Ok(Box::new(StringConcat)),
    kernels: Kernels::NONE.stateless::<StringConcat>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct StringConcat;

impl Op for StringConcat {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = broadcast_dims(&[cx.dims(0)?, cx.dims(1)?])?;
        cx.tensor(0, DType::String, dims);
        Ok(())
    }
}

/// The element of a tensor of shape `dims` that each element of `shape` reads, in order.
fn places(dims: &[usize], shape: &[usize]) -> impl Iterator<Item = usize> {
    let lead = shape.len() - dims.len();
    let strides = dense_strides(dims);
    let steps: Vec<usize> =
        (0..shape.len()).map(|i| if i < lead || dims[i - lead] == 1 { 0 } else { strides[i - lead] as usize }).collect();
    let shape = Shape::from(shape);
    let len = Shape::checked_len(&shape).unwrap_or(0);
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    (0..len).map(move |_| {
        let place = at;
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= steps[axis] * shape[axis];
            index[axis] = 0;
        }
        place
    })
}

impl Stateless for StringConcat {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (x, y) = (cx.input(0)?, cx.input(1)?);
        let shape = broadcast(x.shape(), y.shape())?;
        let (left, right) = (x.strings()?, y.strings()?);
        let len = Shape::checked_len(&shape).unwrap_or(usize::MAX);
        // Each string of a side is read as often as any other of it.
        let times = |side: &Strings| side.byte_len().saturating_mul(len / side.len().max(1));
        let mut joined = Strings::with_room(len, times(left).saturating_add(times(right)))?;
        for (i, j) in paced(places(x.shape(), &shape).zip(places(y.shape(), &shape)), 32) {
            joined.push_parts(&[left.get(i), right.get(j)]);
        }
        cx.set_strings(0, shape, joined)
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, single};

    use super::*;

    fn strings(s: Single) -> (Vec<usize>, Vec<String>) {
        let t = s.tensor().unwrap();
        (t.shape().to_vec(), t.as_ref().strings().unwrap().iter().map(str::to_owned).collect())
    }

    #[test]
    fn puts_pairs_together() {
        let s = single(&STRING_CONCAT, 20).strings([2], &["ä", ""]).strings([2], &["€", "b"]);
        assert_eq!(strings(s), (vec![2], vec!["ä€".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn broadcasts() {
        let s = single(&STRING_CONCAT, 20).strings([2, 1], &["a", "b"]).strings([3], &["1", "2", "3"]);
        assert_eq!(strings(s), (vec![2, 3], ["a1", "a2", "a3", "b1", "b2", "b3"].map(str::to_owned).to_vec()));
        let s = single(&STRING_CONCAT, 20).strings([], &["a"]).strings([2, 0], &[]);
        assert_eq!(strings(s), (vec![2, 0], vec![]));
        assert!(single(&STRING_CONCAT, 20).strings([2], &["a", "b"]).strings([3], &["1", "2", "3"]).run(1).is_err());
    }
}
