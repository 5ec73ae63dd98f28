//! Operators of `com.microsoft` that are older than those of ONNX of the same name.

use base::{DType, Result, Tensor};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed, dtype_of};
use op::types::{ANY_V13, FLOATS_V1, INDEX};
use op::{OpDef, TypeSet, since};

/// GatherND of `com.microsoft`.
pub static GATHER_ND: OpDef = OpDef {
    name: "GatherND",
    versions: &[since(1, "data:T, indices:Tind -> output:T", &[("T", ANY_V13), ("Tind", INDEX)])],
    load: |_| Ok(Box::new(Composed)),
    body: Some(gather_nd),
    ..OpDef::MICROSOFT
};

/// GridSample of `com.microsoft`.
pub static GRID_SAMPLE: OpDef = OpDef {
    name: "GridSample",
    versions: &[since(1, "X:T1, Grid:T1 -> Y:T1", &[("T1", FLOATS_V1)])],
    load: |a| {
        SAMPLING.iter().for_each(|name| a.ignore(name));
        Ok(Box::new(Composed))
    },
    body: Some(|node, _| {
        let mut b = Body::of(node);
        let y = b.node_like(node, ("", "GridSample", 16), &[b.input(0), b.input(1)], &SAMPLING, &[]);
        Ok(b.finish(&[y]))
    }),
    ..OpDef::MICROSOFT
};

const SAMPLING: [&str; 3] = ["align_corners", "mode", "padding_mode"];

/// Pad of `com.microsoft`, whose pads may be a matrix of one row.
pub static PAD: OpDef = OpDef {
    name: "Pad",
    versions: &[since(1, "data:T, pads:int64, value:T? -> output:T", &[("T", FLOATS_V1)])],
    load: |a| {
        a.choice("mode", &["constant", "reflect", "edge"], "constant")?;
        Ok(Box::new(Composed))
    },
    body: Some(pad),
    ..OpDef::MICROSOFT
};

/// Range of `com.microsoft`, whose step may be left out.
pub static RANGE: OpDef = OpDef {
    name: "Range",
    versions: &[since(
        1,
        "start:T, limit:T, delta:T? -> Y:T",
        &[("T", TypeSet::tensors(&[DType::F32, DType::F64, DType::I16, DType::I32, DType::I64]))],
    )],
    load: |_| Ok(Box::new(Composed)),
    body: Some(range),
    ..OpDef::MICROSOFT
};

/// Trilu of `com.microsoft`.
pub static TRILU: OpDef = OpDef {
    name: "Trilu",
    versions: &[since(1, "X:T, k:int64? -> Y:T", &[("T", ANY_V13)])],
    load: |a| {
        a.opt_int("upper")?;
        Ok(Box::new(Composed))
    },
    body: Some(|node, _| {
        let mut b = Body::of(node);
        let y = b.node_like(node, ("", "Trilu", 14), &[b.input(0), b.input(1)], &["upper"], &[]);
        Ok(b.finish(&[y]))
    }),
    ..OpDef::MICROSOFT
};

/// Unique of `com.microsoft`: in the order in which elements come first.
pub static UNIQUE: OpDef = OpDef {
    name: "Unique",
    versions: &[since(1, "x:T -> y:T, idx:int64, counts:int64", &[("T", ANY_V13)])],
    load: |_| Ok(Box::new(Composed)),
    body: Some(unique),
    ..OpDef::MICROSOFT
};

fn gather_nd(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (data, indices) = (b.required(0)?, b.required(1)?);
    let indices = b.cast(indices, DType::I64);
    let y = b.node(("GatherND", 13), &[data, indices], &[]);
    Ok(b.finish(&[y]))
}

fn pad(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (pads, flat, none) = (b.required(1)?, b.ints(&[-1])?, b.ints(&[])?);
    let pads = b.node(("Reshape", 13), &[pads, flat], &[]);
    let value = b.input(2).map(|value| b.node(("Reshape", 13), &[value, none], &[]));
    let y = b.node_like(node, ("", "Pad", 13), &[b.input(0), Some(pads), value], &["mode"], &[]);
    Ok(b.finish(&[y]))
}

fn range(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (start, limit, none) = (b.required(0)?, b.required(1)?, b.ints(&[])?);
    let delta = match b.input(2) {
        Some(delta) => delta,
        None => {
            let one = b.constant(Tensor::scalar(1i64)?);
            b.cast(one, dtype_of(facts, 0)?)
        }
    };
    let inputs = [start, limit, delta].map(|v| b.node(("Reshape", 13), &[v, none], &[]));
    let y = b.node(("Range", 11), &inputs, &[]);
    Ok(b.finish(&[y]))
}

fn unique(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let outputs = b.nodes_of(("", "Unique", 11), &[b.input(0)], &[("sorted", 0i64.into())], &[true, false, true, true]);
    Ok(b.finish(&outputs))
}
