//! What a session did and when, as a Chrome trace with the categories and argument names of ONNX Runtime.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base::{Result, error};
use exec::{Observer, Ran, Seen};

use crate::clock::Moment;
use crate::text::quoted;

/// How many events are kept, as in ONNX Runtime: a program that profiles for days must not run out of memory.
const MOST: usize = 1_000_000;

/// The record of a session that is profiled.
#[derive(Clone)]
pub(crate) struct Profile(Arc<Record>);

struct Record {
    path: PathBuf,
    begun: Instant,
    /// Nanoseconds between the epoch and the begin.
    epoch: u64,
    /// The lines of the trace; `None` once it is written.
    lines: Mutex<Option<Vec<String>>>,
}

impl Profile {
    /// A record that begins now and ends in a file whose name begins with `prefix`.
    pub(crate) fn begin(prefix: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = PathBuf::from(format!("{prefix}_{}.json", Moment::of(now).file_name()));
        let lines = Mutex::new(Some(Vec::new()));
        Self(Arc::new(Record { path, begun: Instant::now(), epoch: now.as_nanos() as u64, lines }))
    }

    /// Nanoseconds between the epoch and the begin.
    pub(crate) fn start_time_ns(&self) -> u64 {
        self.0.epoch
    }

    /// Adds something that the session did from `start` until now.
    pub(crate) fn session(&self, name: &str, start: Instant) {
        self.0.add("Session", name, start, Instant::now(), "");
    }

    /// Who adds each node that runs, and passes it on to `also`.
    pub(crate) fn observer(&self, also: Option<Observer>) -> Observer {
        let record = self.0.clone();
        Observer::of_values(move |ran| {
            record.node(ran);
            also.iter().for_each(|observer| observer.pass(ran));
        })
    }

    /// Writes the file and gives its path; `None` when that has been done before.
    ///
    /// # Errors
    /// `Fail` when the file cannot be written.
    pub(crate) fn end(&self) -> Result<Option<PathBuf>> {
        self.0.end()
    }
}

impl Record {
    fn add(&self, category: &str, name: &str, start: Instant, end: Instant, arguments: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = lines.as_mut().filter(|lines| lines.len() < MOST) else { return };
        let (pid, tid) = (std::process::id(), thread_number());
        let duration = end.saturating_duration_since(start).as_micros();
        let at = start.saturating_duration_since(self.begun).as_micros();
        let name = quoted(name);
        lines.push(format!(
            "{{\"cat\" : \"{category}\",\"pid\" :{pid},\"tid\" :{tid},\"dur\" :{duration},\"ts\" :{at},\"ph\" : \"X\",\
             \"name\" :{name},\"args\" : {{{arguments}}}}}"
        ));
    }

    fn node(&self, ran: &Ran<'_>) {
        let (inputs, outputs, constants) = (ran.inputs(), ran.outputs(), ran.constants());
        let bytes = |seen: &Option<Seen>| seen.as_ref().map_or(0, Seen::bytes);
        let held = |wanted: bool| -> usize { inputs.iter().zip(&constants).filter(|(_, g)| **g == wanted).map(|(s, _)| bytes(s)).sum() };
        let (op, index) = (&*ran.node.key.name, ran.index);
        let mut arguments = String::new();
        let mut text = |key: &str, value: &str| {
            let _ = write!(arguments, "\"{key}\" : {},", quoted(value));
        };
        text("op_name", op);
        text("provider", ran.node.provider.as_deref().unwrap_or(exec::CPU));
        text("node_index", &index.to_string());
        text("parameter_size", &held(true).to_string());
        text("activation_size", &held(false).to_string());
        text("output_size", &outputs.iter().map(bytes).sum::<usize>().to_string());
        let main = format!("{{\"thread_pool_name\": \"ort_rs\", \"thread_id\": \"{}\"}}", thread_number());
        let _ = write!(
            arguments,
            "\"input_type_shape\" : [{}],\"output_type_shape\" : [{}],\
             \"thread_scheduling_stats\" : {{\"main_thread\": {main}, \"sub_threads\": {{}}}}",
            shapes(&inputs),
            shapes(&outputs)
        );
        let name = if ran.node.name.is_empty() { format!("{op}_{index}") } else { ran.node.name.clone() };
        self.add("Node", &format!("{name}_kernel_time"), ran.start, ran.end, &arguments);
    }

    fn end(&self) -> Result<Option<PathBuf>> {
        let Some(lines) = self.lines.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(None) };
        let write = || -> std::io::Result<()> {
            let mut file = std::io::BufWriter::new(std::fs::File::create(&self.path)?);
            writeln!(file, "[")?;
            for (i, line) in lines.iter().enumerate() {
                writeln!(file, "{line}{}", if i + 1 < lines.len() { "," } else { "" })?;
            }
            writeln!(file, "]")?;
            file.flush()
        };
        write().map_err(|e| error!(Fail, "the profile '{}' cannot be written: {e}", self.path.display()))?;
        Ok(Some(self.path.clone()))
    }
}

impl Drop for Record {
    /// A session that nobody asked for its profile still leaves one; where that fails there is nobody to tell.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// The types and shapes of tensors, as ONNX Runtime lists them.
fn shapes(tensors: &[Option<Seen>]) -> String {
    let one = |seen: &Seen| format!("{{\"{}\":{:?}}}", seen.dtype, seen.shape).replace(", ", ",");
    tensors.iter().flatten().map(one).collect::<Vec<_>>().join(",")
}

/// A number for this thread, which it shares with no other.
fn thread_number() -> u64 {
    let text = format!("{:?}", std::thread::current().id());
    text.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_written_once() {
        let folder = std::env::temp_dir().join(format!("ort_rs_profile_{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let profile = Profile::begin(&folder.join("p").to_string_lossy());
        profile.session("model_run", Instant::now());
        let path = profile.end().unwrap().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("[\n{\"cat\" : \"Session\"") && text.ends_with("}\n]\n"), "{text}");
        assert!(profile.end().unwrap().is_none());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
