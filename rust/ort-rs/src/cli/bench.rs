//! `ort-rs bench`: how long runs take, which operators take it, and how much memory.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::Result;

use super::arguments::Bench;
use super::memory::{self, Memory};
use super::table::{bytes, table};
use super::{Outcome, feeds, run};
use crate::{Inputs, Observer, RunOptions, Value};

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
    let nodes = watch(watched, &once)?;
    report_operators(out, &nodes, watched, arguments.top);
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

/// How long the nodes of one operator took.
#[derive(Default)]
struct Spent {
    calls: u32,
    time: Duration,
}

/// Runs again, told of each node.
fn watch(runs: u32, once: &dyn Fn(&RunOptions) -> Result<()>) -> Result<HashMap<String, Spent>> {
    let log: Arc<Mutex<HashMap<String, Spent>>> = Arc::default();
    let told = log.clone();
    let observer = Observer::new(move |node, start, end| {
        let mut log = told.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = log.entry(node.key.to_string()).or_default();
        spent.calls += 1;
        spent.time += end - start;
    });
    let options = RunOptions { observer: Some(observer), ..RunOptions::default() };
    for _ in 0..runs {
        once(&options)?;
    }
    drop(options);
    Ok(std::mem::take(&mut log.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn report_operators(out: &mut String, nodes: &HashMap<String, Spent>, runs: u32, top: usize) {
    let mut rows: Vec<(&String, &Spent)> = nodes.iter().collect();
    rows.sort_by(|a, b| b.1.time.cmp(&a.1.time).then(a.0.cmp(b.0)));
    let total: Duration = rows.iter().map(|(_, s)| s.time).sum();
    line(out, &format!("\nOperators of the optimized graph, by time ({runs} runs more):"));
    let row = |(name, spent): &(&String, &Spent)| {
        let each = spent.time.as_secs_f64() * 1e3 / f64::from(runs);
        let share = 100.0 * spent.time.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE);
        vec![(*name).clone(), (spent.calls / runs).to_string(), format!("{each:.3}"), format!("{share:.1}")]
    };
    let shown: Vec<Vec<String>> = rows.iter().take(top).map(row).collect();
    table(out, &["operator", "nodes", "ms", "%"], &shown);
    if rows.len() > top {
        line(out, &format!("  and {} more", rows.len() - top));
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
