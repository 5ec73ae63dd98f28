//! RoiAlign: regions of images, sampled between elements.

use std::marker::PhantomData;
use std::ops::Range;

use base::{DType, Result, Shape, bail, ensure};
use ir::{Dim, Dims};
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use crate::chunks::for_rows;
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

const SIGNATURE: &str = "X:T1, rois:T1, batch_indices:T2 -> Y:T1";
const INDICES: TypeSet = TypeSet::tensors(&[DType::I64]);

/// RoiAlign of `ai.onnx`.
pub static ROI_ALIGN: OpDef = OpDef {
    name: "RoiAlign",
    versions: &[
        since(10, SIGNATURE, &[("T1", FLOATS_V1), ("T2", INDICES)]),
        since(16, SIGNATURE, &[("T1", FLOATS_V1), ("T2", INDICES)]),
        since(22, SIGNATURE, &[("T1", FLOATS), ("T2", INDICES)]),
    ],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<RoiAlign>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct RoiAlign {
    max: bool,
    output: [usize; 2],
    /// Samples along each side of a cell; as many as it has elements if 0.
    samples: usize,
    scale: f32,
    half_pixel: bool,
}

fn load(a: &Attrs<'_>) -> Result<RoiAlign> {
    let max = match a.string("mode", "avg")? {
        "avg" => false,
        "max" => true,
        other => bail!(InvalidGraph, "attribute 'mode' is '{other}'"),
    };
    let half_pixel = match if a.since() < 16 { "output_half_pixel" } else { a.string("coordinate_transformation_mode", "half_pixel")? } {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => bail!(InvalidGraph, "attribute 'coordinate_transformation_mode' is '{other}'"),
    };
    let size = |name: &str, default: i64, least: i64| {
        let value = a.int(name, default)?;
        ensure!((least..=i64::from(i16::MAX)).contains(&value), InvalidGraph, "attribute '{name}' is {value}");
        Ok(value as usize)
    };
    let output = [size("output_height", 1, 1)?, size("output_width", 1, 1)?];
    Ok(RoiAlign { max, output, samples: size("sampling_ratio", 0, 0)?, scale: a.float("spatial_scale", 1.0)?, half_pixel })
}

impl Op for RoiAlign {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims: Option<Dims> = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(x), Some(rois)) => {
                let fits = x.len() == 4 && rois.len() == 2 && rois[1].known().is_none_or(|n| n == 4);
                ensure!(fits, InvalidGraph, "regions of shape {rois:?} for images of shape {x:?}");
                Some([rois[0].clone(), x[1].clone(), Dim::from(self.output[0]), Dim::from(self.output[1])].into_iter().collect())
            }
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for RoiAlign {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match is_wide(cx.dtype(0)?) {
            true => Box::new(Kernel::<f64> { op: self.clone(), real: PhantomData }),
            false => Box::new(Kernel::<f32> { op: self.clone(), real: PhantomData }),
        })
    }
}

struct Kernel<A> {
    op: RoiAlign,
    real: PhantomData<A>,
}

/// One side of a region: where it begins, the size of a cell, and how many samples a cell takes.
#[derive(Clone, Copy, Debug)]
struct Side<A> {
    start: A,
    cell: A,
    samples: usize,
}

/// The elements on both sides of a coordinate, and the weight of the second; `None` outside of the image.
fn neighbours<A: Real>(at: A, n: usize) -> Option<(usize, usize, A)> {
    if !(at >= -A::one() && at <= A::of(n as f64)) {
        return None;
    }
    let at = if at > A::zero() { at } else { A::zero() };
    let low = at.f64() as usize;
    if low + 1 >= n {
        return Some((n - 1, n - 1, A::zero()));
    }
    Some((low, low + 1, at - A::of(low as f64)))
}

