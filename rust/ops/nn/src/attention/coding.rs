//! How the elements of keys and values are written in a cache: as floats, or as numbers of few bits times scales.

use std::ops::Range;

use base::minifloat::Format;
use base::{DType, Element, Result, Shape, TensorRef, bail, ensure};
use half::{bf16, f16};
use simd::dispatch;

use super::cache::Extent;
use super::core::Computed;
use crate::floats::{Floats, FloatsMut, cast_mut};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float(DType),
    Int8,
    /// Two to a byte, the lower half first, each 8 above its number.
    Int4,
    Float8,
}

/// The element type of a cache, and the scales of one of few bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding<'a> {
    kind: Kind,
    /// One for all elements, or one for each element of each head.
    scales: &'a [f32],
}

impl<'a> Coding<'a> {
    /// Floats of type `dtype`.
    pub(super) fn float(dtype: DType) -> Self {
        Self { kind: Kind::Float(dtype), scales: &[] }
    }

    /// Numbers of `bits` bits in a cache of type `dtype`, for `heads` heads of `size` elements.
    ///
    /// # Errors
    /// `InvalidArgument` for scales of another shape, or bits that the type does not hold.
    pub(super) fn scaled(dtype: DType, bits: usize, scales: TensorRef<'a>, heads: usize, size: usize) -> Result<Self> {
        let kind = match (dtype, bits) {
            (DType::I8, 8) => Kind::Int8,
            (DType::U8, 4) if size.is_multiple_of(2) => Kind::Int4,
            (DType::F8E4M3FN, 8) => Kind::Float8,
            _ => bail!(InvalidArgument, "a cache of {dtype} does not hold {size} elements of {bits} bits a head"),
        };
        let shown = Shape::from(scales.shape());
        let scales = scales.slice::<f32>()?;
        let fits = scales.len() == 1 || (scales.len() == heads * size && shown.last() == Some(&size));
        ensure!(fits, InvalidArgument, "scales of shape {shown} for {heads} heads of {size} elements");
        Ok(Self { kind, scales })
    }

    /// Bytes of `size` elements of a head.
    pub(super) fn bytes(&self, size: usize) -> usize {
        match self.kind {
            Kind::Float(dtype) => dtype.bytes_of(size).unwrap_or(0),
            Kind::Int8 | Kind::Float8 => size,
            Kind::Int4 => size / 2,
        }
    }

    /// Whether the cache holds elements of type `A` as they are.
    pub(super) fn is<A: Computed>(&self) -> bool {
        self.kind == Kind::Float(A::DTYPE)
    }

    /// The scale of each element of head `head`.
    fn scale(&self, head: usize, size: usize) -> impl Fn(usize) -> f32 {
        let own = if self.scales.len() > 1 { &self.scales[head * size..][..size] } else { &[] };
        let one = self.scales.first().copied().unwrap_or(1.0);
        move |i| own.get(i).copied().unwrap_or(one)
    }

    /// Writes one position of head `head`.
    pub(super) fn encode<A: Computed>(&self, head: usize, from: &[A], to: &mut [u8]) {
        let scale = self.scale(head, from.len());
        // The inverse is rounded first, as in ONNX Runtime, so that ties fall alike.
        let scaled = |i: usize| from[i].f64() as f32 * (1.0 / scale(i));
        match self.kind {
            // SAFETY: nobody else has the row.
            Kind::Float(dtype) => unsafe { floats_mut(dtype, to).write(0, from) },
            Kind::Int8 => to.iter_mut().enumerate().for_each(|(i, to)| *to = scaled(i).round_ties_even() as i8 as u8),
            Kind::Int4 => {
                let nibble = |i: usize| (scaled(i).round_ties_even().clamp(-8.0, 7.0) + 8.0) as u8;
                to.iter_mut().enumerate().for_each(|(i, to)| *to = nibble(2 * i) | nibble(2 * i + 1) << 4);
            }
            Kind::Float8 => {
                let Some(format) = Format::of(DType::F8E4M3FN) else { return };
                to.iter_mut().enumerate().for_each(|(i, to)| *to = format.encode(scaled(i), true));
            }
        }
    }

