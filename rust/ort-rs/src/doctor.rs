//! What this machine and this build have, for whoever asks why a model is slow or does not run.

use std::fmt;
use std::fs;
use std::path::Path;

use base::Result;
use base::knobs::{self, KNOBS};
use base::threads::{self, Threads};
use session::text::bytes;
use simd::isa::{self, Isa};

use crate::runtime;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// What was looked at, each with facts.
    pub sections: Vec<Section>,
    /// What should be looked into, a sentence each.
    pub advice: Vec<String>,
}

/// Facts about one thing.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// What they are about.
    pub title: String,
    /// Names and values.
    pub facts: Vec<(String, String)>,
}

impl Section {
    fn new(title: &str) -> Self {
        Self { title: title.to_owned(), facts: Vec::new() }
    }

    fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.facts.push((name.to_owned(), value.to_string()));
        self
    }
}

/// Looks at the machine, the limits of the process, the providers and the settings.
///
/// # Errors
/// `Fail` when the operators that are built in cannot be put together.
///
/// ```
/// let diagnosis = ort_rs::doctor()?;
/// let threads = diagnosis.sections.iter().find(|section| section.title == "Threads").unwrap();
/// assert!(threads.facts.iter().any(|(name, _)| name == "of a session"));
/// println!("{diagnosis}");
/// # Ok::<(), ort_rs::Error>(())
/// ```
pub fn doctor() -> Result<Diagnosis> {
    let sections = vec![build(), cpu(), threads(), memory(), providers()?, settings()];
    Ok(Diagnosis { sections, advice: advice() })
}

fn build() -> Section {
    let kind = if cfg!(debug_assertions) { "debug: slow" } else { "release" };
    Section::new("ort_rs")
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("build", kind)
        .with("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH))
        .with("operators", runtime::operators().count())
}

fn cpu() -> Section {
    let list = |sets: &mut dyn Iterator<Item = Isa>| sets.map(Isa::name).collect::<Vec<_>>().join(", ");
    Section::new("CPU")
        .with("model", field("/proc/cpuinfo", "model name").unwrap_or_else(|| "not told by this system".to_owned()))
        .with("instruction sets found", list(&mut isa::available()))
        .with("instruction set used", isa::best().name())
        .with("8-bit dot products (VNNI)", if isa::has_vnni() { "yes" } else { "no" })
}

fn threads() -> Section {
    let status = threads::status();
    let unknown = || "not told by this system".to_owned();
    Section::new("Threads")
        .with("of a session", Threads::default().count())
        .with("processors for this process", std::thread::available_parallelism().map_or_else(|_| unknown(), |n| n.to_string()))
        .with("affinity", field("/proc/self/status", "Cpus_allowed_list").unwrap_or_else(unknown))
        .with("quota of the cgroup", quota().unwrap_or_else(|| "none".to_owned()))
        .with("helpers started", format!("{}, {} asleep", status.started, status.parked))
}

fn memory() -> Section {
    let amount =
        |name| field("/proc/meminfo", name).and_then(|text| kib(&text)).map_or_else(|| "not told by this system".to_owned(), bytes);
    Section::new("Memory")
        .with("of the machine", amount("MemTotal"))
        .with("free or reclaimable", amount("MemAvailable"))
        .with("limit of the cgroup", limit().map_or_else(|| "none".to_owned(), bytes))
}

fn providers() -> Result<Section> {
    let environment = runtime::shared()?;
    let available = environment.providers();
    let section = available.iter().fold(Section::new("Providers"), |section, name| section.with(name, "available"));
    let absent = ["CUDAExecutionProvider"].into_iter().filter_map(|name| Some((name, environment.absent(name)?)));
    Ok(absent.fold(section, |section, (name, why)| section.with(name, format!("not available: {why}"))))
}

fn settings() -> Section {
    KNOBS.iter().fold(Section::new("Environment variables"), |section, knob| {
        let value = std::env::var(knob.name()).unwrap_or_else(|_| format!("not set ({})", knob.default_text()));
        section.with(knob.name(), value)
    })
}

fn advice() -> Vec<String> {
    let mut advice = knobs::complaints();
    if cfg!(debug_assertions) {
        advice.push("This is a debug build; build with --release for speed.".to_owned());
    }
    if isa::best() == Isa::Portable {
        advice.push(
            "Kernels run without vector instructions: this machine has none of those that are known, or ORT_RS_ISA forbids them."
                .to_owned(),
        );
    }
    if threads::status().refused {
        advice.push("The system has refused to start threads: runs do with fewer.".to_owned());
    }
    advice
}

/// What stands behind `name:` in the file at `path`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|n| n.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The bytes of a text such as `16 kB`.
fn kib(text: &str) -> Option<usize> {
    Some(text.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}

/// The folder of the cgroup of this process, of version 2.
fn cgroup() -> Option<std::path::PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new("/sys/fs/cgroup").join(own))
}

/// What a file of the cgroup or of one above says, first the one that says a number.
fn nearest(file: &str) -> Option<String> {
    let own = cgroup()?;
    let texts =
        own.ancestors().take_while(|folder| folder.starts_with("/sys/fs/cgroup")).map(|folder| fs::read_to_string(folder.join(file)));
    texts.flatten().map(|text| text.trim().to_owned()).find(|text| text.starts_with(|c: char| c.is_ascii_digit()))
}

fn limit() -> Option<usize> {
    nearest("memory.max")?.parse().ok()
}

fn quota() -> Option<String> {
    let text = nearest("cpu.max")?;
    let (quota, period) = text.split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    Some(format!("{:.2} processors", quota / period))
}

/// Sections with their facts in columns, then advice.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.sections.iter().flat_map(|s| &s.facts).map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for section in &self.sections {
            writeln!(f, "{}", section.title)?;
            section.facts.iter().try_for_each(|(name, value)| writeln!(f, "  {name:<width$}  {value}"))?;
        }
        match &self.advice[..] {
            [] => writeln!(f, "Nothing looks wrong."),
            advice => advice.iter().try_for_each(|line| writeln!(f, "! {line}")),
        }
    }
}