/// The first of `n` numbers for which `holds` does not, where it holds for none after that.
fn first_not(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

impl<A: Real> Kernel<A> {
    fn side(&self, first: A, last: A, cells: usize) -> Side<A> {
        let (scale, shift) = (A::of(self.op.scale.into()), A::of(if self.op.half_pixel { 0.5 } else { 0.0 }));
        let (start, end) = (first * scale - shift, last * scale - shift);
        let mut size = end - start;
        if !self.op.half_pixel && size < A::one() {
            size = A::one();
        }
        let cell = size / A::of(cells as f64);
        // No cell takes more samples than any image has elements.
        let own = cell.ceil().f64().clamp(0.0, f64::from(i16::MAX)) as usize;
        Side { start, cell, samples: if self.op.samples > 0 { self.op.samples } else { own } }
    }

    /// Sample `s` of cell `i`.
    fn place(side: &Side<A>, i: usize, s: usize) -> A {
        side.start + A::of(i as f64) * side.cell + (A::of(s as f64) + A::of(0.5)) * side.cell / A::of(side.samples as f64)
    }

    /// The samples of cell `i` that lie in an image of `n` elements along this side.
    fn inside(side: &Side<A>, i: usize, n: usize) -> Range<usize> {
        // Samples ascend, or descend where the region is turned around.
        let ascends = side.cell >= A::zero();
        let before = |at: A| if ascends { at < -A::one() } else { at > A::of(n as f64) };
        let within = |at: A| if ascends { at <= A::of(n as f64) } else { at >= -A::one() };
        let first = first_not(side.samples, |s| before(Self::place(side, i, s)));
        let end = first_not(side.samples, |s| before(Self::place(side, i, s)) || within(Self::place(side, i, s)));
        first..end.max(first)
    }

    fn cell(&self, x: Floats<'_>, plane: usize, [height, width]: [usize; 2], [v, h]: [&Side<A>; 2], [py, px]: [usize; 2]) -> A {
        let mut result: Option<A> = None;
        let mut take = |value: A| {
            result = Some(match result {
                None => value,
                Some(r) if self.op.max => {
                    if value > r {
                        value
                    } else {
                        r
                    }
                }
                Some(r) => r + value,
            });
        };
        let (rows, cols) = (Self::inside(v, py, height), Self::inside(h, px, width));
        // Samples outside of the image are zero. They are not walked through: a region may be larger than its image by any factor.
        if rows.len() < v.samples || cols.len() < h.samples {
            take(A::zero());
        }
        let samples = rows.flat_map(|sy| {
            // One cell may take a long time, and a run that was cancelled wants none of it.
            let cols = if base::threads::check().is_ok() { cols.clone() } else { 0..0 };
            cols.map(move |sx| (sy, sx))
        });
        for (sy, sx) in samples {
            let (row, col) = (neighbours(Self::place(v, py, sy), height), neighbours(Self::place(h, px, sx), width));
            let (Some((y0, y1, wy)), Some((x0, x1, wx))) = (row, col) else { continue };
            let get = |y: usize, x_at: usize| x.get::<A>(plane + y * width + x_at);
            let (uy, ux) = (A::one() - wy, A::one() - wx);
            let terms = [uy * ux * get(y0, x0), uy * wx * get(y0, x1), wy * ux * get(y1, x0), wy * wx * get(y1, x1)];
            // The greatest is that of the weighted elements, as ONNX Runtime has it.
            take(if self.op.max { A::greatest(&terms) } else { terms.into_iter().sum() });
        }
        let count = (v.samples * h.samples).max(1);
        let result = result.unwrap_or(A::zero());
        if self.op.max { result } else { result / A::of(count as f64) }
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, x_shape, rois_shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()), Shape::from(cx.input(1)?.shape()));
        let images = cx.input(2)?.len();
        let fits = x_shape.len() == 4 && rois_shape.len() == 2 && rois_shape[1] == 4 && images == rois_shape[0];
        ensure!(fits, InvalidArgument, "{images} images, regions of shape {rois_shape} for images of shape {x_shape}");
        let ([rows, cols], channels, size) = (self.op.output, x_shape[1], [x_shape[2], x_shape[3]]);
        cx.allocate(0, dtype, [rois_shape[0], channels, rows, cols])?;
        let (x, rois, y) = (Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?, FloatsMut::of(cx.output(0)?)?);
        let images = cx.input(2)?.slice::<i64>()?;
        for (r, image) in images.iter().enumerate() {
            let known = usize::try_from(*image).is_ok_and(|i| i < x_shape[0]);
            ensure!(known, InvalidArgument, "region {r} is of image {image} of {}", x_shape[0]);
        }
        ensure!(!size.contains(&0) || y.len() == 0, InvalidArgument, "regions of empty images of shape {x_shape}");
        for_rows::<u8>(&mut [], 0, rois_shape[0] * channels, 1, &|_, range| {
            for i in range {
                let (r, c) = (i / channels, i % channels);
                let corner = |k: usize| rois.get::<A>(r * 4 + k);
                let (v, h) = (self.side(corner(1), corner(3), rows), self.side(corner(0), corner(2), cols));
                let plane = (images[r] as usize * channels + c) * size[0] * size[1];
                for (py, px) in (0..rows).flat_map(|py| (0..cols).map(move |px| (py, px))) {
                    let value = self.cell(x, plane, size, [&v, &h], [py, px]);
                    // SAFETY: each region's channel belongs to one chunk.
                    unsafe { y.write((i * rows + py) * cols + px, &[value]) }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn samples_between_elements() {
        let x = [0f32, 1.0, 2.0, 3.0];
        let op = single(&ROI_ALIGN, 16).attr("sampling_ratio", 1i64).input([1, 1, 2, 2], &x).input([1, 4], &[0f32, 0.0, 2.0, 2.0]);
        assert_close(&op.input([1], &[0i64]).tensor().unwrap(), &[1.5], 1e-6, 0.0);
    }

    #[test]
    fn samples_outside_of_the_image_are_zero() {
        let run = |mode: &str, region: [f32; 4], samples: i64| {
            let op = single(&ROI_ALIGN, 16).attr("sampling_ratio", samples).attr("mode", mode).input([1, 1, 2, 2], &[1f32, 1.0, 1.0, 1.0]);
            op.input([1, 4], &region).input([1], &[0i64]).tensor().unwrap()
        };
        // Of the samples at -3.5, -0.5, 2.5 and 5.5 along each side, one lies in the image.
        assert_close(&run("avg", [-4.5, -4.5, 7.5, 7.5], 4), &[1.0 / 16.0], 1e-6, 0.0);
        assert_close(&run("avg", [7.5, 7.5, -4.5, -4.5], 4), &[1.0 / 16.0], 1e-6, 0.0);
        assert_close(&run("max", [-4.5, -4.5, 7.5, 7.5], 4), &[1.0], 1e-6, 0.0);
        assert_close(&run("avg", [-1e12, -1e12, 1e12, 1e12], 0), &[0.0], 0.0, 1e-6);
        assert_close(&run("avg", [f32::NAN, 0.0, f32::INFINITY, 1.0], 0), &[0.0], 1e-6, 0.0);
    }

    #[test]
    fn an_image_that_is_none_is_refused() {
        let op = single(&ROI_ALIGN, 16).input([1, 1, 1, 1], &[0f32]).input([1, 4], &[0f32; 4]).input([1], &[-1i64]);
        assert!(op.tensor().unwrap_err().detail().contains("image -1"));
    }
}
