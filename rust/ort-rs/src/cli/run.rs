//! `ort-rs run`: runs a model once, and saves or summarizes what it gives.

use std::fs;
use std::path::Path;

use base::{Result, Value, error};

use super::arguments::{Run, SessionArguments};
use super::progress::Progress;
use super::{Outcome, feeds, npy, summary};
use crate::runtime::{self, Source};
use crate::{Port, RunOptions, Session};

pub(crate) fn run(arguments: &Run, out: &mut String) -> Result<Outcome> {
    let session = load(&arguments.model, &arguments.session)?;
    let feeds = feeds::feeds(&session, &arguments.feeds)?;
    let names: Vec<&str> = arguments.output.iter().map(String::as_str).collect();
    let outputs = session.run_with(feeds, &names, &RunOptions::default())?;
    if let Some(folder) = &arguments.save {
        fs::create_dir_all(folder).map_err(|e| error!(Fail, "cannot make the folder {}: {e}", folder.display()))?;
    }
    for (name, value) in outputs.iter() {
        summary::summarize(out, name, value)?;
        if let Some(folder) = &arguments.save {
            let path = folder.join(file_name(name));
            save(&path, name, value)?;
            out.push_str(&format!("  saved as {}\n", path.display()));
        }
    }
    Ok(Outcome::Good)
}

/// Loads a model, showing on a terminal how long that takes.
pub(crate) fn load(path: &Path, arguments: &SessionArguments) -> Result<Session> {
    if !arguments.dim.is_empty() {
        let survey = session::Survey::of(runtime::shared()?, Source::File(path))?;
        let ports: Vec<&Port> = survey.inputs.iter().chain(&survey.overridable).collect();
        arguments.check_dims(ports.iter().flat_map(|p| p.shape.iter().flatten()))?;
    }
    let _progress = Progress::start(format!("loading {}", path.display()));
    arguments.builder().from_file(path)
}

fn save(path: &Path, name: &str, value: &Value) -> Result<()> {
    let tensor = value.tensor().map_err(|e| error!(NotImplemented, "output '{name}' cannot be saved: {}", e.detail()))?;
    let failed = |e: std::io::Error| error!(Fail, "cannot write {}: {e}", path.display());
    let mut file = std::io::BufWriter::new(fs::File::create(path).map_err(failed)?);
    npy::write(&mut file, tensor)?.map_err(failed)
}

/// A name for a file, whatever the value is called.
fn file_name(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    format!("{}.npy", name.trim_start_matches('.'))
}
