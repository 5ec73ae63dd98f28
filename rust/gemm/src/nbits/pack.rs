//! Packing of block-wise weights: words of 32 bits are transposed into panels; nothing is widened.

use base::threads::parallel_for;
use base::{Result, ensure};
use simd::Isa;

use super::{BlockZeros, Blockwise, PackedBlocks, Zeros};
use crate::memory::{Aligned, Shared};
use crate::scalar::Float;

/// Turns bytes from `0..=255` into `-128..=127`, so that they can be widened with their sign.
const SIGNED: u32 = 0x8080_8080;

/// Packs weights that were checked.
pub(super) fn pack<T: Float>(isa: Isa, w: &Blockwise<'_, T>, width: usize) -> Result<PackedBlocks<T>> {
    let (blocks, panels) = (w.blocks(), w.n.div_ceil(width));
    let entries = panels.checked_mul(width).and_then(|c| c.checked_mul(blocks));
    ensure!(entries.is_some(), Fail, "weights of {} columns and {blocks} blocks are too many", w.n);
    let words = pack_words(w, width, panels)?;
    let scales = by_panel(w, width, T::default(), |block, col| w.scales[col * blocks + block]);
    Ok(PackedBlocks { isa, bits: w.bits, block: w.block, k: w.k, n: w.n, blocks, width, words, scales, zeros: zeros(w, width) })
}

/// One value for each block and column, in the order of the panels; columns beyond the last get `none`.
fn by_panel<T, V: Copy>(w: &Blockwise<'_, T>, width: usize, none: V, value: impl Fn(usize, usize) -> V) -> Vec<V> {
    let blocks = w.blocks();
    let entries = (0..w.n.div_ceil(width) * blocks * width).map(|x| {
        let (panel, block, col) = (x / (blocks * width), x / width % blocks, x % width);
        let col = panel * width + col;
        if col < w.n { value(block, col) } else { none }
    });
    entries.collect()
}

fn zeros<T: Float>(w: &Blockwise<'_, T>, width: usize) -> Zeros {
    let (blocks, middle) = (w.blocks(), 1i32 << (w.bits - 1));
    match w.zeros {
        BlockZeros::Middle => Zeros::None,
        BlockZeros::Packed(z) => {
            let (each, per_byte) = (w.zero_bytes(), 8 / w.bits);
            Zeros::Bytes(by_panel(w, width, 0, |block, col| {
                let byte = z[col * each + block / per_byte];
                let value = i32::from(byte) >> (block % per_byte * w.bits) & ((1 << w.bits) - 1);
                (value - middle) as i8
            }))
        }
        BlockZeros::Floats(z) => Zeros::Floats(by_panel(w, width, 0.0, |block, col| z[col * blocks + block].widen() - middle as f32)),
    }
}

fn pack_words<T: Float>(w: &Blockwise<'_, T>, width: usize, panels: usize) -> Result<Aligned> {
    let column = w.blocks() * (w.block / 8 * w.bits);
    let groups = column / 4;
    let flip = if w.bits == 8 { SIGNED } else { 0 };
    let mut words = Aligned::zeroed::<u32>((panels * width).saturating_mul(groups))?;
    let dst = Shared(words.as_mut_ptr::<u32>());
    parallel_for(panels, &|panel| {
        let first = panel * width;
        for c in 0..width.min(w.n - first) {
            let bytes = &w.weights[(first + c) * column..(first + c + 1) * column];
            for (g, word) in bytes.chunks_exact(4).enumerate() {
                let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]) ^ flip;
                // SAFETY: the buffer holds `groups * width` words for each panel, and each chunk writes a panel of its own.
                unsafe { dst.get().add((panel * groups + g) * width + c).write(word) }
            }
        }
    });
    Ok(words)
}
