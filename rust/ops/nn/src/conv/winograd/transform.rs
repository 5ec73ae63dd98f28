//! The transforms of a group of tiles: from the input to what is multiplied, and from products to results.

use std::marker::PhantomData;
use std::ops::Range;

use simd::{Kernel, Simd, VecFn};

use super::scheme::{MOST, Scheme};
use super::{Group, Job, Sizes};

/// Column `c` of a tile.
#[inline(always)]
fn column<V: Copy>(rows: &[[V; MOST]; MOST], c: usize) -> [V; MOST] {
    let mut column = rows[0];
    for (v, row) in column.iter_mut().zip(rows) {
        *v = row[c];
    }
    column
}

/// Transforms blocks of input channels of a group: `to[point][tile][channel]`.
pub(super) struct Input<'a, T> {
    pub(super) scheme: PhantomData<T>,
    pub(super) job: &'a Job<'a>,
    pub(super) sizes: &'a Sizes,
    pub(super) group: &'a Group,
    pub(super) blocks: Range<usize>,
    pub(super) to: *mut f32,
}

impl<T: Scheme> Kernel for Input<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (sizes, read) = (self.sizes, T::OUT + 2);
        let [h, w] = sizes.axes;
        let (width, plane) = (w.input * S::LANES, h.input * w.input * S::LANES);
        for block in self.blocks {
            let image = self.job.x[(self.group.image * sizes.in_blocks + block) * plane..][..plane].as_ptr();
            for (i, tile) in self.group.tiles.clone().enumerate() {
                let (y, x) = sizes.origin::<T>(tile);
                let (top, left) = (y as isize - h.before, x as isize - w.before);
                let inside = |at: isize, len: usize| at >= 0 && at + read as isize <= len as isize;
                let whole = inside(top, h.input) && inside(left, w.input);
                let mut rows = [[s.zero(); MOST]; MOST];
                for (r, row) in rows.iter_mut().enumerate().take(read) {
                    let y = top + r as isize;
                    let from = image.wrapping_offset(y * width as isize + left * S::LANES as isize);
                    let there = |c: usize| (0..h.input as isize).contains(&y) && (0..w.input as isize).contains(&(left + c as isize));
                    for (c, v) in row.iter_mut().enumerate().take(read) {
                        if whole || there(c) {
                            // SAFETY: the element lies in the image.
                            *v = unsafe { s.load(from.wrapping_add(c * S::LANES)) };
                        }
                    }
                    *row = T::input(s, *row);
                }
                for c in 0..read {
                    let column = T::input(s, column(&rows, c));
                    for (r, v) in column.into_iter().enumerate().take(read) {
                        let at = (r * read + c) * sizes.in_point + i * sizes.in_blocks * S::LANES + block * S::LANES;
                        // SAFETY: the scratch holds all points of the group; this block of it is written here only.
                        unsafe { s.store(self.to.add(at), v) };
                    }
                }
            }
        }
    }
}

/// Transforms the products of blocks of output channels of a group, `from[point][block][tile]`, to results in their places.
pub(super) struct Output<'a, T> {
    pub(super) scheme: PhantomData<T>,
    pub(super) job: &'a Job<'a>,
    pub(super) sizes: &'a Sizes,
    pub(super) group: &'a Group,
    pub(super) blocks: Range<usize>,
    pub(super) from: *const f32,
    pub(super) y: *mut f32,
}

