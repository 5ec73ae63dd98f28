//! Convolution in `f32` of dense channels. The input is copied into rows with their padding, cut into as many phases as the window moves
//! by: then neighbouring results of a row read neighbouring elements, whatever the tap.

use std::ops::Range;

use base::threads::{self, SharedMut, paced, parallel_chunks_mut, parallel_for};
use base::{Result, ensure};

use super::problem::{Problem, SPATIAL};
use super::target::{Job, Room, Target};
use super::tile::{self, MAX_BLOCKS, MAX_POSITIONS, RowArgs, Tiles, Visit, Window};
use crate::window::Axis;

/// Multiply-adds that a chunk has, about: some hundredths of a millisecond.
const CHUNK: usize = 1 << 20;
/// Elements that a chunk copies, about.
const COPY: usize = 32 << 10;

/// How the copy of one image lies: for each channel its planes, their lines, their phases, a row of each.
#[derive(Clone, Copy)]
struct Rows {
    axes: [Axis; SPATIAL],
    channels: usize,
    planes: usize,
    lines: usize,
    phases: usize,
    row: usize,
}

impl Rows {
    fn new(p: &Problem) -> Result<Self> {
        let axes = p.spatial()?;
        let reach = |a: &Axis| (a.output.max(1) - 1) * a.stride + (a.kernel - 1) * a.dilation + 1;
        let [d, h, w] = &axes;
        let row = w.output + (w.kernel - 1) * w.dilation / w.stride;
        Ok(Self { axes, channels: p.groups * p.ic, planes: reach(d), lines: reach(h), phases: w.stride, row })
    }

    /// Elements of a line: all its phases.
    fn line(&self) -> usize {
        self.phases * self.row
    }

    fn channel(&self) -> usize {
        self.planes * self.lines * self.line()
    }

    /// What the window of a result reads.
    fn window(&self, p: &Problem) -> Window {
        let [d, h, w] = &self.axes;
        let plane = d.dilation * self.lines * self.line();
        let outer = [(d.kernel, plane), (h.kernel, h.dilation * self.line())];
        Window {
            channels: p.ic,
            channel: self.channel(),
            outer,
            taps: w.kernel,
            dilation: w.dilation,
            phases: self.phases,
            phase: self.row,
        }
    }

    /// Copies an image.
    fn copy(&self, image: &[f32], to: &mut [f32]) {
        let lines = (COPY / self.line()).max(1);
        parallel_chunks_mut(&mut to[..self.channels * self.channel()], lines * self.line(), &|chunk, to| {
            for (i, line) in to.chunks_exact_mut(self.line()).enumerate() {
                self.copy_line(image, chunk * lines + i, line);
            }
        });
    }

    /// Copies line `index`, counted over all channels and planes.
    fn copy_line(&self, image: &[f32], index: usize, to: &mut [f32]) {
        let [d, h, w] = &self.axes;
        let (rest, y) = (index / self.lines, (index % self.lines) as isize - h.before);
        let (channel, z) = (rest / self.planes, (rest % self.planes) as isize - d.before);
        let inside = (0..d.input as isize).contains(&z) && (0..h.input as isize).contains(&y);
        if !inside {
            return to.fill(0.0);
        }
        let line = &image[((channel * d.input + z as usize) * h.input + y as usize) * w.input..][..w.input];
        for (phase, row) in to.chunks_exact_mut(self.row).enumerate() {
            let begin = phase as isize - w.before;
            let held = held(begin, self.phases, line.len(), row.len());
            row[..held.start].fill(0.0);
            row[held.end..].fill(0.0);
            if held.is_empty() {
                continue;
            }
            let first = (begin + (held.start * self.phases) as isize) as usize;
            match self.phases {
                1 => row[held.clone()].copy_from_slice(&line[first..first + held.len()]),
                n => row[held].iter_mut().zip(line[first..].iter().step_by(n)).for_each(|(to, from)| *to = *from),
            }
        }
    }
}

/// The elements of a row of `len` that lie in a line of `input` elements, where the first is element `begin` of it and each next one
/// `step` further.
fn held(begin: isize, step: usize, input: usize, len: usize) -> Range<usize> {
    let reached = |target: isize| ((target - begin).max(0) as usize).div_ceil(step).min(len);
    let (start, end) = (reached(0), reached(input as isize));
    start..end.max(start)
}

