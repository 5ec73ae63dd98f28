//! CDist: the distances between the rows of two matrices.

use base::Result;
use ir::{Attribute, Fact, Graph, Node};
use op::body::{Body, Composed, dtype_of};
use op::{Attrs, OpDef, TypeSet, since};

/// CDist of `com.microsoft`: by the product of the matrices, as ONNX Runtime has it.
pub static C_DIST: OpDef = OpDef {
    name: "CDist",
    versions: &[since(1, "A:T, B:T -> C:T", &[("T", TypeSet::tensors(&[base::DType::F32, base::DType::F64]))])],
    load: |a| {
        a.choice("metric", &METRICS, "sqeuclidean")?;
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

const METRICS: [&str; 2] = ["euclidean", "sqeuclidean"];

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (x, y, dtype) = (b.required(0)?, b.required(1)?, dtype_of(facts, 0)?);
    let rows = |keep: i64| [("axes", Attribute::Ints(vec![1])), ("keepdims", Attribute::Int(keep))];
    let squares = (b.node(("ReduceSumSquare", 13), &[x], &rows(1)), b.node(("ReduceSumSquare", 13), &[y], &rows(0)));
    let squares = b.node(("Add", 14), &[squares.0, squares.1], &[]);
    let product = [("alpha", Attribute::Float(-2.0)), ("transB", Attribute::Int(1))];
    let sum = b.node(("Gemm", 13), &[x, y, squares], &product);
    // What rounding leaves below zero is zero.
    let zero = b.float(0.0)?;
    let zero = b.cast(zero, dtype);
    let mut c = b.node(("Max", 13), &[sum, zero], &[]);
    if Attrs::new(node).choice("metric", &METRICS, "sqeuclidean")? == 0 {
        c = b.node(("Sqrt", 13), &[c], &[]);
    }
    Ok(b.finish(&[c]))
}
