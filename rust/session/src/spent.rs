//! Where the time of runs goes, by operator.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Result, Value};
use exec::{Observer, Ran, Seen};

use crate::text::{bytes, table};
use crate::{RunOptions, Session};

/// What the nodes of one operator took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The operator, with its domain and version.
    pub op: String,
    /// How often nodes of it ran, in all runs together.
    pub calls: usize,
    /// How long they took.
    pub time: Duration,
    /// Bytes of the tensors that they read and wrote.
    pub bytes: usize,
}

/// What runs took, by operator: first the one that took most time.
#[derive(Clone, Debug, Default)]
pub struct Spending {
    /// How many runs there were.
    pub runs: usize,
    /// The operators of the optimized graph.
    pub operators: Vec<Spent>,
}

impl Session {
    /// Runs the model `runs` times on `feeds`, by name, and tells which operators took how long. One run goes before, unmeasured.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn profile(&self, feeds: &[(&str, Value)], runs: usize, options: &RunOptions) -> Result<Spending> {
        self.run(feeds, &[], options)?;
        let log: Arc<Mutex<HashMap<String, Spent>>> = Arc::default();
        let told = log.clone();
        let observer = Observer::of_values(move |ran| count(&mut told.lock().unwrap_or_else(PoisonError::into_inner), ran));
        let options = RunOptions { observer: Some(observer), ..options.clone() };
        for _ in 0..runs {
            self.run(feeds, &[], &options)?;
        }
        let log = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
        let mut operators: Vec<Spent> = log.into_values().collect();
        operators.sort_by(|a, b| b.time.cmp(&a.time).then(a.op.cmp(&b.op)));
        Ok(Spending { runs, operators })
    }
}

fn count(log: &mut HashMap<String, Spent>, ran: &Ran<'_>) {
    let op = ran.node.key.to_string();
    let spent = log.entry(op).or_insert_with_key(|op| Spent { op: op.clone(), ..Spent::default() });
    spent.calls += 1;
    spent.time += ran.end.saturating_duration_since(ran.start);
    spent.bytes += ran.inputs().iter().chain(&ran.outputs()).flatten().map(Seen::bytes).sum::<usize>();
}

impl Spending {
    /// How long all operators took.
    pub fn total(&self) -> Duration {
        self.operators.iter().map(|s| s.time).sum()
    }

    /// The rows of a table of the first `top` operators, a run each.
    pub fn rows(&self, top: usize) -> Vec<Vec<String>> {
        let (total, runs) = (self.total().as_secs_f64().max(f64::MIN_POSITIVE), self.runs.max(1) as f64);
        let row = |s: &Spent| {
            let seconds = s.time.as_secs_f64();
            let mean = 1e6 * seconds / (s.calls.max(1) as f64);
            vec![
                s.op.clone(),
                format!("{:.0}", s.calls as f64 / runs),
                format!("{:.3}", 1e3 * seconds / runs),
                format!("{:.1}", 100.0 * seconds / total),
                format!("{mean:.1}"),
                bytes((s.bytes as f64 / runs) as usize),
            ]
        };
        self.operators.iter().take(top).map(row).collect()
    }

    /// The heads of the columns of [`rows`](Self::rows).
    pub const HEAD: [&str; 6] = ["operator", "nodes", "ms", "%", "us each", "bytes"];
}

/// A table of what each operator takes in a run.
impl fmt::Display for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        table(&mut text, &Self::HEAD, &self.rows(usize::MAX));
        f.write_str(&text)?;
        let each = 1e3 * self.total().as_secs_f64() / self.runs.max(1) as f64;
        writeln!(f, "{each:.3} ms in operators in each of {} runs", self.runs)
    }
}
