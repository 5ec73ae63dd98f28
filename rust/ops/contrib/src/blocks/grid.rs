//! The levels of one block: evenly spaced numbers around its own.

use super::{Blocks, Weight};

/// The levels of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid<T> {
    pub(super) scale: T,
    pub(super) zero: u8,
    most: f32,
}

impl<T: Weight> Grid<T> {
    /// The levels of which the first and the last are the least and the largest of `elements` and zero; with zero in the middle if the
    /// blocks are symmetric.
    pub(super) fn of(blocks: &Blocks, elements: impl Iterator<Item = f32>) -> Self {
        let (low, high) = elements.fold((0f32, 0f32), |(low, high), x| (low.min(x), high.max(x)));
        let most = f32::from(u8::MAX >> (8 - blocks.bits));
        if blocks.symmetric {
            let largest = if high.abs() > low.abs() { high } else { low };
            return Self { scale: T::narrow(largest / -f32::from(blocks.middle())), zero: blocks.middle(), most };
        }
        let scale = (high - low) / most;
        let zero = if scale == 0.0 { low } else { 0.0 - low / scale };
        Self { scale: T::narrow(scale), zero: zero.clamp(0.0, most).round() as u8, most }
    }

    /// The level next to `x`.
    pub(super) fn level(&self, x: f32) -> u8 {
        let scale = self.scale.wide();
        let factor = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        (x * factor + f32::from(self.zero)).round().clamp(0.0, self.most) as u8
    }
}
