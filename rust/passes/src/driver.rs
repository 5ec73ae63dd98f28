//! The order of work: passes until nothing changes, then the graphs within, then the layout.

use std::collections::{BTreeSet, HashSet};

use base::{Result, error};
use ir::{Fact, Facts, Graph, Oracle, ValueId, verify};

use crate::{Level, PASSES, Pass, Report, Rewriter};

/// What an optimization may do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The passes of this level and those below work.
    pub level: Level,
    /// The names of passes that do not, or of the optimizers of ONNX Runtime that they stand for.
    pub disabled: BTreeSet<String>,
    /// Results of more bytes than this are not computed ahead; if `None`, those that are much larger than what they are computed from.
    pub fold_limit: Option<usize>,
    /// Stop after this many rewrites in all: halving it finds the one that does harm.
    pub stop_after: Option<usize>,
}

/// Optimizes `graph`, whose values have `facts`, and the graphs within it. A line goes to `log` for each rewrite.
///
/// Inputs and outputs keep their names and places.
///
/// # Errors
/// `InvalidGraph` when the graph is not whole; `Fail` that names the pass when one left it so.
pub fn optimize(graph: &mut Graph, facts: &mut Facts, oracle: &dyn Oracle, options: &Options, log: &mut dyn FnMut(&str)) -> Result<Report> {
    verify(graph)?;
    let mut run = Run { oracle, options, report: Report::default(), log };
    run.graph(graph, facts)?;
    Ok(run.report)
}

/// How often the list of passes is run at most. Graphs of real models are done after three or four rounds.
const ROUNDS: usize = 32;

/// One optimization under way.
pub(crate) struct Run<'a> {
    pub(crate) oracle: &'a dyn Oracle,
    options: &'a Options,
    pub(crate) report: Report,
    pub(crate) log: &'a mut dyn FnMut(&str),
}

impl Run<'_> {
    /// Optimizes one graph and those within it.
    pub(crate) fn graph(&mut self, graph: &mut Graph, facts: &mut Facts) -> Result<()> {
        // Most passes shrink the graph; the others are bounded by this.
        let mut budget = 256 + 8 * graph.nodes().count();
        let wanted = |p: &&'static Pass| p.level <= self.options.level && !self.options.disabled.iter().any(|name| p.is_named(name));
        let (layout, shape): (Vec<&'static Pass>, Vec<_>) = PASSES.iter().filter(wanted).partition(|p| p.level >= Level::Layout);
        for _ in 0..ROUNDS {
            let before = self.report.total();
            for &pass in &shape {
                self.pass(pass, graph, facts, &mut budget)?;
            }
            let still = self.report.total() == before && !self.subgraphs(graph, facts)?;
            if still || budget == 0 || self.is_over() {
                break;
            }
        }
        // Blocked values would hide patterns from the others, so their time comes at the end.
        for pass in layout {
            self.pass(pass, graph, facts, &mut budget)?;
        }
        drop_unread_constants(graph, facts);
        Ok(())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.options.stop_after.is_some_and(|n| self.report.total() >= n)
    }

    fn pass(&mut self, pass: &'static Pass, graph: &mut Graph, facts: &mut Facts, budget: &mut usize) -> Result<()> {
        let before = self.report.total();
        let left = self.options.stop_after.map_or(usize::MAX, |n| n.saturating_sub(before));
        let mut allowed = left.min(*budget);
        let (report, log, stale) = (&mut self.report, &mut *self.log, HashSet::new());
        let (oracle, fold_limit) = (self.oracle, self.options.fold_limit);
        Rewriter { graph, facts, oracle, fold_limit, pass, report, log, budget: &mut allowed, stale }.run()?;
        let done = self.report.total() - before;
        *budget -= done;
        if done > 0 {
            verify(graph).map_err(|e| error!(Fail, "pass {} broke the graph: {}", pass.name, e.message()))?;
        }
        Ok(())
    }
}