/// Elements of scratch memory that [`run`] takes.
pub(super) fn scratch_len(p: &Problem) -> usize {
    Rows::new(p).map_or(0, |rows| rows.channels.saturating_mul(rows.channel()))
}

/// Computes a convolution of dense channels into `y`, with `scratch` of [`scratch_len`] elements.
///
/// # Errors
/// `Fail` when a slice has not the length that the problem says, `NotImplemented` for more than three spatial axes.
pub(super) fn run(job: &Job<'_>, y: &mut [f32], scratch: &mut [f32]) -> Result<()> {
    let [input, output] = job.check(y)?;
    if y.is_empty() {
        return Ok(());
    }
    let (p, rows) = (job.problem, Rows::new(job.problem)?);
    ensure!(scratch.len() >= rows.channels * rows.channel(), Fail, "{} elements of scratch memory", scratch.len());
    let [d, h, w] = &rows.axes;
    let (lines, per_line) = (d.output * h.output, w.output * p.ic * p.taps() * job.packing.lanes * MAX_BLOCKS);
    let grain = (CHUNK / per_line.max(1)).clamp(1, lines);
    let (tiles, window) = (job.packing.tiles(), rows.window(p));
    let y = SharedMut::new(y);
    for image in 0..p.batch {
        rows.copy(&job.x[image * input..][..input], scratch);
        let scratch: &[f32] = scratch;
        // Channel tiles one after the other at some lines, which stay in a cache.
        parallel_for(lines.div_ceil(grain) * tiles, &|chunk| {
            let first = chunk / tiles * grain;
            let target = Target::new(job, job.packing.tile(chunk % tiles), image, output, y.as_ptr());
            let lines = first..lines.min(first + grain);
            tile::visit(job.isa, Chunk { job, rows: &rows, window: &window, scratch, target, lines });
        });
    }
    threads::check()
}

/// Some lines of one channel tile.
struct Chunk<'a> {
    job: &'a Job<'a>,
    rows: &'a Rows,
    window: &'a Window,
    scratch: &'a [f32],
    target: Target<'a>,
    lines: Range<usize>,
}

impl Visit for Chunk<'_> {
    type Output = ();

    fn visit<S: Tiles>(self, s: S) {
        let [d, h, w] = &self.rows.axes;
        let tile = self.target.tile();
        let weights = self.job.weights[tile.weights..].as_ptr();
        let bias = self.target.bias();
        let work = self.job.problem.ic * self.job.problem.taps() * tile.blocks;
        let mut room: Room = [0.0; MAX_BLOCKS * MAX_POSITIONS * simd::MAX_LANES];
        let group = self.scratch[tile.group * self.job.problem.ic * self.rows.channel()..].as_ptr();
        for line in self.lines {
            let (z, y) = (line / h.output * d.stride, line % h.output * h.stride);
            let from = group.wrapping_add((z * self.rows.lines + y) * self.rows.line());
            // Tiles as even as can be, so that none is a thin rest.
            let tiles = w.output.div_ceil(S::POSITIONS);
            let ends = (0..tiles).map(|i| (i * w.output / tiles, (i + 1) * w.output / tiles));
            for (x, end) in paced(ends, work) {
                let start = line * w.output + x;
                let end_of_tile = self.target.end(s, start, &mut room);
                let args = RowArgs { window: self.window, from: from.wrapping_add(x), weights, bias: bias.as_ptr(), end: end_of_tile };
                // SAFETY: the lengths were checked: the copy holds what windows read, the weights the whole tile; nobody else uses these
                // places of the output.
                unsafe {
                    s.row_tile(end - x, tile.blocks, args);
                    self.target.finish(s, start, end - x, &room);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::held;

    #[test]
    fn rows_hold_what_lies_in_the_line() {
        for (begin, step, input, len) in
            [(-3, 1, 8, 10), (-3, 2, 8, 6), (-2, 2, 8, 6), (4, 3, 5, 4), (9, 1, 8, 3), (-9, 4, 1, 2), (0, 1, 0, 2)]
        {
            let inside: Vec<usize> = (0..len).filter(|j| (0..input as isize).contains(&(begin + (j * step) as isize))).collect();
            assert_eq!(held(begin, step, input, len).collect::<Vec<_>>(), inside, "{begin} {step} {input} {len}");
        }
    }
}
