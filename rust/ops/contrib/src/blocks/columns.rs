//! Blocks one column after the other, as MatMulNBits takes them.

use base::threads::parallel_chunks_mut;
use base::{Result, ensure};

use super::grid::Grid;
use super::{Blocks, Quantized, Weight};

/// The bytes of one column.
struct Column<T> {
    levels: Vec<u8>,
    scales: Vec<T>,
    zeros: Vec<u8>,
}

/// Quantizes `weights`, `[rows, columns]`: levels are `[columns, blocks, bytes of a block]`, scales `[columns, blocks]`, zero points
/// `[columns, bytes of the blocks' zero points]`.
///
/// Where the last block ends within a byte, the rest of that byte is left over from an earlier one, as ONNX Runtime leaves it.
///
/// # Errors
/// `InvalidArgument` for blocks and bits that kernels do not take, and when there are fewer weights.
pub fn quantize<T: Weight>(blocks: &Blocks, weights: &[T]) -> Result<Quantized<T>> {
    let (weights, size) = (blocks.matrix(weights)?, blocks.size);
    ensure!(matches!(size, 16 | 32 | 64 | 128 | 256), InvalidArgument, "blocks of {size} elements: 16, 32, 64, 128 or 256");
    let mut columns: Vec<Option<Column<T>>> = (0..blocks.columns).map(|_| None).collect();
    parallel_chunks_mut(&mut columns, 1, &|column, place| place[0] = Some(of_column(blocks, weights, column)));
    base::threads::check()?;
    let mut all = Quantized { levels: Vec::new(), scales: Vec::new(), zero_points: (!blocks.symmetric).then(Vec::new) };
    for column in columns.into_iter().flatten() {
        all.levels.extend(column.levels);
        all.scales.extend(column.scales);
        if let Some(zeros) = &mut all.zero_points {
            zeros.extend(column.zeros);
        }
    }
    Ok(all)
}

fn of_column<T: Weight>(blocks: &Blocks, weights: &[T], column: usize) -> Column<T> {
    let (count, per_byte) = (blocks.count(), blocks.per_byte());
    let grids: Vec<Grid<T>> = (0..count).map(|block| Grid::of(blocks, blocks.elements(weights, column, block))).collect();
    let bytes = blocks.size / per_byte;
    let mut levels = vec![0; count * bytes];
    // Blocks whose zero points share a byte are quantized in one go, with the same place for the elements of a byte.
    for (group, grids) in grids.chunks(per_byte).enumerate() {
        let mut elements = [0u8; 4];
        for (i, grid) in grids.iter().enumerate() {
            let block = group * per_byte + i;
            let quantized: Vec<u8> = blocks.elements(weights, column, block).map(|x| grid.level(x)).collect();
            for (to, part) in levels[block * bytes..].iter_mut().zip(quantized.chunks(per_byte)) {
                elements[..part.len()].copy_from_slice(part);
                *to = packed(&elements[..per_byte], blocks.bits);
            }
        }
    }
    let zeros = grids.chunks(per_byte).map(|grids| {
        let mut elements = [blocks.middle(); 4];
        elements.iter_mut().zip(grids).for_each(|(to, grid)| *to = grid.zero);
        packed(&elements[..per_byte], blocks.bits)
    });
    Column { levels, zeros: zeros.collect(), scales: grids.iter().map(|grid| grid.scale).collect() }
}

/// Elements of `bits` bits as one byte, the first at the low end.
pub(super) fn packed(elements: &[u8], bits: u32) -> u8 {
    elements.iter().enumerate().fold(0, |byte, (i, element)| byte | element << (i as u32 * bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_each_width() {
        let weights: Vec<f32> = (0..16).map(|i| i as f32 - 5.0).collect();
        let blocks = |bits, symmetric| Blocks { rows: 16, columns: 1, size: 16, bits, symmetric };
        let q = quantize(&blocks(4, false), &weights).unwrap();
        assert_eq!((q.scales, q.zero_points), (vec![1.0], Some(vec![0x85])));
        assert_eq!(q.levels, [0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE]);
        let q = quantize(&blocks(8, true), &weights).unwrap();
        assert_eq!((q.scales, q.zero_points, q.levels[15], q.levels[5]), (vec![-10.0 / 128.0], None, 0, 128));
        let q = quantize(&blocks(2, false), &weights).unwrap();
        assert_eq!((q.scales, q.zero_points), (vec![5.0], Some(vec![0b1010_1001])));
    }

    #[test]
    fn what_kernels_do_not_take_is_refused() {
        let blocks = Blocks { rows: 4, columns: 1, size: 24, bits: 4, symmetric: true };
        assert!(quantize(&blocks, &[0f32; 4]).is_err());
        assert!(quantize(&Blocks { size: 16, ..blocks }, &[0f32; 3]).is_err());
        assert!(quantize(&Blocks { size: 16, bits: 3, ..blocks }, &[0f32; 4]).is_err());
    }
}
