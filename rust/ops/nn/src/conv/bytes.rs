//! Convolution of 8-bit integers: products of weights and windows, exact in 32 bits; depthwise ones channel by channel.

use base::threads::{Pace, SharedMut};
use base::{DType, Element, Result, TensorRef, bail, ensure};
use gemm::{ByteMat, ByteOutput, ByteTerms, Mat, byte_gemm, byte_scratch_len};

use super::problem::Problem;
use super::windows::{Windows, elements, is_pointwise};
use crate::chunks::{for_rows, rows_per_chunk};

/// Bytes of the matrix of windows, about.
const MATRIX: usize = 1 << 18;
/// Positions that make a matrix at least.
const POSITIONS: usize = 256;

/// An integer of 8 bits.
pub(super) trait Byte: Element + Into<i32> {
    /// The values as a matrix, row by row.
    fn matrix(data: &[Self], rows: usize, cols: usize) -> Result<ByteMat<'_>>;
}

impl Byte for u8 {
    fn matrix(data: &[Self], rows: usize, cols: usize) -> Result<ByteMat<'_>> {
        Ok(Mat::row_major(data, rows, cols)?.into())
    }
}

impl Byte for i8 {
    fn matrix(data: &[Self], rows: usize, cols: usize) -> Result<ByteMat<'_>> {
        Ok(Mat::row_major(data, rows, cols)?.into())
    }
}

/// Weights of either sign.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    I8(&'a [i8]),
    U8(&'a [u8]),
}

impl<'a> Weights<'a> {
    /// The elements of `t`.
    ///
    /// # Errors
    /// `NotImplemented` for another type.
    pub(super) fn of(t: TensorRef<'a>) -> Result<Self> {
        Ok(match t.dtype() {
            DType::I8 => Self::I8(t.slice()?),
            DType::U8 => Self::U8(t.slice()?),
            other => bail!(NotImplemented, "weights of {other}"),
        })
    }

    fn matrix(self, first: usize, rows: usize, cols: usize) -> Result<ByteMat<'a>> {
        match self {
            Self::I8(w) => i8::matrix(&w[first..first + rows * cols], rows, cols),
            Self::U8(w) => u8::matrix(&w[first..first + rows * cols], rows, cols),
        }
    }

    fn get(self, i: usize) -> i32 {
        match self {
            Self::I8(w) => w[i].into(),
            Self::U8(w) => w[i].into(),
        }
    }
}

/// The zero points of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Zeros<'a, T> {
    pub(super) x: T,
    /// None, one, or one for each output channel.
    pub(super) w: &'a [i32],
}

/// Whether channels are convolved one by one, which sums of 32 bits are needed for.
pub(super) fn by_channel(p: &Problem) -> bool {
    p.ic == 1 && p.oc == 1 && p.axes.len() <= 3
}

fn positions_at_once(p: &Problem) -> usize {
    let rows = (p.ic * p.taps()).max(1);
    (MATRIX / rows).next_multiple_of(POSITIONS).clamp(POSITIONS, p.out_plane().max(POSITIONS))
}

/// Bytes of the matrix of windows.
fn matrix_bytes(p: &Problem) -> usize {
    if is_pointwise(p) { 0 } else { (p.ic * p.taps() * positions_at_once(p)).next_multiple_of(64) }
}

/// Bytes of scratch memory.
pub(super) fn scratch(p: &Problem) -> usize {
    let columns = if is_pointwise(p) { p.out_plane() } else { positions_at_once(p) };
    let sums = if by_channel(p) { p.groups * p.batch * p.out_plane() * size_of::<i32>() } else { 0 };
    matrix_bytes(p) + byte_scratch_len(1, p.oc, columns, p.ic * p.taps(), false) + sums
}

/// The part of the result that one product makes: of output channels from `channel` on, the positions from `start` on of `count`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) image: usize,
    pub(super) channel: usize,
    pub(super) channels: usize,
    pub(super) start: usize,
    pub(super) count: usize,
}

