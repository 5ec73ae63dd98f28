//! The arguments of the command line.

use std::path::PathBuf;

use base::{Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{Builder, Level, PortDim, Session};

/// Looks at an ONNX model, runs it, measures it.
#[derive(Parser)]
#[command(name = "ort-rs", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Shows what a model consists of, and everything of it that cannot run here (then the exit status is 1).
    Inspect(Inspect),
    /// Runs a model on values from files or at random, and saves or summarizes what it gives.
    Run(Run),
    /// Measures how long runs take, which operators take it, and how much memory.
    Bench(Bench),
    /// Measures runs, and writes a page that shows where their time and memory go: timeline, operators, nodes.
    Profile(Profile),
    /// Tells what this machine and this installation have: instruction sets, threads, memory, providers, settings.
    Doctor,
    /// Prints the table of all operators, in Markdown.
    Operators,
}

#[derive(Args)]
pub(crate) struct Inspect {
    /// The model.
    pub(crate) model: PathBuf,
    /// Also show the graph as it is after optimization, one line a node.
    #[arg(long)]
    pub(crate) graph: bool,
    #[command(flatten)]
    pub(crate) session: SessionArguments,
}

#[derive(Args)]
pub(crate) struct Run {
    /// The model.
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) session: SessionArguments,
    #[command(flatten)]
    pub(crate) feeds: FeedArguments,
    /// Give this value of the graph, which may be any; may be repeated. All outputs if it is not said.
    #[arg(long, value_name = "NAME")]
    pub(crate) output: Vec<String>,
    /// Save every tensor that is given as NAME.npy in this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Bench {
    /// The model.
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) session: SessionArguments,
    #[command(flatten)]
    pub(crate) feeds: FeedArguments,
    /// How many runs are measured.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// How many runs go before, unmeasured.
    #[arg(long, default_value_t = 5)]
    pub(crate) warmup: u32,
    /// Measure no longer than this many seconds, but one run at least.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) seconds: f64,
    /// How many rows the table of operators has.
    #[arg(long, default_value_t = 15)]
    pub(crate) top: usize,
}

#[derive(Args)]
pub(crate) struct Profile {
    /// The model.
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) session: SessionArguments,
    #[command(flatten)]
    pub(crate) feeds: FeedArguments,
    /// How many runs are measured; the page shows the one in the middle.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Where the page goes; the name of the model with `.html` if it is not said.
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct SessionArguments {
    /// How far the graph is optimized.
    #[arg(long, value_enum, default_value_t = LevelArgument::All)]
    level: LevelArgument,
    /// How many threads a run may use; 0 for as many as the machine gives.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// The size of a named dimension of the inputs: `--dim batch=2`; may be repeated.
    #[arg(long, value_name = "NAME=SIZE", value_parser = dimension)]
    pub(crate) dim: Vec<(String, usize)>,
    /// Leave out this graph pass; may be repeated.
    #[arg(long, value_name = "PASS")]
    disable_pass: Vec<String>,
    /// Ask for this execution provider; may be repeated, first the preferred.
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
}

#[derive(Args)]
pub(crate) struct FeedArguments {
    /// Values from a file: .npy, .npz or .pb (TensorProto). `NAME=FILE` for one input; an .npz without a name feeds every input that it
    /// has an array for. May be repeated; whatever is not given is made at random.
    #[arg(long, value_name = "[NAME=]FILE")]
    pub(crate) input: Vec<String>,
    /// The shape of an input that is made at random: `--shape images=1x3x224x224`; may be repeated.
    #[arg(long, value_name = "NAME=SIZES", value_parser = shape)]
    pub(crate) shape: Vec<(String, Vec<usize>)>,
    /// What random values are made from.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum LevelArgument {
    Disabled,
    Basic,
    Extended,
    Layout,
    All,
}

impl From<LevelArgument> for Level {
    fn from(level: LevelArgument) -> Self {
        match level {
            LevelArgument::Disabled => Level::Disabled,
            LevelArgument::Basic => Level::Basic,
            LevelArgument::Extended => Level::Extended,
            LevelArgument::Layout => Level::Layout,
            LevelArgument::All => Level::All,
        }
    }
}

impl SessionArguments {
    /// A builder with these options.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Session::builder().level(self.level.into()).threads(self.threads);
        let builder = self.dim.iter().fold(builder, |b, (name, size)| b.free_dimension(name, i64::try_from(*size).unwrap_or(i64::MAX)));
        let builder = self.disable_pass.iter().fold(builder, Builder::disable_pass);
        self.provider.iter().fold(builder, Builder::provider)
    }

    /// Fails unless each name of a dimension is one that `shapes` have.
    pub(crate) fn check_dims<'p>(&self, dims: impl Iterator<Item = &'p PortDim> + Clone) -> Result<()> {
        for (name, _) in &self.dim {
            let known = dims.clone().any(|d| matches!(d, PortDim::Named(n) if n == name));
            ensure!(known, InvalidArgument, "--dim {name}: no input has a dimension of that name");
        }
        Ok(())
    }
}

/// `NAME=SIZE`.
fn dimension(text: &str) -> Result<(String, usize), String> {
    let (name, size) = text.rsplit_once('=').ok_or("NAME=SIZE is needed")?;
    Ok((name.to_owned(), size.parse().map_err(|_| format!("'{size}' is no size"))?))
}

/// `NAME=2x3x4`; `NAME=` for a scalar.
fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let (name, sizes) = text.rsplit_once('=').ok_or("NAME=2x3x4 is needed")?;
    let sizes = sizes.split(['x', ',']).filter(|s| !s.is_empty());
    let sizes = sizes.map(|s| s.parse().map_err(|_| format!("'{s}' is no size"))).collect::<Result<_, _>>()?;
    Ok((name.to_owned(), sizes))
}

/// `NAME=FILE`, or just a file.
pub(crate) fn input(text: &str) -> Result<(Option<&str>, PathBuf)> {
    match text.rsplit_once('=') {
        // A file may have such a character in its name.
        _ if std::path::Path::new(text).exists() => Ok((None, text.into())),
        Some((name, file)) if !file.is_empty() => Ok((Some(name), file.into())),
        Some(_) => bail!(InvalidArgument, "--input {text}: there is no file behind the name"),
        None => Ok((None, text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn names_may_hold_signs() {
        assert_eq!(dimension("a=b=3").unwrap(), ("a=b".to_owned(), 3));
        assert_eq!(shape("x=1x3x2").unwrap(), ("x".to_owned(), vec![1, 3, 2]));
        assert_eq!(shape("x=").unwrap(), ("x".to_owned(), vec![]));
        assert!(dimension("batch").is_err() && dimension("batch=-1").is_err() && shape("x=1xy").is_err());
        assert_eq!(input("x=a.npy").unwrap(), (Some("x"), PathBuf::from("a.npy")));
        assert_eq!(input("a.npz").unwrap(), (None, PathBuf::from("a.npz")));
        assert!(input("x=").is_err());
    }
}
