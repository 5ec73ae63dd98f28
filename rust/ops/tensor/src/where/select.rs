//! The kernel of Where. The output may share the memory of an input of its shape.

use base::threads::parallel_for;
use base::{Result, TensorMut, TensorRef, bail, ensure};

use crate::movement::{Axes, CHUNK, Region, Steps, Walk, merge};

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
    for (choice, region) in choices.iter().zip(&regions[1..]) {
        let shared = choice.address() == output.address().cast_const() && *region != whole;
        ensure!(!shared, Fail, "the output of Where has the memory of a choice of another shape");
    }
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
fn all<T: Copy>(mut axes: Axes<4>, bases: Bases) {
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

/// What one side of the choice is along a line.
#[derive(Clone, Copy)]
enum Side<'a, T> {
    /// What the output holds already: it has the memory of this input.
    Held,
    /// One element for all.
    One(T),
    /// An element for each.
    Each(&'a [T]),
}

/// One piece of the innermost axis, at offsets `at`.
///
/// # Safety
/// All its elements may be read and written; a choice that shares memory with the output lies exactly where the output does.
unsafe fn line<T: Copy>(bases: &Bases, at: [isize; 4], axis: Steps<4>) {
    let [c, x, y, o] = axis.by;
    let strides_are_simple = matches!((c, x, y, o), (0 | 1, 0 | 1, 0 | 1, 1)) || axis.len == 1;
    // SAFETY: the offsets are those of elements, of which there are `axis.len` in these strides.
    unsafe {
        let output = bases.output.cast::<T>().offset(at[3]);
        let condition = bases.condition.offset(at[0]);
        let choice = |i: usize| bases.choices[i].cast::<T>().offset(at[i + 1]);
        if !strides_are_simple {
            for i in 0..axis.len as isize {
                let from = if *condition.offset(i * c) != 0 { choice(0).offset(i * x) } else { choice(1).offset(i * y) };
                output.offset(i * o).write(from.read());
            }
            return;
        }
        let side = |i: usize, stride: isize| match (choice(i) == output.cast_const(), stride) {
            (true, _) => Side::Held,
            (_, 0) => Side::One(choice(i).read()),
            _ => Side::Each(std::slice::from_raw_parts(choice(i), axis.len)),
        };
        let (first, second) = (side(0, x), side(1, y));
        let out = std::slice::from_raw_parts_mut(output, axis.len);
        if c == 0 && axis.len > 1 {
            take(out, if *condition != 0 { first } else { second });
        } else {
            choose(out, std::slice::from_raw_parts(condition, axis.len), first, second);
        }
    }
}

/// All elements from one side.
fn take<T: Copy>(out: &mut [T], side: Side<'_, T>) {
    match side {
        Side::Held => {}
        Side::One(value) => out.fill(value),
        Side::Each(values) => out.copy_from_slice(values),
    }
}

/// Each element from the side that its condition says.
fn choose<T: Copy>(out: &mut [T], conditions: &[u8], first: Side<'_, T>, second: Side<'_, T>) {
    match first {
        Side::Held => choose_second(out, conditions, |_, held| held, second),
        Side::One(value) => choose_second(out, conditions, |_, _| value, second),
        Side::Each(values) => {
            let values = &values[..out.len()];
            choose_second(out, conditions, |i, _| values[i], second);
        }
    }
}

fn choose_second<T: Copy>(out: &mut [T], conditions: &[u8], first: impl Fn(usize, T) -> T, second: Side<'_, T>) {
    match second {
        Side::Held => merge_sides(out, conditions, first, |_, held| held),
        Side::One(value) => merge_sides(out, conditions, first, |_, _| value),
        Side::Each(values) => {
            let values = &values[..out.len()];
            merge_sides(out, conditions, first, |i, _| values[i]);
        }
    }
}

/// The loop itself: both sides are read, so that it needs no branch.
#[inline(always)]
fn merge_sides<T: Copy>(out: &mut [T], conditions: &[u8], first: impl Fn(usize, T) -> T, second: impl Fn(usize, T) -> T) {
    let conditions = &conditions[..out.len()];
    for (i, o) in out.iter_mut().enumerate() {
        let (a, b) = (first(i, *o), second(i, *o));
        *o = if conditions[i] != 0 { a } else { b };
    }
}
