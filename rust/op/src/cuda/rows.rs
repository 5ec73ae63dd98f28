//! How kernels of rows are spread over a device.

use base::DType;

/// Threads of a block, and of a warp.
const THREADS: usize = 256;
const WARP: usize = 32;

/// How a kernel of rows is spread over a device, as `rows.cuh` does it.
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
        let (of_warp, of_block) = if dtype == DType::F64 { (8, 8) } else { (16, 32) };
        if len <= WARP * of_warp {
            Self { kernel: "_by_warp", blocks: rows.div_ceil(THREADS / WARP) }
        } else {
            Self { kernel: if len <= THREADS * of_block { "_by_block" } else { "" }, blocks: rows }
        }
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