impl<T: Scheme> Kernel for Output<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (job, sizes, read) = (self.job, self.sizes, T::OUT + 2);
        let [h, w] = sizes.axes;
        let plane = h.output * w.output * S::LANES;
        for block in self.blocks.clone() {
            let channels = block * S::LANES..(block * S::LANES + S::LANES).min(job.problem.oc);
            let mut bias = [0.0f32; simd::MAX_LANES];
            if let Some(b) = job.bias {
                bias[..channels.len()].copy_from_slice(&b[channels.clone()]);
            }
            // SAFETY: the bias is a whole vector.
            let bias = unsafe { s.load(bias.as_ptr()) };
            let base = (self.group.image * sizes.out_blocks + block) * plane;
            for (i, tile) in self.group.tiles.clone().enumerate() {
                let (y, x) = sizes.origin::<T>(tile);
                let mut rows = [[s.zero(); MOST]; MOST];
                for (r, row) in rows.iter_mut().enumerate().take(read) {
                    for (c, v) in row.iter_mut().enumerate().take(read) {
                        let at = (r * read + c) * sizes.out_point + (block * self.group.tiles.len() + i) * S::LANES;
                        // SAFETY: the scratch holds the products of all points of the group.
                        *v = unsafe { s.load(self.from.add(at)) };
                    }
                    *row = T::output(s, *row);
                }
                let mut results = [[s.zero(); MOST]; MOST];
                let mut check = s.zero();
                for c in 0..T::OUT {
                    let column = T::output(s, column(&rows, c));
                    for (row, v) in results.iter_mut().zip(column).take(T::OUT) {
                        check = s.fma(v, s.zero(), check);
                        row[c] = v;
                    }
                }
                if s.any(s.is_nan(check)) {
                    self.exactly(s, channels.clone(), (y, x), &mut results);
                }
                for (r, row) in results.iter().enumerate().take(T::OUT.min(h.output - y)) {
                    let at = base + ((y + r) * w.output + x) * S::LANES;
                    // SAFETY: the results of a tile belong to its chunk.
                    unsafe { self.finish(s, at, &row[..T::OUT.min(w.output - x)], bias, channels.len()) };
                }
            }
        }
    }
}

impl<T: Scheme> Output<'_, T> {
    /// Stores neighbouring results after bias, addend and activation.
    ///
    /// # Safety
    /// The places from `at` on belong to this chunk.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, s: S, at: usize, results: &[S::F], bias: S::F, channels: usize) {
        for (c, &v) in results.iter().enumerate() {
            let at = at + c * S::LANES;
            // No closures here: they would be compiled without the instruction set.
            let mut v = s.add(v, bias);
            if let Some(z) = self.job.addend {
                // SAFETY: `Job::run` checked that the addend holds the output.
                v = s.add(v, unsafe { s.load(z.as_ptr().add(at)) });
            }
            if let Some(a) = self.job.activation {
                v = a.eval(s, v);
            }
            // SAFETY: as the caller says.
            unsafe { s.store(self.y.add(at), v) };
            if channels < S::LANES {
                // SAFETY: as above; lanes of no channel stay zero.
                unsafe { std::slice::from_raw_parts_mut(self.y.add(at + channels), S::LANES - channels) }.fill(0.0);
            }
        }
    }

    /// Computes the results of a tile one by one, as sums over windows: differences of infinite or huge numbers have spoiled them.
    #[cold]
    #[inline(never)]
    fn exactly<S: Simd>(&self, s: S, channels: Range<usize>, origin: (usize, usize), results: &mut [[S::F; MOST]; MOST]) {
        let [h, w] = self.sizes.axes;
        for (r, row) in results.iter_mut().enumerate().take(T::OUT.min(h.output - origin.0)) {
            for (c, result) in row.iter_mut().enumerate().take(T::OUT.min(w.output - origin.1)) {
                let mut lanes = [0.0f32; simd::MAX_LANES];
                for (lane, o) in lanes.iter_mut().zip(channels.clone()) {
                    *lane = self.window(S::LANES, o, (origin.0 + r) as isize - h.before, (origin.1 + c) as isize - w.before);
                }
                // SAFETY: the lanes are a whole vector.
                *result = unsafe { s.load(lanes.as_ptr()) };
            }
        }
    }

    /// The sum of the window that begins at `(y, x)` for output channel `o`.
    fn window(&self, lanes: usize, o: usize, y: isize, x: isize) -> f32 {
        let (job, [h, w], ic) = (self.job, self.sizes.axes, self.job.problem.ic);
        let mut sum = 0.0f32;
        for (tap, channel) in (0..9).flat_map(|tap| (0..ic).map(move |c| (tap, c))) {
            let (y, x) = (y + (tap / 3) as isize, x + (tap % 3) as isize);
            if (0..h.input as isize).contains(&y) && (0..w.input as isize).contains(&x) {
                let plane = (self.group.image * self.sizes.in_blocks + channel / lanes) * h.input * w.input;
                let at = (plane + y as usize * w.input + x as usize) * lanes + channel % lanes;
                sum = job.x[at].mul_add(job.kernels[(o * ic + channel) * 9 + tap], sum);
            }
        }
        sum
    }
}
