//! GatherBlockQuantized: rows of a table that is quantized in blocks, as numbers.

use base::threads::parallel_chunks_mut;
use base::{DType, Element, Result, Shape, TensorRef, axis_index, bail, ensure, error, packed};
use half::{bf16, f16};
use ir::Dim;
use op::types::INDEX;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

/// GatherBlockQuantized of `com.microsoft`. Bytes hold `8 / bits` numbers each, side by side along the last axis.
pub static GATHER_BLOCK_QUANTIZED: OpDef = OpDef {
    name: "GatherBlockQuantized",
    versions: &[since(
        1,
        "data:T1, indices:Tind, scales:T2, zero_points:T1? -> output:T2",
        &[
            ("T1", TypeSet::tensors(&[DType::I4, DType::U4, DType::U8])),
            ("T2", TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16])),
            ("Tind", INDEX),
        ],
    )],
    load: |a| {
        let (bits, block) = (a.int("bits", 4)?, a.int("block_size", 128)?);
        ensure!(matches!(bits, 2 | 4 | 8), InvalidGraph, "attribute 'bits' is {bits}");
        ensure!(block >= 16 && (block as u64).is_power_of_two(), InvalidGraph, "attribute 'block_size' is {block}");
        let axes = (a.int("gather_axis", 0)?, a.int("quantize_axis", 1)?);
        Ok(Box::new(GatherBlockQuantized { bits: bits as usize, block: block as usize, gather_axis: axes.0, quantize_axis: axes.1 }))
    },
    kernels: Kernels::NONE.stateless::<GatherBlockQuantized>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct GatherBlockQuantized {
    bits: usize,
    block: usize,
    gather_axis: i64,
    quantize_axis: i64,
}

impl GatherBlockQuantized {
    /// How many numbers an element of type `dtype` holds.
    fn per_element(&self, dtype: DType) -> usize {
        if dtype == DType::U8 { 8 / self.bits } else { 1 }
    }
}

impl Op for GatherBlockQuantized {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, per) = (cx.dtype(2)?, self.per_element(cx.dtype(0)?));
        let (Some(data), Some(indices)) = (cx.dims(0)?, cx.dims(1)?) else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let axis = axis_index(self.gather_axis, data.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        let mut dims = [&data[..axis], indices, &data[axis + 1..]].concat();
        if let (Some(last), true) = (dims.last_mut(), per > 1) {
            *last = last.mul(&Dim::from(per));
        }
        cx.tensor(0, dtype, Some(dims.into()));
        Ok(())
    }
}

/// Quantized numbers, as they are stored.
struct Codes<'a> {
    dtype: DType,
    bytes: &'a [u8],
    /// How many numbers a row has, which begins with a whole byte where several share one.
    row: usize,
    /// How many bits a number of a byte takes.
    bits: usize,
}

impl<'a> Codes<'a> {
    fn of(t: TensorRef<'a>, row: usize, bits: usize) -> Result<Self> {
        Ok(Self { dtype: t.dtype(), bytes: t.bytes()?, row: row.max(1), bits })
    }

    /// Number `i`.
    fn at(&self, i: usize) -> i32 {
        if self.dtype != DType::U8 {
            let code = packed::get(self.dtype, self.bytes, i).unwrap_or_default();
            return if self.dtype == DType::I4 { packed::to_i8(DType::I4, code).into() } else { code.into() };
        }
        let (per, line, place) = (8 / self.bits, i / self.row, i % self.row);
        let byte = self.bytes.get(line * self.row.div_ceil(per) + place / per).copied().unwrap_or_default();
        i32::from(byte >> (place % per * self.bits) & (u8::MAX >> (8 - self.bits)))
    }
}

/// The whole table, and what makes its codes numbers again.
struct Table<'a> {
    codes: Codes<'a>,
    zeros: Option<Codes<'a>>,
    scales: Vec<f32>,
    /// The size of the quantized axis, and how many numbers lie behind each of its places.
    len: usize,
    behind: usize,
    block: usize,
}

impl Table<'_> {
    /// Element `i` as a number.
    fn number(&self, i: usize) -> f32 {
        let (front, place, behind) = (i / (self.len * self.behind), i / self.behind % self.len, i % self.behind);
        let block = (front * self.len.div_ceil(self.block) + place / self.block) * self.behind + behind;
        let zero = match &self.zeros {
            Some(zeros) => zeros.at(block),
            None if self.codes.dtype == DType::U8 => 1 << (self.codes.bits - 1),
            None => 0,
        };
        (self.codes.at(i) - zero) as f32 * self.scales[block]
    }
}

