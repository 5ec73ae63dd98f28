//! Moving elements narrower than a byte. One thread does it: neighbours share a byte.

use base::packed::{get, pack_into, set, unpack};
use base::{DType, Result, error};

use super::strided::paired;
use super::{Region, Steps, Walk, merge};

/// Codes that are unpacked at a time.
const RUN: usize = 256;

/// Copies elements of `dtype` from region `source` of `from` to region `target` of `to`, which has the same sizes.
///
/// # Errors
/// `Fail` when a region does not lie inside its bytes.
pub(crate) fn copy(dtype: DType, from: &[u8], source: &Region, to: &mut [u8], target: &Region) -> Result<()> {
    let mut axes = paired(source.axes(), target.axes(), 1);
    if axes.iter().any(|a| a.len == 0) {
        return Ok(());
    }
    merge(&mut axes);
    let inner = axes.pop().unwrap_or(Steps { len: 1, by: [1, 1] });
    let lines: usize = axes.iter().map(|a| a.len).product();
    let mut walk = Walk::new(&axes, [source.offset(), target.offset()], 0);
    for _ in 0..lines {
        let [f, t] = walk.at;
        if inner.by == [1, 1] {
            run(dtype, from, f as usize, to, t as usize, inner.len)?;
        } else {
            for i in 0..inner.len as isize {
                one(dtype, from, (f + i * inner.by[0]) as usize, to, (t + i * inner.by[1]) as usize)?;
            }
        }
        walk.step();
    }
    Ok(())
}

/// Copies `len` neighbours.
///
/// # Errors
/// `Fail` when they do not lie inside the bytes.
pub(crate) fn run(dtype: DType, from: &[u8], source: usize, to: &mut [u8], target: usize, len: usize) -> Result<()> {
    let mut codes = [0; RUN];
    for done in (0..len).step_by(RUN) {
        let codes = &mut codes[..RUN.min(len - done)];
        unpack(dtype, from, source + done, codes)?;
        pack_into(dtype, codes, to, target + done)?;
    }
    Ok(())
}

fn one(dtype: DType, from: &[u8], source: usize, to: &mut [u8], target: usize) -> Result<()> {
    let moved = get(dtype, from, source).and_then(|code| set(dtype, to, target, code));
    moved.ok_or_else(|| error!(Fail, "element {source} of {dtype} cannot be moved to {target}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::packed::pack;

    #[test]
    fn regions_of_every_packed_type() {
        for dtype in DType::all().filter(|d| d.is_packed()) {
            let codes: Vec<u8> = (0..35).map(|i| i as u8 & ((1 << dtype.bits()) - 1)).collect();
            let bytes = pack(dtype, &codes).unwrap();
            let source = Region::dense(&[5, 7]).permute(&[1, 0]).unwrap();
            let mut out = vec![0; bytes.len()];
            copy(dtype, &bytes, &source, &mut out, &Region::dense(&[7, 5])).unwrap();
            let expected: Vec<u8> = source.elements().map(|i| codes[i]).collect();
            assert_eq!(out, pack(dtype, &expected).unwrap(), "{dtype}");
            assert!(copy(dtype, &bytes, &Region::dense(&[50]), &mut out, &Region::dense(&[50])).is_err());
        }
    }
}
