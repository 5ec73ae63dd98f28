//! FusedMatMul and TransposeMatMul: MatMul of operands that may be transposed, times a factor.

use base::Result;
use ir::{Attribute, Fact, Graph, Node, ValueId};
use op::body::{Body, dtype_of};
use op::types::FLOATS;
use op::{Attrs, Kernels, OpDef, Since, since};

use super::plain::MatMul;
use super::product::Product;
use super::shape::Form;

const VERSIONS: &[Since] = &[since(1, "A:T, B:T -> Y:T", &[("T", FLOATS)])];

/// FusedMatMul of `com.microsoft`.
pub static FUSED_MAT_MUL: OpDef = definition("FusedMatMul");
/// TransposeMatMul of `com.microsoft`: the older name.
pub static TRANSPOSE_MAT_MUL: OpDef = definition("TransposeMatMul");

const fn definition(name: &'static str) -> OpDef {
    OpDef {
        name,
        versions: VERSIONS,
        load: |a| Ok(Box::new(MatMul(product(a)?))),
        kernels: Kernels::NONE.cpu::<MatMul>().cuda::<MatMul>(),
        body: Some(body),
        ..OpDef::MICROSOFT
    }
}

fn product(a: &Attrs<'_>) -> Result<Product> {
    let batches = a.op() == "FusedMatMul";
    let form = |transposed, first| {
        Ok::<_, base::Error>(Form { transposed: a.flag(transposed, false)?, rows_first: batches && a.flag(first, false)? })
    };
    Ok(Product {
        a: form("transA", "transBatchA")?,
        b: form("transB", "transBatchB")?,
        alpha: a.float("alpha", 1.0)?,
        beta: None,
        activation: None,
    })
}

/// `value` of `rank` axes as a plain operand.
fn plain(b: &mut Body, value: ValueId, form: Form, rank: usize) -> ValueId {
    if rank < 2 || form == Form::default() {
        return value;
    }
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    if form.rows_first {
        perm[..rank - 1].rotate_left(1);
    }
    if form.transposed {
        perm.swap(rank - 2, rank - 1);
    }
    b.node(("Transpose", 13), &[value], &[("perm", Attribute::Ints(perm))])
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let p = product(&Attrs::new(node))?;
    let dtype = dtype_of(facts, 0)?;
    let mut b = Body::of(node);
    let mut operands = Vec::new();
    for (i, form) in [p.a, p.b].into_iter().enumerate() {
        let rank = facts.get(i).copied().flatten().and_then(Fact::rank);
        let (Some(value), Some(rank)) = (b.input(i), rank) else { base::bail!(InvalidGraph, "the rank of input {i} is not known") };
        operands.push(plain(&mut b, value, form, rank));
    }
    let mut y = b.node(("MatMul", 13), &operands, &[]);
    if p.alpha != 1.0 {
        let alpha = b.float(p.alpha)?;
        let alpha = b.cast(alpha, dtype);
        y = b.node(("Mul", 14), &[y, alpha], &[]);
    }
    Ok(b.finish(&[y]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + 3) % 11) as f32 - 5.0).collect()
    }

    #[test]
    fn every_form() {
        let (batch, m, k, n) = (3, 4, 5, 6);
        let (a, b) = (data(batch * m * k), data(batch * k * n));
        for bits in 0..16 {
            let [ta, tb, fa, fb] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            // The element at (batch, row, column) of an operand of `rows` by `cols`.
            let at = |x: &[f32], rows: usize, cols: usize, t: bool, first: bool, [p, r, c]: [usize; 3]| {
                let (r, c, rows, cols) = if t { (c, r, cols, rows) } else { (r, c, rows, cols) };
                x[if first { (r * batch + p) * cols + c } else { (p * rows + r) * cols + c }]
            };
            let want = (0..batch * m * n).map(|i| {
                let (p, r, c) = (i / (m * n), i / n % m, i % n);
                let term = |l| f64::from(at(&a, m, k, ta, fa, [p, r, l])) * f64::from(at(&b, k, n, tb, fb, [p, l, c]));
                (0..k).map(term).sum::<f64>() * 0.5
            });
            let shape = |rows: usize, cols: usize, t: bool, first: bool| {
                let (rows, cols) = if t { (cols, rows) } else { (rows, cols) };
                if first { [rows, batch, cols] } else { [batch, rows, cols] }
            };
            let op = single(&FUSED_MAT_MUL, 1).attr("alpha", 0.5f32).attr("transA", i64::from(ta)).attr("transB", i64::from(tb));
            let op = op.attr("transBatchA", i64::from(fa)).attr("transBatchB", i64::from(fb));
            let y = op.input(shape(m, k, ta, fa), &a).input(shape(k, n, tb, fb), &b).tensor().unwrap();
            assert_close(&y, &want.collect::<Vec<_>>(), 0.0, 0.0);
        }
    }
}
