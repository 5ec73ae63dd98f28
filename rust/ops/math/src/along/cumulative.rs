//! CumSum, CumProd: what the elements up to each one along an axis add up or multiply to.

use base::threads::parallel_for;
use base::{DType, Element, Result, Shape, axis_index, ensure, error};
use op::types::{HIGH_PRECISION, INDEX};
use op::{Attrs, CpuKernel, Infer, Kernels, Mask, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::split::{Reader, Split, TILE};
use crate::elementwise::{BLOCK, Buffer, Convert, Target, check_apart};
use crate::reduce::Summand;

const SIGNATURE: &str = "x:T, axis:T2 -> y:T";
const V11: TypeSet = HIGH_PRECISION.without(&[DType::F16, DType::BF16]);
const CURRENT: &[(&str, TypeSet)] = &[("T", HIGH_PRECISION), ("T2", INDEX)];

/// Elements that a chunk handles at least.
const CHUNK: usize = 16 * 1024;

const CUMULATIVE: OpDef = OpDef { kernels: Kernels::NONE.cpu::<Cumulative>(), in_place: &[(0, 0)], host: Mask::of(0b10, 0), ..OpDef::ONNX };

/// CumSum of `ai.onnx`. Sums are kept in `f64`, or in 64-bit integers that wrap around.
pub static CUM_SUM: OpDef = OpDef {
    name: "CumSum",
    versions: &[since(11, SIGNATURE, &[("T", V11), ("T2", INDEX)]), since(14, SIGNATURE, CURRENT)],
    load: |a| load(a, false),
    ..CUMULATIVE
};

/// CumProd of `ai.onnx`. Products are kept as sums are by CumSum.
pub static CUM_PROD: OpDef = OpDef { name: "CumProd", versions: &[since(26, SIGNATURE, CURRENT)], load: |a| load(a, true), ..CUMULATIVE };

#[derive(Clone, Debug)]
struct Cumulative {
    product: bool,
    /// Whether an element counts only for those after it.
    exclusive: bool,
    reverse: bool,
}

fn load(a: &Attrs<'_>, product: bool) -> Result<Box<dyn Op>> {
    Ok(Box::new(Cumulative { product, exclusive: a.flag("exclusive", false)?, reverse: a.flag("reverse", false)? }))
}

impl Op for Cumulative {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, dims) = (cx.dtype(0)?, cx.dims(0)?);
        if let (Some(dims), Some(&[axis])) = (dims, cx.known_ints(1).as_deref()) {
            axis_index(axis, dims.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        }
        cx.tensor(0, dtype, dims.map(Into::into));
        Ok(())
    }
}

impl CpuKernel for Cumulative {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let size = dtype.size().ok_or_else(|| cx.no_kernel(dtype))?;
        let scan = match dtype {
            DType::F32 | DType::F16 | DType::BF16 => self.tile::<f32>(),
            DType::F64 => self.tile::<f64>(),
            DType::I32 => self.tile::<i32>(),
            DType::I64 => self.tile::<i64>(),
            DType::U32 => self.tile::<u32>(),
            DType::U64 => self.tile::<u64>(),
            _ => return Err(cx.no_kernel(dtype)),
        };
        Ok(Box::new(Kernel { op: self.clone(), dtype, size, scan, load: Convert::widen(dtype), store: Convert::narrow(dtype) }))
    }
}

/// After how many rows of a tile a cancelled run is noticed.
const CHECKED: usize = 256;

/// Scans one tile.
type ScanTile = unsafe fn(&Scan<'_>, usize);

impl Cumulative {
    /// The scan of a type: what its inner loop does is known when it is compiled.
    fn tile<T: Summand + Element>(&self) -> ScanTile {
        match (self.product, self.exclusive) {
            (false, false) => tile::<T, false, false>,
            (false, true) => tile::<T, false, true>,
            (true, false) => tile::<T, true, false>,
            (true, true) => tile::<T, true, true>,
        }
    }
}

struct Kernel {
    op: Cumulative,
    dtype: DType,
    size: usize,
    scan: ScanTile,
    load: Option<Convert>,
    store: Option<Convert>,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        let axis = cx.input(1)?.ints()?;
        let &[axis] = &axis[..] else { return Err(error!(InvalidArgument, "one axis is needed, not {}", axis.len())) };
        let split = Split::at(&shape, axis_index(axis, shape.len())?);
        cx.allocate(0, self.dtype, shape)?;
        let (input, output) = (cx.input(0)?, cx.output(0)?);
        let from = (input.address(), input.bytes()?.len());
        ensure!(
            input.dtype() == self.dtype && output.dtype() == self.dtype && output.shape() == input.shape(),
            Fail,
            "{output:?} is not like {input:?}"
        );
        let dense = output.memory().is_host() && output.layout().is_dense(output.shape());
        ensure!(dense, Fail, "a dense output of the host is needed, not {output:?}");
        check_apart(from, (output.address(), from.1), true)?;
        let reader = Reader { address: from.0, size: self.size, load: self.load.as_ref() };
        let scan = Scan { op: &self.op, split, reader, output: Target::new(output.address(), self.size), store: self.store.as_ref() };
        let units = split.outer * split.tiles();
        let at_once = (CHUNK / (split.len * split.inner.min(TILE)).max(1)).max(1);
        parallel_for(units.div_ceil(at_once), &|chunk| {
            for unit in chunk * at_once..units.min((chunk + 1) * at_once) {
                // SAFETY: both tensors have the elements of the split, of the type of the scan; chunks have different tiles.
                unsafe { (self.scan)(&scan, unit) };
            }
        });
        base::threads::check()
    }
}

