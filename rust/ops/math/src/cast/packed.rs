//! Casting from and to types of which several elements share a byte.

use base::packed::{pack_into, unpack};
use base::threads::try_parallel_for;
use base::{DType, Result, Shape, ensure, error};
use op::{Prepared, Run};

use crate::elementwise::{BLOCK, Map, Target, check_apart};

/// Blocks in a chunk. A block is a whole number of bytes of every type.
const BLOCKS: usize = 16;

/// The kernel of a cast from or to a packed type.
pub(crate) struct PackedCast {
    /// The loop, for which a code of a packed type is a byte.
    pub(crate) map: Box<dyn Map>,
    /// The type of the input.
    pub(crate) from: DType,
    /// The type of the output.
    pub(crate) to: DType,
}

impl Prepared for PackedCast {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        cx.allocate(0, self.to, shape.clone())?;
        let (input, output) = (cx.input(0)?, cx.output(0)?);
        ensure!(
            input.dtype() == self.from && output.dtype() == self.to && output.shape() == &*shape,
            Fail,
            "{input:?} and {output:?} are not of types {} and {} and one shape",
            self.from,
            self.to
        );
        let (len, address) = (shape.iter().product::<usize>(), output.address());
        // The inputs' bytes are only copied, a block at a time, before the block is written: the output may lie over them.
        let from = (input.address(), input.bytes()?.len());
        let to = (address, self.to.bytes_of(len).ok_or_else(|| error!(Fail, "{} has no size", self.to))?);
        check_apart(from, to, self.from.bits() == self.to.bits())?;
        let (from, to) = (Target::new(from.0.cast_mut(), 1), Target::new(to.0, 1));
        try_parallel_for(len.div_ceil(BLOCK * BLOCKS), &|chunk| {
            let end = len.min((chunk + 1) * BLOCK * BLOCKS);
            for start in (chunk * BLOCK * BLOCKS..end).step_by(BLOCK) {
                // SAFETY: `start` lies on a byte, and the block in both tensors; chunks have different blocks.
                unsafe { self.block(&from, &to, start, BLOCK.min(end - start))? };
            }
            Ok(())
        })
    }
}

impl PackedCast {
    /// Casts the `n` elements from `start` on.
    ///
    /// # Safety
    /// Both sides hold them, `start` is a multiple of [`BLOCK`] and `n` at most that.
    unsafe fn block(&self, from: &Target, to: &Target, start: usize, n: usize) -> Result<()> {
        let [mut raw, mut codes, mut results] = [[0u8; BLOCK]; 3];
        let place = |dtype: DType| (start * dtype.bits() / 8, (n * dtype.bits()).div_ceil(8));
        let ((from_at, from_len), (to_at, to_len)) = (place(self.from), place(self.to));
        let x = if self.from.is_packed() {
            // SAFETY: these are the bytes of the elements; packed ones are fewer than the elements.
            unsafe { std::ptr::copy_nonoverlapping(from.at(from_at).cast_const(), raw.as_mut_ptr(), from_len) };
            unpack(self.from, &raw[..from_len], 0, &mut codes[..n])?;
            codes.as_ptr()
        } else {
            from.at(from_at).cast_const()
        };
        if !self.to.is_packed() {
            // SAFETY: the loop was made for these types, and both sides hold `n` elements.
            unsafe { self.map.run(x, to.at(to_at), n) };
            return Ok(());
        }
        // SAFETY: as above; the results are a byte each.
        unsafe { self.map.run(x, results.as_mut_ptr(), n) };
        // SAFETY: these bytes of the output belong to this block alone, and nothing else borrows them any more.
        let bytes = unsafe { std::slice::from_raw_parts_mut(to.at(to_at), to_len) };
        // What is left of the last byte is zero.
        bytes.fill(0);
        pack_into(self.to, &results[..n], bytes, 0)
    }
}
