//! `ort-rs profile`: measures runs, and writes a page that shows where their time and memory go.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use base::{Result, error};
use ir::ValueId;
use session::text::bytes;

use super::arguments::Profile;
use super::page::{Page, page};
use super::{Outcome, feeds, run};
use crate::runtime::{Ran, Seen};
use crate::{Inputs, Observer, RunOptions, Value};

pub(crate) fn profile(arguments: &Profile, out: &mut String) -> Result<Outcome> {
    let begun = Instant::now();
    let session = run::load(&arguments.model, &arguments.session)?;
    let loading = begun.elapsed();
    let feeds = feeds::feeds(&session, &arguments.feeds)?.named(session.inputs())?;
    let again = || feeds.iter().fold(Inputs::new(), |inputs, (name, value): &(&str, Value)| inputs.with(name, value));
    session.run(again())?;
    let mut runs: Vec<Trace> = Vec::new();
    for _ in 0..arguments.runs {
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let told = events.clone();
        let observer = Observer::of_values(move |ran| told.lock().unwrap_or_else(PoisonError::into_inner).push(Event::of(ran)));
        let options = RunOptions { observer: Some(observer), ..RunOptions::default() };
        let begun = Instant::now();
        session.run_with(again(), &[], &options)?;
        let time = begun.elapsed();
        drop(options);
        let events = std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
        runs.push(Trace { begun, time, events });
    }
    let times: Vec<Duration> = runs.iter().map(|r| r.time).collect();
    runs.sort_by_key(|r| r.time);
    let middle = runs.swap_remove((runs.len() - 1) / 2);
    let shapes = feeds.iter().map(|(name, value)| format!("{name}: {}", described(value)));
    let facts = Page {
        model: arguments.model.display().to_string(),
        loading,
        times,
        feeds: shapes.collect(),
        fed: feeds.iter().filter_map(|(_, v)| v.tensor().ok()).filter_map(|t| t.dtype().bytes_of(t.len())).sum(),
        providers: session.providers(),
        trace: middle,
    };
    let path =
        arguments.page.clone().unwrap_or_else(|| PathBuf::from(arguments.model.file_name().unwrap_or_default()).with_extension("html"));
    let text = page(&facts)?;
    fs::write(&path, &text).map_err(|e| error!(Fail, "cannot write {}: {e}", path.display()))?;
    let (time, nodes) = (facts.trace.time.as_secs_f64() * 1e3, facts.trace.events.len());
    out.push_str(&format!("{nodes} nodes, {time:.3} ms in the run in the middle of {}\n", arguments.runs));
    out.push_str(&format!("saved as {} ({})\n", path.display(), bytes(text.len())));
    Ok(Outcome::Good)
}

fn described(value: &Value) -> String {
    match value {
        Value::Tensor(tensor) => format!("{}{:?}", tensor.dtype(), &tensor.shape()[..]).replace(", ", ","),
        value => value.ty().to_string(),
    }
}

/// One run, node by node.
pub(crate) struct Trace {
    pub(crate) begun: Instant,
    pub(crate) time: Duration,
    pub(crate) events: Vec<Event>,
}

/// A node that ran.
pub(crate) struct Event {
    pub(crate) op: String,
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) origins: Vec<String>,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    pub(crate) thread: ThreadId,
    pub(crate) inputs: Vec<Option<Seen>>,
    pub(crate) outputs: Vec<Option<Seen>>,
    reads: Vec<ValueId>,
    writes: Vec<Option<ValueId>>,
    /// Values that stay: outputs of the graph.
    stays: Vec<bool>,
}

impl Event {
    fn of(ran: &Ran<'_>) -> Self {
        let node = ran.node;
        Self {
            op: node.key.to_string(),
            name: node.name.clone(),
            provider: node.provider.as_deref().unwrap_or("CPUExecutionProvider").to_owned(),
            origins: node.origins.iter().map(|(op, name)| if name.is_empty() { op.to_string() } else { format!("{op} {name}") }).collect(),
            start: ran.start,
            end: ran.end,
            thread: thread::current().id(),
            inputs: ran.inputs(),
            outputs: ran.outputs(),
            reads: node.reads().collect(),
            writes: node.outputs.clone(),
            stays: node.outputs.iter().map(|v| v.is_some_and(|v| ran.graph().is_output(v))).collect(),
        }
    }

    /// Bytes of the tensors that it read and wrote.
    pub(crate) fn bytes(&self) -> usize {
        self.inputs.iter().chain(&self.outputs).flatten().map(Seen::bytes).sum()
    }
}

impl Trace {
    /// How many bytes of values were needed at each moment: a step each time that changes. A value is needed from the begin of the node
    /// that writes it to the end of the last that reads it; outputs stay.
    pub(crate) fn needed(&self) -> Vec<(Duration, usize)> {
        let mut last: HashMap<ValueId, Instant> = HashMap::new();
        for event in &self.events {
            for v in &event.reads {
                let end = last.entry(*v).or_insert(event.end);
                *end = (*end).max(event.end);
            }
        }
        let mut changes: Vec<(Instant, isize)> = Vec::new();
        for event in &self.events {
            for ((value, seen), stays) in event.writes.iter().zip(&event.outputs).zip(&event.stays) {
                let (Some(v), Some(seen)) = (value, seen) else { continue };
                changes.push((event.start, seen.bytes() as isize));
                if !stays {
                    changes.push((last.get(v).copied().unwrap_or(event.end), -(seen.bytes() as isize)));
                }
            }
        }
        changes.sort_by_key(|(at, change)| (*at, *change));
        let mut steps: Vec<(Duration, usize)> = Vec::new();
        let mut now = 0isize;
        for (at, change) in changes {
            now += change;
            let (at, bytes) = (at.saturating_duration_since(self.begun), now.max(0) as usize);
            match steps.last_mut().filter(|(before, _)| *before == at) {
                Some(step) => step.1 = bytes,
                None => steps.push((at, bytes)),
            }
        }
        steps
    }
}
