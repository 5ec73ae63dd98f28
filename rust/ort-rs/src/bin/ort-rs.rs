//! The command line of the crate: see [`ort_rs::cli`].

fn main() -> std::process::ExitCode {
    ort_rs::cli::main(std::env::args_os()).into()
}