    /// Reads one position of head `head`.
    pub(super) fn decode<A: Computed>(&self, head: usize, from: &[u8], to: &mut [A]) {
        if let (Kind::Int8 | Kind::Int4, Some(to)) = (self.kind, cast_mut(&mut *to)) {
            let scales = if self.scales.len() > 1 { &self.scales[head * to.len()..][..to.len()] } else { self.scales };
            return dispatch(Decode { from, scales, to, packed: self.kind == Kind::Int4 });
        }
        let scale = self.scale(head, to.len());
        let mut set = |i: usize, x: f32| to[i] = A::of((x * scale(i)).into());
        match self.kind {
            Kind::Float(dtype) => floats(dtype, from).read(0, to),
            Kind::Int8 => from.iter().enumerate().for_each(|(i, x)| set(i, f32::from(*x as i8))),
            Kind::Int4 => from.iter().enumerate().for_each(|(i, x)| {
                set(2 * i, f32::from(x & 15) - 8.0);
                set(2 * i + 1, f32::from(x >> 4) - 8.0);
            }),
            Kind::Float8 => {
                let Some(format) = Format::of(DType::F8E4M3FN) else { return };
                from.iter().enumerate().for_each(|(i, x)| set(i, format.decode(*x)));
            }
        }
    }
}

/// `to = from * scales` for integers of 8 bits, or of 4, each a number less 8.
struct Decode<'a> {
    from: &'a [u8],
    scales: &'a [f32],
    to: &'a mut [f32],
    packed: bool,
}

impl simd::Kernel for Decode<'_> {
    type Output = ();

    // Loops that the compiler turns into vectors of the instruction set at hand.
    #[inline(always)]
    fn run<S: simd::Simd>(self, _: S) {
        match *self.scales {
            [scale] => self.each(|_| scale),
            ref scales => {
                let scales = &scales[..self.to.len()];
                self.each(|i| scales[i]);
            }
        }
    }
}

impl Decode<'_> {
    #[inline(always)]
    fn each(self, scale: impl Fn(usize) -> f32) {
        if self.packed {
            for (i, (to, x)) in self.to.chunks_exact_mut(2).zip(self.from).enumerate() {
                to[0] = f32::from((x & 15) as i8 - 8) * scale(2 * i);
                to[1] = f32::from((x >> 4) as i8 - 8) * scale(2 * i + 1);
            }
        } else {
            self.to.iter_mut().zip(self.from).enumerate().for_each(|(i, (to, x))| *to = f32::from(*x as i8) * scale(i));
        }
    }
}

/// A dense cache, `[images, heads, positions, elements]`, as it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coded<'a> {
    bytes: &'a [u8],
    coding: Coding<'a>,
    sizes: Extent,
}

impl<'a> Coded<'a> {
    pub(super) fn new(bytes: &'a [u8], coding: Coding<'a>, sizes: Extent) -> Self {
        Self { bytes, coding, sizes }
    }

    /// Elements of a head.
    pub(super) fn size(&self) -> usize {
        self.sizes.size
    }

    /// Whether `sizes` (images, heads, positions, elements) lie in the data.
    pub(super) fn holds(&self, [images, heads, rows, size]: [usize; 4]) -> bool {
        let own = &self.sizes;
        let all = own.batch * own.heads * own.rows * self.coding.bytes(size);
        images <= own.batch && heads == own.heads && rows <= own.rows && size == own.size && all <= self.bytes.len()
    }

    /// Some positions of one head as `f32`: as they lie, or in `room`.
    pub(super) fn rows<'r>(&'r self, image: usize, head: usize, rows: Range<usize>, room: &'r mut [f32]) -> &'r [f32] {
        let (size, row) = (self.sizes.size, self.coding.bytes(self.sizes.size));
        let start = ((image * self.sizes.heads + head) * self.sizes.rows + rows.start) * row;
        let bytes = &self.bytes[start..start + rows.len() * row];
        match self.coding.kind {
            Kind::Float(DType::F32) => return view(bytes),
            Kind::Float(dtype) => floats(dtype, bytes).read(0, &mut room[..rows.len() * size]),
            // Where all have one scale, they are like one position.
            _ if self.coding.scales.len() == 1 => self.coding.decode(head, bytes, &mut room[..rows.len() * size]),
            _ => {
                for (to, from) in room.chunks_exact_mut(size.max(1)).zip(bytes.chunks_exact(row.max(1))) {
                    self.coding.decode(head, from, to);
                }
            }
        }
        room
    }
}

