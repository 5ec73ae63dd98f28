//! Which rows go to which experts, and the walk over the experts.

use base::{Result, ensure};
use op::Attrs;

use super::activation::Activation;

/// How rows are spread over experts.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// How many experts each row goes to.
    pub(super) experts: usize,
    pub(super) normalize: bool,
    /// Whether experts that are not chosen count in the softmax that gives the weights.
    pub(super) of_all: bool,
    pub(super) activation: Activation,
}

/// A product of an expert: from its number, some rows, and how many they are.
pub(super) type Product<'a> = dyn Fn(usize, &[f32], usize) -> Result<Vec<f32>> + 'a;

impl Route {
    pub(super) fn load(a: &Attrs<'_>, of_all: bool) -> Result<Self> {
        let k = a.int("k", 1)?;
        let experts = usize::try_from(k).ok().filter(|k| *k > 0);
        let experts = experts.ok_or_else(|| base::error!(InvalidGraph, "attribute 'k' is {k}"))?;
        ensure!(!a.flag("use_sparse_mixer", false)?, NotImplemented, "mixtures with use_sparse_mixer");
        Ok(Self { experts, normalize: a.flag("normalize_routing_weights", false)?, of_all, activation: Activation::load(a)? })
    }

    /// For each expert its rows and their weights. `logits` has a row for each row, a column for each expert; `weights`, if given, are used
    /// instead of a softmax of the logits.
    pub(super) fn plan(&self, logits: &[f32], weights: Option<&[f32]>, experts: usize) -> Result<Vec<Vec<(usize, f32)>>> {
        ensure!(self.experts <= experts, InvalidArgument, "attribute 'k' is {}, but there are {experts} experts", self.experts);
        let mut plan = vec![Vec::new(); experts];
        for (row, logits) in logits.chunks_exact(experts).enumerate() {
            // Of equal logits, the later comes first, as ONNX Runtime sorts them.
            let mut order: Vec<usize> = (0..experts).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(b.cmp(&a)));
            let chosen = &order[..self.experts];
            let mut shares: Vec<f32> = match weights {
                Some(weights) => chosen.iter().map(|&e| weights[row * experts + e]).collect(),
                None => chosen.iter().map(|&e| (logits[e] - logits[chosen[0]]).exp()).collect(),
            };
            if weights.is_none() || self.normalize {
                let all = || logits.iter().map(|l| (l - logits[chosen[0]]).exp()).sum();
                let whole = weights.is_none() && self.of_all && !self.normalize;
                let sum: f32 = if whole { all() } else { shares.iter().sum() };
                let factor = if sum == 0.0 { 0.0 } else { 1.0 / sum };
                shares.iter_mut().for_each(|s| *s *= factor);
            }
            for (&expert, share) in chosen.iter().zip(shares) {
                // What counts for nothing is not computed.
                if share > 1e-8 {
                    plan[expert].push((row, share));
                }
            }
        }
        Ok(plan)
    }

    /// Sends each row of `x` to its experts, and adds what they give to `out`. `first(expert, rows)` and `second` are the products of an
    /// expert, with as many rows as are handed in.
    pub(super) fn run(
        &self,
        x: &[f32],
        hidden: usize,
        plan: &[Vec<(usize, f32)>],
        first: &Product<'_>,
        second: &Product<'_>,
        out: &mut [f32],
    ) -> Result<()> {
        out.fill(0.0);
        for (expert, rows) in plan.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            base::threads::check()?;
            let gathered: Vec<f32> = rows.iter().flat_map(|&(r, _)| &x[r * hidden..(r + 1) * hidden]).copied().collect();
            let mut inner = first(expert, &gathered, rows.len())?;
            let width = inner.len() / rows.len();
            self.activation.apply(&mut inner, width);
            let result = second(expert, &inner, rows.len())?;
            for (&(row, share), result) in rows.iter().zip(result.chunks_exact(hidden)) {
                out[row * hidden..(row + 1) * hidden].iter_mut().zip(result).for_each(|(o, r)| *o += share * r);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_are_chosen_and_weighed() {
        let route = Route { experts: 2, normalize: true, of_all: true, activation: Activation::Relu };
        let plan = route.plan(&[1., 3., 3., f32::NEG_INFINITY], None, 4).unwrap();
        assert_eq!(plan, [vec![], vec![(0, 0.5)], vec![(0, 0.5)], vec![]]);
        let plan = route.plan(&[5., 0., 1., 0.], Some(&[0.2, 0., 0.6, 0.]), 4).unwrap();
        assert_eq!(plan[0][0].0, 0);
        assert!((plan[0][0].1 - 0.25).abs() < 1e-6 && (plan[2][0].1 - 0.75).abs() < 1e-6);
        assert!(route.plan(&[1.], None, 1).is_err());
        for (of_all, share) in [(true, 0.5), (false, 1.0)] {
            let route = Route { experts: 1, normalize: false, of_all, activation: Activation::Relu };
            assert_eq!(route.plan(&[0., 0.], None, 2).unwrap(), [vec![], vec![(0, share)]]);
        }
    }
}
