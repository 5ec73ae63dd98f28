//! NonZero: the coordinates of the elements that are not zero, one row for each axis.

use base::threads::{paced, pieces};
use base::{DType, Element, Result, TensorRef, error};
use ir::{Dim, Fact, SMALL};
use op::types::{ANY_V1, ANY_V13};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::dispatch::with_type;
use crate::facts;
use crate::movement::{Axes, Steps, Walk};

/// NonZero of `ai.onnx`. A scalar has no axes, so that its result has shape `{0, 0}` or `{0, 1}`.
pub static NON_ZERO: OpDef = OpDef {
    name: "NonZero",
    versions: &[since(9, "X:T -> Y:int64", &[("T", ANY_V1)]), since(13, "X:T -> Y:int64", &[("T", ANY_V13)])],
    load: |_| Ok(Box::new(NonZero)),
    kernels: Kernels::NONE.stateless::<NonZero>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct NonZero;

impl Op for NonZero {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(fact) = of_known(cx) {
            cx.set(0, fact);
            return Ok(());
        }
        let rank = match cx.dims(0)? {
            Some(dims) => Dim::from(dims.len()),
            None => cx.fresh(),
        };
        let count = cx.fresh();
        cx.set(0, Fact::tensor(DType::I64, [rank, count]));
        Ok(())
    }
}

/// The fact of the output when every element is known: exporters count from zero this way.
fn of_known(cx: &Infer<'_>) -> Option<Fact> {
    let (elements, shape) = facts::value(cx, 0)?;
    let known: Vec<i64> = elements.iter().map(Dim::known).collect::<Option<_>>()?;
    let axes: Axes<0> = shape.iter().map(|&len| Steps { len, by: [] }).collect();
    let found: Vec<usize> = (0..known.len()).filter(|&i| known[i] != 0).collect();
    let coordinate = |axis: usize, i: usize| Dim::from(Walk::new(&axes, [], i).index(axis));
    let value = (0..shape.len()).flat_map(|axis| found.iter().map(move |&i| (axis, i))).map(|(axis, i)| coordinate(axis, i));
    let value = (found.len() * shape.len() <= SMALL).then(|| value.collect());
    Some(Fact { value, ..Fact::tensor(DType::I64, [shape.len().into(), found.len().into()]) })
}

impl Stateless for NonZero {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let count = visit(&x, &mut |_| ())?;
        let rank = x.rank();
        cx.allocate(0, DType::I64, [rank, count])?;
        let x = cx.input(0)?;
        let out = cx.output(0)?.slice::<i64>()?;
        let axes: Axes<0> = x.shape().iter().map(|&len| Steps { len, by: [] }).collect();
        let mut walk = Walk::new(&axes, [], 0);
        let (mut at, mut found) = (0, 0);
        visit(&x, &mut |i| {
            // Elements come in order: few steps from one to the next are walked, many are computed.
            if i - at < 8 {
                (at..i).for_each(|_| walk.step());
            } else {
                walk = Walk::new(&axes, [], i);
            }
            at = i;
            (0..rank).for_each(|a| out[a * count + found] = walk.index(a) as i64);
            found += 1;
        })?;
        Ok(())
    }
}

/// Calls `f` with each element of `x` that is not zero, in order; gives how many there are. A string is zero when it is empty.
fn visit(x: &TensorRef<'_>, f: &mut dyn FnMut(usize)) -> Result<usize> {
    if let Ok(strings) = x.strings() {
        let found = paced(strings.iter().enumerate(), 8).filter(|(_, s)| !s.is_empty());
        return Ok(found.map(|(i, _)| f(i)).count());
    }
    with_type!(x.dtype(), T => Ok(visit_numbers(x.slice::<T>()?, f)),
        _ => Err(error!(NotImplemented, "NonZero has no kernel for {}", x.dtype())),
        F32: f32, F64: f64, F16: half::f16, BF16: half::bf16, I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64,
        Bool: bool, C64: num_complex::Complex<f32>, C128: num_complex::Complex<f64>)
}

fn visit_numbers<T: Element>(x: &[T], f: &mut dyn FnMut(usize)) -> usize {
    let mut count = 0;
    for piece in pieces(x.len(), 1 << 14) {
        for i in piece {
            if x[i] != T::default() {
                f(i);
                count += 1;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn coordinates_by_axis() {
        let t = single(&NON_ZERO, 13).input([2, 3], &[1f32, 0., f32::NAN, -0., 0., 5.]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i64>().unwrap()), (&[2, 3][..], &[0, 0, 1, 0, 2, 2][..]));
        let sparse: Vec<bool> = (0..1000).map(|i| i % 37 == 5).collect();
        let t = single(&NON_ZERO, 9).input([10, 100], &sparse).tensor().unwrap();
        let (rows, columns) = t.slice::<i64>().unwrap().split_at(t.shape()[1]);
        assert!(rows.iter().zip(columns).map(|(r, c)| r * 100 + c).eq((0..1000).filter(|i| i % 37 == 5)));
    }

    #[test]
    fn scalars_strings_and_nothing() {
        assert_eq!(&**single(&NON_ZERO, 13).input([], &[3i32]).tensor().unwrap().shape(), [0, 1]);
        assert_eq!(&**single(&NON_ZERO, 13).input([0, 2], &[0u8; 0]).tensor().unwrap().shape(), [2, 0]);
        let t = single(&NON_ZERO, 13).strings([3], &["", "a", ""]).tensor().unwrap();
        assert_eq!(t.slice::<i64>().unwrap(), [1]);
    }
}
