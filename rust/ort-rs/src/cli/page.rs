//! The page that `ort-rs profile` writes: data in a page that needs nothing else.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use base::{Result, ensure};
use session::text::quoted;

use super::profile::{Event, Trace};
use crate::runtime::Seen;

/// The page without its data.
const PAGE: &str = include_str!("page.html");
/// Where the data goes.
const PLACE: &str = "/* data */ null";

/// What the page shows.
pub(crate) struct Page {
    pub(crate) model: String,
    pub(crate) loading: Duration,
    pub(crate) times: Vec<Duration>,
    pub(crate) feeds: Vec<String>,
    /// Bytes of what is fed.
    pub(crate) fed: usize,
    pub(crate) providers: Vec<String>,
    pub(crate) trace: Trace,
}

/// The page, whole.
///
/// # Errors
/// `Fail` when the page has no place for data.
pub(crate) fn page(facts: &Page) -> Result<String> {
    ensure!(PAGE.contains(PLACE), Fail, "the page has no place for data");
    // A name in the model must not end the script.
    Ok(PAGE.replacen(PLACE, &data(facts).replace("</", "<\\/"), 1))
}

fn data(facts: &Page) -> String {
    let about = crate::doctor().map(|d| d.sections.into_iter().flat_map(|s| s.facts).collect::<HashMap<_, _>>()).unwrap_or_default();
    let known = |name: &str| about.get(name).cloned().unwrap_or_default();
    let mut text = String::from("{");
    let mut add = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}\n\"{name}\":{value}", if text.len() > 1 { "," } else { "" });
    };
    add("model", quoted(&facts.model));
    add("version", quoted(env!("CARGO_PKG_VERSION")));
    add("cpu", quoted(&known("model")));
    add("isa", quoted(&known("instruction set used")));
    add("threads", quoted(&known("of a session")));
    add("providers", list(facts.providers.iter().map(|p| quoted(p))));
    add("feeds", list(facts.feeds.iter().map(|f| quoted(f))));
    add("fed", facts.fed.to_string());
    add("loading", micros(facts.loading));
    add("times", list(facts.times.iter().map(|t| micros(*t))));
    add("run", micros(facts.trace.time));
    add("memory", list(facts.trace.needed().iter().map(|(at, bytes)| format!("[{},{bytes}]", micros(*at)))));
    let mut threads = HashMap::new();
    let nodes = facts.trace.events.iter().map(|event| {
        let count = threads.len();
        let thread = *threads.entry(event.thread).or_insert(count);
        node(event, facts, thread)
    });
    add("nodes", list(nodes));
    text + "\n}"
}

fn node(event: &Event, facts: &Page, thread: usize) -> String {
    let (start, time) = (event.start.saturating_duration_since(facts.trace.begun), event.end.saturating_duration_since(event.start));
    let seen =
        |tensors: &[Option<Seen>]| list(tensors.iter().flatten().map(|s| quoted(&format!("{}{:?}", s.dtype, s.shape).replace(", ", ","))));
    let provider = facts.providers.iter().position(|p| *p == event.provider).unwrap_or(0);
    format!(
        "\n[{},{},{},{},{thread},{provider},{},{},{},{}]",
        quoted(&event.op),
        quoted(&event.name),
        micros(start),
        micros(time),
        event.bytes(),
        seen(&event.inputs),
        seen(&event.outputs),
        list(event.origins.iter().map(|o| quoted(o)))
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn micros(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e6)
}