/// Lets go of constants that nobody reads any more, such as weights that were folded into others.
fn drop_unread_constants(graph: &mut Graph, facts: &mut Facts) {
    let read = |g: &Graph, v: ValueId| !g.uses(v).is_empty() || g.is_output(v) || g.inputs.contains(&v) || g.captures.contains(&v);
    let constants = graph.values().filter(|(_, info)| info.constant.is_some()).map(|(v, _)| v);
    let unread: Vec<ValueId> = constants.filter(|v| !read(graph, *v)).collect();
    for v in unread {
        graph.value_mut(v).constant = None;
        if let Some(fact) = facts.get(v) {
            let fact = Fact { constant: None, ..fact.clone() };
            facts.set(v, fact);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{OPSET, Operators, only, optimized, parse};
    use crate::{Level, Options, optimize};

    const TEXT: &str = "
        x: float[2, 3]
        w: float[3, 2] = 1 2 3 4 5 6
        a = Identity(x)
        t = Transpose(w)
        b = Neg(a)
        c = Neg(x)
        d = Add(b, c)
        y = Add(d, t)
        -> y";

    #[test]
    fn works_to_a_fixed_point() {
        let (model, report) = optimized(TEXT, &Options::default());
        assert_eq!(model.lines(), "%b = Neg-13(%x)\n%d = Add-14(%b, %b)\n%y = Add-14(%d, %t)\noutputs %y");
        assert_eq!(report.applied(), [("identity", 1), ("fold", 1), ("cse", 1)]);
    }

    #[test]
    fn stops_after_any_number_of_rewrites() {
        for n in 0..=3 {
            let (_, report) = optimized(TEXT, &Options { stop_after: Some(n), ..Options::default() });
            assert_eq!(report.total(), n);
        }
    }

    #[test]
    fn levels_and_names_choose_passes() {
        let disabled = ["identity".to_owned(), "fold".to_owned()].into();
        let (_, report) = optimized(TEXT, &Options { disabled, ..Options::default() });
        assert_eq!(report.applied(), []);
        let (_, report) = optimized(TEXT, &Options { level: Level::Disabled, ..Options::default() });
        assert_eq!(report.total(), 0);
        let gelu = "x: float[2]\ns = Sigmoid(x)\ny = Mul(x, s)\n-> y";
        assert_eq!(optimized(gelu, &Options { level: Level::Basic, ..Options::default() }).1.total(), 0);
        assert_eq!(optimized(gelu, &Options { level: Level::Extended, ..Options::default() }).1.total(), 1);
    }

    #[test]
    fn every_rewrite_is_logged() {
        let operators = Operators::new(OPSET);
        let mut model = parse(TEXT, &operators);
        let mut lines = Vec::new();
        let mut log = |line: &str| lines.push(line.to_owned());
        optimize(&mut model.graph, &mut model.facts, &*operators, &Options::default(), &mut log).unwrap();
        assert_eq!(lines, ["1: identity at Identity-19 'a'", "2: fold at Transpose-13 't'", "3: cse at Neg-13 'c'"]);
    }

    #[test]
    fn constants_that_nobody_reads_are_let_go() {
        let (model, _) = optimized(TEXT, &Options::default());
        let kept = model.graph.values().filter(|(_, v)| v.constant.is_some()).count();
        assert_eq!(kept, 1, "only the transposed weights");
    }

    #[test]
    fn outputs_that_become_constants_or_inputs_keep_their_names() {
        let text = "
            x: float[2, 3]
            w: float[2] = 1 2
            s = Shape(x)
            t = Neg(w)
            v = Identity(w)
            y = Identity(x)
            -> s, t, v, y, x";
        let (model, _) = optimized(text, &Options::default());
        let names: Vec<&str> = model.graph.outputs.iter().map(|v| &*model.graph.value(*v).name).collect();
        assert_eq!(names, ["s", "t", "v", "y", "x"]);
        assert_eq!(model.lines(), "%y = Identity-19(%x)\noutputs %s, %t, %v, %y, %x");
    }

    #[test]
    fn a_graph_that_is_not_whole_is_an_error() {
        let operators = Operators::new(OPSET);
        let mut model = parse(TEXT, &operators);
        let loose = model.graph.add_value("loose");
        model.graph.outputs.push(loose);
        let e = optimize(&mut model.graph, &mut model.facts, &*operators, &Options::default(), &mut |_| {}).unwrap_err();
        assert!(e.message().contains("'loose' is read but nothing writes it"), "{e}");
    }

    #[test]
    fn facts_that_get_better_reach_the_readers() {
        let text = "
            x: float[2, 3]
            z: int64[1] = 0
            e: int64[1] = -1
            s = Shape(x)
            n = Neg(s)
            m = Neg(n)
            r = Reshape(x, m)
            y = Neg(r)
            -> y";
        let (model, _) = optimized(text, &only(&["fold"]));
        let dims = model.facts.fact(model.graph.outputs[0]).unwrap().known_shape().unwrap();
        assert_eq!(&*dims, [2, 3]);
    }
}
