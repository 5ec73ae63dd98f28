//! How kernels of rows are spread over a device.

use base::DType;

/// Threads of a block, and of a warp.
const THREADS: usize = 256;
const WARP: usize = 32;

/// Elements that a thread of a block holds, unless the block is one for large rows.
const OF_BLOCK: usize = 8;

/// How a kernel of rows is spread over a device, as `rows.cuh` does it; the numbers are the same there.
pub struct Rows {
    kernel: &'static str,
    /// How many blocks there are.
    pub blocks: usize,
}

impl Rows {
    /// Threads of a block.
    pub const THREADS: u32 = THREADS as u32;

    /// `rows` rows of `len` elements of a float type: by a warp or a block each, which hold a row in their registers, or else by a block
    /// that reads it several times.
    pub fn new(rows: usize, len: usize, dtype: DType) -> Self {
        let (of_warp, of_large_block) = if dtype == DType::F64 { (8, 16) } else { (16, 32) };
        let (kernel, blocks) = match len {
            _ if len <= WARP * of_warp => ("_by_warp", rows.div_ceil(THREADS / WARP)),
            _ if len <= THREADS * OF_BLOCK => ("_by_block", rows),
            _ if len <= THREADS * of_large_block => ("_by_large_block", rows),
            _ => ("", rows),
        };
        Self { kernel, blocks }
    }

    /// Whether registers hold the rows.
    pub fn are_held(&self) -> bool {
        !self.kernel.is_empty()
    }

    /// The kernel of the family `family` for rows of elements `suffix`.
    pub fn kernel(&self, family: &str, suffix: &str) -> String {
        format!("{family}{}_{suffix}", self.kernel)
    }
}
