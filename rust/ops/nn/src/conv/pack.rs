//! Weights of direct convolution, in the order in which its tiles read them.

use std::ops::Range;

use base::Result;

use super::problem::{Channels, Problem};
use super::tile::MAX_BLOCKS;

/// One tile of output channels, all of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChannelTile {
    pub(super) group: usize,
    /// Its first channel in the group.
    pub(super) first: usize,
    /// How many channels it has.
    pub(super) count: usize,
    /// How many vectors they fill.
    pub(super) blocks: usize,
    /// Where its weights begin.
    pub(super) weights: usize,
}

/// How weights are cut into tiles. The tiles follow each other; in each, pass by pass, tap by tap, channel by channel of the input, the
/// weights of all its output channels, padded with zeros to whole vectors.
#[derive(Clone, Debug)]
pub(super) struct Packing {
    pub(super) lanes: usize,
    pub(super) layout: Channels,
    ic: usize,
    oc: usize,
    groups: usize,
    taps: usize,
}

impl Packing {
    pub(super) fn new(p: &Problem, lanes: usize, layout: Channels) -> Self {
        Self { lanes, layout, ic: p.ic, oc: p.oc, groups: p.groups, taps: p.taps() }
    }

    /// The order of weights that have `taps` elements for each pair of channels.
    pub(super) fn of_taps(p: &Problem, lanes: usize, layout: Channels, taps: usize) -> Self {
        Self { taps, ..Self::new(p, lanes, layout) }
    }

    /// The name of this order of weights.
    pub(super) fn format(&self) -> String {
        let heads = self.layout == Channels::Blocked && !self.aligned();
        format!("direct convolution {} lanes {} groups{}", self.lanes, self.groups, if heads { " by blocks" } else { "" })
    }

    /// Whether every group begins with a block.
    fn aligned(&self) -> bool {
        self.groups == 1 || self.ic.is_multiple_of(self.lanes)
    }

    fn tiles_per_group(&self) -> usize {
        self.oc.div_ceil(self.lanes * MAX_BLOCKS)
    }

    /// How many tiles there are.
    pub(super) fn tiles(&self) -> usize {
        self.groups * self.tiles_per_group()
    }

    /// Weights of one vector of output channels.
    fn per_block(&self) -> usize {
        self.ic * self.taps * self.lanes
    }

    /// Tile `i`.
    pub(super) fn tile(&self, i: usize) -> ChannelTile {
        let (group, tile) = (i / self.tiles_per_group(), i % self.tiles_per_group());
        let first = tile * self.lanes * MAX_BLOCKS;
        let count = (self.oc - first).min(self.lanes * MAX_BLOCKS);
        let before = group * self.oc.div_ceil(self.lanes) + first / self.lanes;
        ChannelTile { group, first, count, blocks: count.div_ceil(self.lanes), weights: before * self.per_block() }
    }

    /// The number of values that packed weights have.
    pub(super) fn len(&self) -> usize {
        self.groups.saturating_mul(self.oc.div_ceil(self.lanes)).saturating_mul(self.per_block())
    }

    /// The input channels of a group, in the passes that a tile makes over them: the first up to where a block begins.
    pub(super) fn passes(&self, group: usize) -> [Range<usize>; 2] {
        let over = group * self.ic % self.lanes;
        if self.layout == Channels::Dense || over == 0 {
            return [0..self.ic, self.ic..self.ic];
        }
        let head = (self.lanes - over).min(self.ic);
        [0..head, head..self.ic]
    }

    /// Packs weights of shape `[output channels, input channels of a group, taps]`.
    pub(super) fn pack(&self, weights: &[f32], packed: &mut [f32]) -> Result<()> {
        let want = self.groups * self.oc * self.ic * self.taps;
        base::ensure!(weights.len() == want && packed.len() >= self.len(), Fail, "{} weights are not {want}", weights.len());
        for tile in (0..self.tiles()).map(|i| self.tile(i)) {
            let width = tile.blocks * self.lanes;
            let mut rows = packed[tile.weights..].chunks_exact_mut(width);
            let source = &weights[(tile.group * self.oc + tile.first) * self.ic * self.taps..];
            for pass in self.passes(tile.group) {
                for tap in 0..self.taps {
                    for (channel, row) in pass.clone().zip(&mut rows) {
                        let each = |o: usize| source[(o * self.ic + channel) * self.taps + tap];
                        row.iter_mut().enumerate().for_each(|(o, w)| *w = if o < tile.count { each(o) } else { 0.0 });
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_weight_is_somewhere_once() {
        for (groups, ic, oc, taps, lanes) in [(1, 3, 40, 9, 16), (2, 20, 24, 4, 16), (5, 6, 3, 1, 8)] {
            for layout in [Channels::Dense, Channels::Blocked] {
                let packing = Packing { lanes, layout, ic, oc, groups, taps };
                let weights: Vec<f32> = (1..=groups * oc * ic * taps).map(|i| i as f32).collect();
                let mut packed = vec![f32::NAN; packing.len()];
                packing.pack(&weights, &mut packed).unwrap();
                let mut found: Vec<f32> = packed.iter().copied().filter(|w| *w != 0.0).collect();
                found.sort_by(f32::total_cmp);
                assert_eq!(found, weights, "{packing:?}");
            }
        }
    }

    #[test]
    fn passes_end_where_blocks_do() {
        let packing = Packing { lanes: 8, layout: Channels::Blocked, ic: 6, oc: 6, groups: 4, taps: 1 };
        assert_eq!(packing.passes(0), [0..6, 6..6]);
        assert_eq!(packing.passes(1), [0..2, 2..6]);
        assert_eq!(packing.passes(2), [0..4, 4..6]);
        assert_eq!(packing.passes(3), [0..6, 6..6]);
    }
}
