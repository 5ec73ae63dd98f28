//! MatMulBnb4: a product whose right operand is stored in 4 bits, codes of a table times the largest number of their block.

use base::{Result, Tensor, ensure};
use ir::{Attribute, Fact, Graph, Node, ValueId};
use op::body::{Body, Composed, dtype_of};
use op::types::FLOATS;
use op::{Attrs, OpDef, TypeSet, since};

use crate::blocks::bnb4::Table;

/// MatMulBnb4 of `com.microsoft`.
pub static MAT_MUL_BNB4: OpDef = OpDef {
    name: "MatMulBnb4",
    versions: &[since(1, "A:T1, B:T2, absmax:T1 -> Y:T1", &[("T1", FLOATS), ("T2", TypeSet::tensors(&[base::DType::U8]))])],
    load: |a| {
        Weights::read(a)?;
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

/// How the right operand is stored.
struct Weights {
    rows: i64,
    cols: i64,
    block: i64,
    table: Table,
    transposed: bool,
}

impl Weights {
    fn read(a: &Attrs<'_>) -> Result<Self> {
        a.ignore("training_mode");
        let (rows, cols, block) = (a.required_int("N")?, a.required_int("K")?, a.required_int("block_size")?);
        ensure!(rows > 0 && cols > 0 && block > 0, InvalidGraph, "weights of {rows}x{cols} in blocks of {block}");
        ensure!(rows.checked_mul(cols).is_some_and(|n| n < 1 << 40), InvalidGraph, "weights of {rows}x{cols}");
        let table = Table::numbered(a.required_int("quant_type")?)?;
        Ok(Self { rows, cols, block, table, transposed: a.flag("transB", true)? })
    }

    /// The numbers behind the codes: a matrix of `rows` by `cols`.
    fn numbers(&self, b: &mut Body, codes: ValueId, largest: ValueId, dtype: base::DType) -> Result<ValueId> {
        let (four, mask) = (b.constant(Tensor::scalar(4u8)?), b.constant(Tensor::scalar(15u8)?));
        let (column, flat, zero) = (b.ints(&[-1, 1])?, b.ints(&[-1])?, b.ints(&[0])?);
        let count = b.ints(&[self.rows * self.cols])?;
        let high = b.node(("BitShift", 11), &[codes, four], &[("direction", "RIGHT".into())]);
        let low = b.node(("BitwiseAnd", 18), &[codes, mask], &[]);
        let halves = [high, low].map(|v| b.node(("Reshape", 13), &[v, column], &[]));
        let places = b.node(("Concat", 13), &halves, &[("axis", Attribute::Int(1))]);
        let places = b.node(("Reshape", 13), &[places, flat], &[]);
        let places = b.node(("Slice", 13), &[places, zero, count, zero], &[]);
        let places = b.cast(places, base::DType::I32);
        let table = b.constant(Tensor::from_slice([16], self.table.numbers())?);
        let table = b.cast(table, dtype);
        let numbers = b.node(("Gather", 13), &[table, places], &[]);
        // The largest number of a block stands beside each of its elements.
        let (wide, shape) = (b.ints(&[1, self.block])?, b.ints(&[self.rows, self.cols])?);
        let largest = b.node(("Reshape", 13), &[largest, column], &[]);
        let largest = b.node(("Expand", 13), &[largest, wide], &[]);
        let largest = b.node(("Reshape", 13), &[largest, flat], &[]);
        let largest = b.node(("Slice", 13), &[largest, zero, count, zero], &[]);
        let numbers = b.node(("Mul", 14), &[numbers, largest], &[]);
        Ok(b.node(("Reshape", 13), &[numbers, shape], &[]))
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let weights = Weights::read(&Attrs::new(node))?;
    let (a, codes, largest) = (b.required(0)?, b.required(1)?, b.required(2)?);
    let mut right = weights.numbers(&mut b, codes, largest, dtype_of(facts, 0)?)?;
    if weights.transposed {
        right = b.node(("Transpose", 13), &[right], &[("perm", Attribute::Ints(vec![1, 0]))]);
    }
    let y = b.node(("MatMul", 13), &[a, right], &[]);
    Ok(b.finish(&[y]))
}
