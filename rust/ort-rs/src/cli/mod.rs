//! The command line `ort-rs`: looks at a model, runs it, measures it.
//!
//! What a command finds goes to the standard output; errors are one line on the standard error output, and the exit status says whether
//! there was one: 0 for success, 1 for failure, 2 for arguments that make no sense.

mod arguments;
mod bench;
mod cast;
mod feeds;
mod inspect;
mod memory;
mod npy;
mod npz;
mod operators;
mod page;
mod profile;
mod progress;
mod random;
mod run;
mod summary;

use std::ffi::OsString;
use std::io::{self, Write};

use base::Result;
use clap::Parser;

use arguments::{Arguments, Command};
pub use feeds::random as random_feeds;

/// Runs the command line `args`, the name of the program first, and gives its exit status.
///
/// ```
/// assert_eq!(ort_rs::cli::main(["ort-rs", "inspect", "examples/digits/digits.onnx"]), 0);
/// assert_eq!(ort_rs::cli::main(["ort-rs", "run", "no such file.onnx"]), 1);
/// ```
pub fn main<A: Into<OsString> + Clone>(args: impl IntoIterator<Item = A>) -> u8 {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(e) => {
            // Help was asked for, or the arguments make no sense; where even that cannot be told, the status still says it.
            let _ = e.print();
            return if e.use_stderr() { 2 } else { 0 };
        }
    };
    let mut text = String::new();
    let outcome = match arguments.command {
        Command::Inspect(arguments) => inspect::inspect(&arguments, &mut text),
        Command::Run(arguments) => run::run(&arguments, &mut text),
        Command::Bench(arguments) => bench::bench(&arguments, &mut text),
        Command::Profile(arguments) => profile::profile(&arguments, &mut text),
        Command::Doctor => crate::doctor().map(|diagnosis| {
            text = diagnosis.to_string();
            Outcome::Good
        }),
        Command::Operators => operators::operators(&mut text),
    };
    let told = tell(&text);
    match outcome.and_then(|outcome| told.map(|()| outcome)) {
        Ok(Outcome::Good) => 0,
        Ok(Outcome::Bad) => 1,
        Err(e) => {
            let message = e.message().trim_end().replace('\n', " ");
            // Where the standard error output is closed, the status says it alone.
            let _ = writeln!(io::stderr(), "ort-rs: {}: {message}", e.kind().name());
            1
        }
    }
}

/// What a command that did its work found.
enum Outcome {
    /// All is well.
    Good,
    /// It has found what was asked for, and that is bad news.
    Bad,
}

/// Writes to the standard output. A reader that has seen enough is no error.
fn tell(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => base::bail!(Fail, "cannot write to the standard output: {e}"),
        _ => Ok(()),
    }
}