/// The bytes of whole elements as these.
///
/// # Panics
/// If they do not lie where elements may.
pub(super) fn view<T: Element>(bytes: &[u8]) -> &[T] {
    assert!((bytes.as_ptr() as usize).is_multiple_of(align_of::<T>()), "elements that are not aligned");
    // SAFETY: the bytes are aligned; numbers of any content are valid, and as many are read as there are whole ones.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) }
}

fn view_mut<T: Element>(bytes: &mut [u8]) -> &mut [T] {
    assert!((bytes.as_ptr() as usize).is_multiple_of(align_of::<T>()), "elements that are not aligned");
    // SAFETY: as for `view`; the bytes are borrowed for writing.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / size_of::<T>()) }
}

fn floats(dtype: DType, bytes: &[u8]) -> Floats<'_> {
    match dtype {
        DType::F64 => Floats::F64(view(bytes)),
        DType::F16 => Floats::F16(view(bytes)),
        DType::BF16 => Floats::BF16(view(bytes)),
        _ => Floats::F32(view(bytes)),
    }
}

fn floats_mut(dtype: DType, bytes: &mut [u8]) -> FloatsMut<'_> {
    use base::threads::SharedMut;
    match dtype {
        DType::F64 => FloatsMut::F64(SharedMut::new(view_mut::<f64>(bytes))),
        DType::F16 => FloatsMut::F16(SharedMut::new(view_mut::<f16>(bytes))),
        DType::BF16 => FloatsMut::BF16(SharedMut::new(view_mut::<bf16>(bytes))),
        _ => FloatsMut::F32(SharedMut::new(view_mut::<f32>(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Tensor;

    fn there_and_back(dtype: DType, bits: usize, scales: &[f32], from: [f32; 4]) -> (Vec<u8>, [f32; 4]) {
        let shape: &[usize] = if scales.len() == 1 { &[1] } else { &[1, 1, 1, 4] };
        let scales = Tensor::from_slice(Shape::from(shape), scales).unwrap();
        let coding = Coding::scaled(dtype, bits, scales.as_ref(), 1, 4).unwrap();
        let (mut bytes, mut back) = (vec![0; coding.bytes(4)], [0.0; 4]);
        coding.encode(0, &from, &mut bytes);
        coding.decode(0, &bytes, &mut back);
        (bytes, back)
    }

    #[test]
    fn numbers_of_few_bits_are_rounded_to_even_and_held_inside() {
        let (bytes, back) = there_and_back(DType::I8, 8, &[0.5], [0.25, 0.75, -1000.0, f32::NAN]);
        assert_eq!((bytes, back), (vec![0, 2, 128, 0], [0.0, 1.0, -64.0, 0.0]));
        let (bytes, back) = there_and_back(DType::U8, 4, &[1.0, 2.0, 1.0, 1.0], [1.0, 5.0, -9.0, 9.0]);
        assert_eq!((bytes, back), (vec![0xA9, 0xF0], [1.0, 4.0, -8.0, 7.0]));
        assert_eq!(there_and_back(DType::F8E4M3FN, 8, &[2.0], [2.0, -1.0, 1e6, 0.0]).1, [2.0, -1.0, 896.0, 0.0]);
    }

    #[test]
    fn scales_that_do_not_fit_are_refused() {
        let scales = Tensor::from_slice([3], &[1f32; 3]).unwrap();
        assert!(Coding::scaled(DType::I8, 8, scales.as_ref(), 1, 4).is_err());
        assert!(Coding::scaled(DType::I8, 4, scales.as_ref(), 1, 3).is_err());
    }
}