impl GatherBlockQuantized {
    fn gather<T: Element>(&self, cx: &mut Run<'_>, widen: fn(T) -> f32, narrow: fn(f32) -> T) -> Result<()> {
        let (data, indices) = (cx.input(0)?, cx.input(1)?);
        let mut shape = data.shape().to_vec();
        let axis = axis_index(self.gather_axis, shape.len())?;
        let quantized = axis_index(self.quantize_axis, shape.len())?;
        let per = self.per_element(data.dtype());
        let last = shape.len() - 1;
        ensure!(per == 1 || (axis != last && quantized == last), InvalidArgument, "packed bytes are quantized along the last axis only");
        shape[last] *= per;
        let (len, behind) = (shape[quantized], shape[quantized + 1..].iter().product::<usize>());
        let blocks: usize = shape[..quantized].iter().product::<usize>() * len.div_ceil(self.block) * behind;
        ensure!(cx.input(2)?.len() == blocks, InvalidArgument, "{} scales for {blocks} blocks", cx.input(2)?.len());
        let output: Shape = shape[..axis].iter().chain(indices.shape()).chain(&shape[axis + 1..]).copied().collect();
        let rows = places(indices, shape[axis])?;
        cx.allocate(0, T::DTYPE, output)?;
        let scales = cx.input(2)?.slice::<T>()?.iter().map(|s| widen(*s)).collect();
        let row = shape[last];
        let zeros = cx.optional(3)?;
        let held = zeros.map_or(blocks, |z| z.len() * self.per_element(z.dtype()));
        ensure!(held >= blocks, InvalidArgument, "{held} zero points for {blocks} blocks");
        let blocks_in_row = if behind == 1 { len.div_ceil(self.block) } else { row };
        let zeros = zeros.map(|z| Codes::of(z, blocks_in_row, self.bits)).transpose()?;
        let table = Table { codes: Codes::of(cx.input(0)?, row, self.bits)?, zeros, scales, len, behind, block: self.block };
        let inner: usize = shape[axis + 1..].iter().product();
        // A row of the table at a time: that of a place before the axis, and of an index.
        parallel_rows(cx.output(0)?.slice::<T>()?, inner, |i, out| {
            let (front, place) = (i / rows.len(), rows[i % rows.len()]);
            let start = (front * shape[axis] + place) * inner;
            out.iter_mut().zip(start..).for_each(|(out, i)| *out = narrow(table.number(i)));
        });
        base::threads::check()
    }
}

/// Runs `f(row, elements)` over rows of `len` elements.
fn parallel_rows<T: Element>(out: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let rows = (4096 / len.max(1)).max(1);
    parallel_chunks_mut(out, rows * len.max(1), &|chunk, part| {
        part.chunks_mut(len.max(1)).enumerate().for_each(|(i, row)| f(chunk * rows + i, row));
    });
}

/// The indices as places of an axis of `len`, counted from its end where they are negative.
fn places(indices: TensorRef<'_>, len: usize) -> Result<Vec<usize>> {
    let wide: Vec<i64> = match indices.dtype() {
        DType::I32 => indices.slice::<i32>()?.iter().map(|i| i64::from(*i)).collect(),
        DType::I64 => indices.slice::<i64>()?.to_vec(),
        other => bail!(InvalidArgument, "indices of type {other}"),
    };
    let place = |i: i64| {
        let place = if i < 0 { i + len as i64 } else { i };
        let range = || {
            error!(
                InvalidArgument,
                "indices element out of data bounds, idx={i} must be within the inclusive range [-{len},{}]",
                len as i64 - 1
            )
        };
        usize::try_from(place).ok().filter(|p| *p < len).ok_or_else(range)
    };
    wide.into_iter().map(place).collect()
}

impl Stateless for GatherBlockQuantized {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        match cx.input(2)?.dtype() {
            DType::F16 => self.gather::<f16>(cx, f16::to_f32, f16::from_f32),
            DType::BF16 => self.gather::<bf16>(cx, bf16::to_f32, bf16::from_f32),
            _ => self.gather::<f32>(cx, |x| x, |x| x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, assert_close, single};

    fn op(bits: i64, data: &[u8], width: usize) -> Single {
        single(&GATHER_BLOCK_QUANTIZED, 1).attr("bits", bits).attr("block_size", 16i64).input([data.len() / width, width], data)
    }

    #[test]
    fn bytes_of_two_numbers() {
        let data: Vec<u8> = (0..2 * 16).map(|i| (i % 16) as u8 | 0x70).collect();
        let op = |zeros: Option<[u8; 2]>| {
            let op = op(4, &data, 16).input([2], &[1i64, -2]).input([2, 2], &[1f32, 2.0, 3.0, 4.0]);
            let t = if let Some(z) = zeros { op.input([2, 1], &z) } else { op }.tensor().unwrap();
            assert_eq!(&**t.shape(), [2, 32]);
            t.slice::<f32>().unwrap().to_vec()
        };
        let plain = op(None);
        assert_eq!((plain[0], plain[1], plain[16], plain[32]), (-24.0, -3.0, 0.0, -8.0));
        let shifted = op(Some([0x21, 0x43]));
        assert_eq!((shifted[0], shifted[1], shifted[16], shifted[32]), (-9.0, 12.0, 16.0, -1.0));
    }

    #[test]
    fn whole_bytes_and_bad_indices() {
        let data: Vec<u8> = (0..32).collect();
        let t = op(8, &data, 16).input([1], &[1i32]).input([2, 1], &[1f32, 0.5]).tensor().unwrap();
        assert_close(&t, &(16..32).map(|i| f64::from(i - 128) * 0.5).collect::<Vec<_>>(), 0.0, 0.0);
        let e = op(8, &data, 16).input([1], &[2i32]).input([2, 1], &[1f32; 2]).tensor().unwrap_err();
        assert!(e.message().contains("idx=2"), "{e}");
        assert!(op(8, &data, 16).input([1], &[0i32]).input([1], &[1f32]).tensor().is_err());
    }
}
