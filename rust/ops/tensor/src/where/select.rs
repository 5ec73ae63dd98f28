//! The kernel of Where. The output may share the memory of an input of its shape.

use base::threads::parallel_for;
use base::{Result, TensorMut, TensorRef, bail, ensure};

use crate::movement::{Axes, CHUNK, Region, Steps, Walk, merge};

/// Elements that are read before any of them is written.
const BLOCK: usize = 64;

/// Where condition, both choices and the output begin.
#[derive(Clone, Copy)]
struct Bases {
    condition: *const u8,
    choices: [*const u8; 2],
    output: *mut u8,
}

// SAFETY: the addresses are those of tensors that `select` borrows for the whole region; chunks write disjoint elements, and read of a
// choice that shares the output's memory only those that they write.
unsafe impl Sync for Bases {}

/// Writes `choices[0]` where `condition` holds, else `choices[1]`. `regions` are the three dense inputs, broadcast to the output.
pub(super) fn select(condition: TensorRef<'_>, choices: [TensorRef<'_>; 2], regions: &[Region; 3], output: TensorMut<'_>) -> Result<()> {
    let dtype = output.dtype();
    let Some(size) = dtype.size() else { bail!(NotImplemented, "Where has no kernel for packed {dtype}") };
    let lengths = [condition.slice::<bool>()?.len(), choices[0].bytes()?.len() / size, choices[1].bytes()?.len() / size];
    ensure!(choices.iter().all(|c| c.dtype() == dtype), Fail, "choices of Where are not of its type {dtype}");
    let whole = Region::dense(output.shape());
    ensure!(output.layout().is_dense(output.shape()), Fail, "the output of Where is not dense");
    let mut axes: Axes<4> = Axes::new();
    for (i, out) in whole.axes().iter().enumerate() {
        let [c, x, y] = [0, 1, 2].map(|k| regions[k].axes().get(i));
        let same = [c, x, y].iter().all(|a| a.is_some_and(|a| a.len == out.len));
        ensure!(same, Fail, "{regions:?} are not broadcast to {:?}", whole.dims());
        axes.push(Steps { len: out.len, by: [c, x, y, Some(out)].map(|a| a.map_or(0, |a| a.by[0])) });
    }
    if whole.len() == 0 {
        return Ok(());
    }
    let inside = regions.iter().zip(lengths).all(|(r, n)| r.extent().is_some_and(|e| e.0 >= 0 && (e.1 as usize) < n));
    ensure!(inside, Fail, "{regions:?} reach out of inputs of {lengths:?} elements");
    merge(&mut axes);
    let bases = Bases { condition: condition.address(), choices: choices.map(|c| c.address()), output: output.address() };
    match size {
        1 => all::<u8>(axes, bases),
        2 => all::<u16>(axes, bases),
        4 => all::<u32>(axes, bases),
        8 => all::<u64>(axes, bases),
        _ => all::<[u64; 2]>(axes, bases),
    }
    Ok(())
}

/// Cuts the innermost axis into pieces and gives them to chunks.
fn all<T: Copy + Default>(mut axes: Axes<4>, bases: Bases) {
    let inner = axes.pop().unwrap_or(Steps { len: 1, by: [0, 0, 0, 1] });
    let elements = CHUNK / size_of::<T>();
    let piece = inner.len.min(elements);
    axes.push(Steps { len: inner.len.div_ceil(piece), by: inner.by.map(|s| s * piece as isize) });
    let lines: usize = axes.iter().map(|a| a.len).product();
    let per_chunk = (elements / piece).max(1);
    let last = axes.len() - 1;
    parallel_for(lines.div_ceil(per_chunk), &|chunk| {
        let bases = &bases;
        let first = chunk * per_chunk;
        let mut walk = Walk::new(&axes, [0; 4], first);
        for _ in first..(first + per_chunk).min(lines) {
            let len = piece.min(inner.len - walk.index(last) * piece);
            // SAFETY: the regions lie inside of their tensors, and the walk goes through their common index space.
            unsafe { line::<T>(bases, walk.at, Steps { len, by: inner.by }) };
            walk.step();
        }
    });
}

/// One piece of the innermost axis, at offsets `at`.
///
/// # Safety
/// All its elements may be read and written; what shares memory with the output is read at the same place only.
unsafe fn line<T: Copy + Default>(bases: &Bases, at: [isize; 4], axis: Steps<4>) {
    let [c, x, y, o] = axis.by;
    // SAFETY: the offsets are those of elements.
    let (condition, first, second, output) = unsafe {
        let choice = |i: usize| bases.choices[i].cast::<T>().offset(at[i + 1]);
        (bases.condition.offset(at[0]), choice(0), choice(1), bases.output.cast::<T>().offset(at[3]))
    };
    for start in (0..axis.len).step_by(BLOCK) {
        let (n, i) = (BLOCK.min(axis.len - start), start as isize);
        let (mut conditions, mut firsts, mut seconds) = ([0u8; BLOCK], [T::default(); BLOCK], [T::default(); BLOCK]);
        // SAFETY: `n` elements from `start` on are in the line; all are read before one is written.
        unsafe {
            load(&mut conditions[..n], condition.offset(i * c), c);
            load(&mut firsts[..n], first.offset(i * x), x);
            load(&mut seconds[..n], second.offset(i * y), y);
            let mut results = [T::default(); BLOCK];
            for j in 0..BLOCK {
                results[j] = if conditions[j] != 0 { firsts[j] } else { seconds[j] };
            }
            if o == 1 {
                output.offset(i).copy_from_nonoverlapping(results.as_ptr(), n);
            } else {
                (0..n).for_each(|j| output.offset((i + j as isize) * o).write(results[j]));
            }
        }
    }
}

/// Reads `to.len()` elements from `from` on, `stride` apart.
///
/// # Safety
/// They may be read.
#[inline(always)]
unsafe fn load<T: Copy>(to: &mut [T], from: *const T, stride: isize) {
    // SAFETY: the caller vouches for the elements; `to` is memory of its own.
    unsafe {
        match stride {
            1 => to.as_mut_ptr().copy_from_nonoverlapping(from, to.len()),
            0 => to.fill(from.read()),
            s => to.iter_mut().enumerate().for_each(|(j, t)| *t = from.offset(j as isize * s).read()),
        }
    }
}
