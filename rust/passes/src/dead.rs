//! Nodes whose outputs nobody reads.
//!
//! ```text
//! a = Exp(x); b = Neg(a); y = Relu(x)    →    y = Relu(x)        where y is the output
//! ```

use base::Result;

use crate::{Level, Pass, Rewriter, Rule};

pub(crate) const PASS: Pass =
    Pass { name: "dead", stands_for: &[], level: Level::Basic, what: "Nodes whose outputs nobody reads go.", rule: Rule::Global(remove) };

fn remove(rewriter: &mut Rewriter<'_>) -> Result<()> {
    for id in rewriter.context().graph.order()?.into_iter().rev() {
        let cx = rewriter.context();
        if !cx.graph.node(id).outputs.iter().flatten().any(|v| cx.is_read(*v)) {
            rewriter.remove(id);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn what_nobody_reads_goes() {
        let text = "
            x: float[2]
            a = Neg(x)
            b = Neg(a)
            y = Neg(x)
            -> y";
        check(&["dead"], text, "%y = Neg-13(%x)\noutputs %y");
    }
}