/// A scan under way. Elements are copied to a buffer before results take their place, so that the output may be the input.
struct Scan<'a> {
    op: &'a Cumulative,
    split: Split,
    reader: Reader<'a>,
    output: Target,
    store: Option<&'a Convert>,
}

impl Scan<'_> {
    /// Writes `n` results from the buffer as the elements from `start` on.
    ///
    /// # Safety
    /// The output has them, and they belong to the caller alone.
    unsafe fn write(&self, start: usize, n: usize, buffer: &mut Buffer) {
        let to = self.output.at(start);
        // SAFETY: as the caller vouches.
        unsafe {
            match self.store {
                Some(store) => store.0.run(buffer.address(), to, n),
                None => std::ptr::copy_nonoverlapping(buffer.address().cast_const(), to, n * self.reader.size),
            }
        }
    }
}

/// Scans a tile: a row in blocks where the axis is the innermost one, else columns side by side.
///
/// # Safety
/// The tensors are of type `T` once loaded and have the elements of the split, of which the tile belongs to the caller alone.
unsafe fn tile<T: Summand + Element, const PRODUCT: bool, const EXCLUSIVE: bool>(scan: &Scan<'_>, unit: usize) {
    let Scan { op, split, .. } = *scan;
    let (outer, first, n) = split.tile(unit);
    let start = if PRODUCT { T::ONE } else { T::ZERO };
    let mut buffer = Buffer::default();
    let step = |acc: &mut T::Acc, x: &mut T| {
        let next = if PRODUCT { T::mul(*acc, x.widen()) } else { T::add(*acc, x.widen()) };
        *x = T::narrow(if EXCLUSIVE { *acc } else { next });
        *acc = next;
    };
    let (width, rows) = if split.inner == 1 { (BLOCK, split.len.div_ceil(BLOCK)) } else { (n, split.len) };
    let mut accs = [start; TILE];
    for row in 0..rows {
        // One tile may be all there is; its rows are short.
        if row % CHECKED == CHECKED - 1 && base::threads::check().is_err() {
            return;
        }
        let row = if op.reverse { rows - 1 - row } else { row };
        // SAFETY: as the caller vouches: the row lies in the tile.
        unsafe {
            if split.inner == 1 {
                let (at, len) = (outer * split.len + row * width, width.min(split.len - row * width));
                let block = scan.reader.read::<T>(at, len, &mut buffer);
                if op.reverse {
                    block.iter_mut().rev().for_each(|x| step(&mut accs[0], x));
                } else {
                    block.iter_mut().for_each(|x| step(&mut accs[0], x));
                }
                scan.write(at, len, &mut buffer);
            } else {
                let at = (outer * split.len + row) * split.inner + first;
                scan.reader.read::<T>(at, n, &mut buffer).iter_mut().zip(&mut accs).for_each(|(x, acc)| step(acc, x));
                scan.write(at, n, &mut buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    fn run(def: &OpDef, exclusive: i64, reverse: i64) -> Vec<i32> {
        let s = single(def, 26).attr("exclusive", exclusive).attr("reverse", reverse);
        s.input([3], &[2i32, 3, 4]).input([], &[0i32]).tensor().unwrap().slice::<i32>().unwrap().to_vec()
    }

    #[test]
    fn ways_to_count() {
        assert_eq!(run(&CUM_SUM, 0, 0), [2, 5, 9]);
        assert_eq!(run(&CUM_SUM, 1, 0), [0, 2, 5]);
        assert_eq!(run(&CUM_SUM, 0, 1), [9, 7, 4]);
        assert_eq!(run(&CUM_SUM, 1, 1), [7, 4, 0]);
        assert_eq!(run(&CUM_PROD, 0, 0), [2, 6, 24]);
        assert_eq!(run(&CUM_PROD, 1, 1), [12, 4, 1]);
    }

    #[test]
    fn long_rows_and_many_columns() {
        for (dims, axis) in [([2usize, 3000, 1], 1i64), ([1, 70, 600], -2), ([3, 5, 7], 0)] {
            let len: usize = dims.iter().product();
            let x: Vec<f64> = (0..len).map(|i| (i % 11) as f64 - 3.0).collect();
            let split = Split::at(&dims, axis_index(axis, 3).unwrap());
            let mut want = x.clone();
            for i in 0..len {
                let index = i / split.inner % split.len;
                want[i] += if index > 0 { want[i - split.inner] } else { 0.0 };
            }
            let t = single(&CUM_SUM, 11).input(dims, &x).input([1], &[axis]).tensor().unwrap();
            assert_close(&t, &want, 0.0, 0.0);
            let halves: Vec<half::f16> = x.iter().map(|x| half::f16::from_f64(*x)).collect();
            let t = single(&CUM_SUM, 14).input(dims, &halves).input([], &[axis]).tensor().unwrap();
            assert_close(&t, &want, 1e-3, 0.0);
            assert!(single(&CUM_SUM, 11).input(dims, &halves).input([], &[axis]).tensor().is_err());
        }
    }

    #[test]
    fn axes_that_cannot_be() {
        assert!(single(&CUM_SUM, 14).input([2], &[1f32, 2.0]).input([], &[1i64]).tensor().is_err());
        assert!(single(&CUM_SUM, 14).input([], &[1f32]).input([], &[0i64]).tensor().is_err());
        assert!(single(&CUM_SUM, 14).input([2], &[1f32, 2.0]).input([2], &[0i64, 0]).tensor().is_err());
        assert_eq!(&**single(&CUM_SUM, 14).input([0, 3], &[0f32; 0]).input([], &[0i64]).tensor().unwrap().shape(), [0, 3]);
    }
}
