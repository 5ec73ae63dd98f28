//! Blocks where the weights lie, as DequantizeLinear takes them.

use base::Result;

use super::columns::packed;
use super::grid::Grid;
use super::{Blocks, Quantized, Weight};

/// Quantizes `weights`, `[rows, columns]`: levels lie as the weights do, scales and zero points are `[blocks, columns]`. Symmetric
/// levels are signed.
///
/// # Errors
/// `InvalidArgument` for bits that kernels do not take, and when there are fewer weights.
pub fn quantize<T: Weight>(blocks: &Blocks, weights: &[T]) -> Result<Quantized<T>> {
    let weights = blocks.matrix(weights)?;
    let columns = blocks.columns;
    let place = |i: usize| (i / columns.max(1), i % columns.max(1));
    let grid = |i: usize| Grid::<T>::of(blocks, blocks.elements(weights, place(i).1, place(i).0));
    let grids: Vec<Grid<T>> = (0..blocks.count() * columns).map(grid).collect();
    let sign = if blocks.symmetric { blocks.middle() } else { 0 };
    let level = |(i, x): (usize, &T)| grids[place(i).0 / blocks.size * columns + place(i).1].level(x.wide()) ^ sign;
    let levels: Vec<u8> = weights.iter().enumerate().map(level).collect();
    let zeros: Vec<u8> = grids.iter().map(|grid| grid.zero).collect();
    let bytes = |elements: &[u8]| elements.chunks(blocks.per_byte()).map(|part| packed(part, blocks.bits)).collect::<Vec<u8>>();
    Ok(Quantized {
        levels: bytes(&levels),
        scales: grids.iter().map(|grid| grid.scale).collect(),
        zero_points: (!blocks.symmetric).then(|| bytes(&zeros)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_lie_as_weights_do() {
        let weights: Vec<f32> = (0..16).flat_map(|i| [i as f32 - 5.0, 2.0 * i as f32]).collect();
        let blocks = Blocks { rows: 16, columns: 2, size: 16, bits: 4, symmetric: false };
        let q = quantize(&blocks, &weights).unwrap();
        assert_eq!((q.scales, q.zero_points), (vec![1.0, 2.0], Some(vec![0x05])));
        assert!(q.levels.iter().enumerate().all(|(i, byte)| *byte == (i * 0x11) as u8));
        let q = quantize(&Blocks { symmetric: true, ..blocks }, &weights).unwrap();
        assert_eq!((q.scales, q.zero_points), (vec![-1.25, -3.75], None));
        // The largest is the most negative level, and zero is 0.
        assert_eq!((q.levels[15], q.levels[5] & 15, q.levels[0] >> 4), (0x88, 0, 0));
    }
}
