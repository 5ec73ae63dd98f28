//! `ort-rs bench`: how long runs take, which operators take it, and how much memory.

use std::fmt::Write;
use std::time::{Duration, Instant};

use base::Result;

use super::arguments::Bench;
use super::memory::{self, Memory};
use super::{Outcome, feeds, run};
use crate::{Inputs, RunOptions, Spending, Value};
use session::text::{bytes, table};

/// How many runs are watched for the table of operators, after the measured ones.
const WATCHED: u32 = 10;

pub(crate) fn bench(arguments: &Bench, out: &mut String) -> Result<Outcome> {
    let before = memory::now();
    let begun = Instant::now();
    let session = run::load(&arguments.model, &arguments.session)?;
    let loading = begun.elapsed();
    let loaded = memory::now();
    let feeds = feeds::feeds(&session, &arguments.feeds)?.named(session.inputs())?;
    let once = |options: &RunOptions| session.run_with(again(&feeds), &[], options).map(drop);

    let begun = Instant::now();
    once(&RunOptions::default())?;
    let first = begun.elapsed();
    for _ in 0..arguments.warmup {
        once(&RunOptions::default())?;
    }
    let limit = Duration::try_from_secs_f64(arguments.seconds).unwrap_or(Duration::MAX);
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < arguments.runs as usize && begun.elapsed() < limit) {
        let start = Instant::now();
        once(&RunOptions::default())?;
        times.push(start.elapsed());
    }
    let after = memory::now();
    times.sort_unstable();
    report_times(out, &times, loading, first);
    report_memory(out, before, loaded, after);
    let watched = WATCHED.min(arguments.runs);
    report_operators(out, &session.profile(again(&feeds), watched as usize)?, arguments.top);
    Ok(Outcome::Good)
}

/// The same values once more; their elements are shared.
fn again<'n>(feeds: &[(&'n str, Value)]) -> Inputs<'n> {
    feeds.iter().fold(Inputs::new(), |inputs, (name, value)| inputs.with(name, value))
}

/// Appends a line. Writing to a string cannot fail.
fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

/// The time below which `share` of the sorted `times` lie.
fn percentile(times: &[Duration], share: f64) -> Duration {
    let rank = (share * times.len() as f64).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}

fn report_times(out: &mut String, times: &[Duration], loading: Duration, first: Duration) {
    line(out, &format!("loading    {}", milliseconds(loading)));
    line(out, &format!("first run  {}", milliseconds(first)));
    line(out, &format!("{} runs:", times.len()));
    let mean = times.iter().sum::<Duration>() / times.len() as u32;
    let rows = [
        ("min", times[0]),
        ("mean", mean),
        ("p50", percentile(times, 0.5)),
        ("p90", percentile(times, 0.9)),
        ("p99", percentile(times, 0.99)),
        ("max", times[times.len() - 1]),
    ];
    for (name, time) in rows {
        line(out, &format!("  {name:<8} {}", milliseconds(time)));
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:10.3} ms", time.as_secs_f64() * 1e3)
}

fn report_memory(out: &mut String, before: Option<Memory>, loaded: Option<Memory>, after: Option<Memory>) {
    let (Some(before), Some(loaded), Some(after)) = (before, loaded, after) else {
        line(out, "\nMemory: this system does not tell.");
        return;
    };
    line(out, "\nMemory, of its own and of files:");
    let rows = [("before loading", before), ("loaded", loaded), ("after the runs", after)];
    for (name, memory) in rows {
        line(out, &format!("  {name:<15} {:>10}  {:>10}", bytes(memory.own), bytes(memory.files)));
    }
    line(out, &format!("  {:<15} {:>10}  together", "peak", bytes(after.peak)));
}

fn report_operators(out: &mut String, spending: &Spending, top: usize) {
    line(out, &format!("\nOperators of the optimized graph, by time ({} runs more):", spending.runs));
    table(out, &Spending::HEAD, &spending.rows(top));
    let operators = spending.operators.len();
    if operators > top {
        line(out, &format!("  and {} more", operators - top));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_taken() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&times, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&times[..1], 0.9), Duration::from_millis(1));
    }
}