/// Convolves by products of matrices; `output` says where a part of the result goes.
///
/// # Errors
/// What the products say of sizes.
pub(super) fn convolve<'a, T: Byte>(
    p: &Problem,
    x: &[T],
    weights: Weights<'_>,
    zeros: Zeros<'_, T>,
    bias: Option<&[i32]>,
    scratch: &mut [u8],
    mut output: impl FnMut(Part) -> Result<ByteOutput<'a>>,
) -> Result<()> {
    let (rows, plane, input) = (p.ic * p.taps(), p.out_plane(), p.ic * p.in_plane());
    let pointwise = is_pointwise(p);
    let at_once = if pointwise { plane } else { positions_at_once(p) };
    let (room, scratch) = scratch.split_at_mut(matrix_bytes(p).min(scratch.len()));
    let zero_x = [zeros.x.into()];
    for i in 0..p.batch * p.groups {
        let (image, g) = (i / p.groups, i % p.groups);
        let channels = g * p.oc..(g + 1) * p.oc;
        let left = weights.matrix(channels.start * rows, p.oc, rows)?;
        let own = |list: &'_ [i32]| if list.len() > 1 { channels.clone() } else { 0..list.len() };
        let terms =
            ByteTerms { a: &zeros.w[own(zeros.w)], b: &zero_x, row_bias: bias.map_or(&[], |b| &b[channels.clone()]), col_bias: &[] };
        let x = &x[i * input..(i + 1) * input];
        for start in (0..plane).step_by(at_once.max(1)) {
            let count = at_once.min(plane - start);
            let windows: &[T] = match pointwise {
                true => x,
                false => {
                    let room = elements(&mut *room, rows * count)?;
                    Windows { p, x, start, count, padding: zeros.x }.write(room);
                    room
                }
            };
            let part = Part { image, channel: channels.start, channels: p.oc, start, count };
            let right: gemm::ByteRhs<'_> = T::matrix(windows, rows, count)?.into();
            byte_gemm(left, right, &terms, output(part)?, scratch)?;
        }
    }
    base::threads::check()
}

/// Depthwise convolution into sums of 32 bits.
///
/// # Errors
/// `Fail` when the sums are not as many as the results.
pub(super) fn depthwise<T: Byte>(
    p: &Problem,
    x: &[T],
    weights: Weights<'_>,
    zeros: Zeros<'_, T>,
    bias: Option<&[i32]>,
    sums: &mut [i32],
) -> Result<()> {
    let [d, h, w] = p.spatial()?;
    let (plane, input, taps) = (p.out_plane(), p.in_plane(), p.taps());
    ensure!(sums.len() == p.batch * p.groups * plane, Fail, "{} sums of a depthwise convolution", sums.len());
    let rows = d.output * h.output;
    let sums = SharedMut::new(sums);
    for_rows::<u8>(&mut [], 0, p.batch * p.groups, rows_per_chunk(plane * taps), &|_, planes| {
        for i in planes {
            let channel = i % p.groups;
            let (x, zero_w) =
                (&x[i * input..(i + 1) * input], zeros.w.get(channel.min(zeros.w.len().saturating_sub(1))).copied().unwrap_or(0));
            // SAFETY: each plane belongs to one chunk.
            let sums = unsafe { sums.part(i * plane..(i + 1) * plane) };
            sums.fill(bias.map_or(0, |b| b[channel]));
            let pace = Pace::default();
            for row in 0..rows {
                let (oz, oy) = (row / h.output, row % h.output);
                let sums = &mut sums[row * w.output..(row + 1) * w.output];
                for (kz, ky) in d.taps(oz).flat_map(|kz| h.taps(oy).map(move |ky| (kz, ky))) {
                    let at = |a: &crate::window::Axis, o: usize, k: usize| (a.start(o) + (k * a.dilation) as isize) as usize;
                    let source = &x[(at(&d, oz, kz) * h.input + at(&h, oy, ky)) * w.input..][..w.input];
                    for kx in 0..w.kernel {
                        pace.spend(w.output / 2 + 4);
                        let weight = weights.get(channel * taps + (kz * h.kernel + ky) * w.kernel + kx) - zero_w;
                        let positions = w.positions(kx);
                        if positions.is_empty() {
                            continue;
                        }
                        let from = &source[at(&w, positions.start, kx)..];
                        add_products(&mut sums[positions], from, w.stride, zeros.x.into(), weight);
                    }
                }
            }
        }
    })
}

/// `sums += (x - zero) * weight`, each `stride` elements of `x` apart.
fn add_products<T: Byte>(sums: &mut [i32], x: &[T], stride: usize, zero: i32, weight: i32) {
    let each = |sum: &mut i32, x: T| *sum = sum.wrapping_add((x.into() - zero) * weight);
    match stride {
        1 => sums.iter_mut().zip(x).for_each(|(s, x)| each(s, *x)),
        2 => sums.iter_mut().zip(x.chunks(2)).for_each(|(s, x)| each(s, x[0])),
        stride => sums.iter_mut().zip(x.iter().step_by(stride)).for_each(|(s, x)| each(s, *x)),
    }
}
