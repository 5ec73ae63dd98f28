//! The table of kernels, as Rust.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use crate::architecture::Architecture;

/// One file of kernels.
pub(crate) struct Image {
    pub(crate) file: String,
    pub(crate) ptx: Vec<Ptx>,
}

/// Its PTX for one architecture.
pub(crate) struct Ptx {
    pub(crate) architecture: Architecture,
    pub(crate) text: String,
}

/// Writes `kernels.rs` and the compressed PTX that it includes.
pub(crate) fn write(images: &[Image]) -> Result<(), String> {
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut rust = String::from("&[\n");
    for image in images {
        let _ = writeln!(rust, "cuda::Image {{ file: {:?}, kernels: &{:?}, ptx: &[", image.file, kernels(image)?);
        for Ptx { architecture, text } in &image.ptx {
            let path = folder.join(format!("{}_{architecture}.ptx.z", image.file));
            let bytes = miniz_oxide::deflate::compress_to_vec_zlib(text.as_bytes(), 9);
            fs::write(&path, bytes).map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
            let Architecture { capability, exact } = architecture;
            let _ = writeln!(rust, "cuda::Ptx {{ capability: {capability}, exact: {exact}, compressed: include_bytes!({path:?}) }},");
        }
        rust.push_str("] },\n");
    }
    rust.push_str("]\n");
    let path = folder.join("kernels.rs");
    fs::write(&path, rust).map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

/// The names of the kernels in a file, sorted; each of its texts has all of them.
fn kernels(image: &Image) -> Result<Vec<String>, String> {
    let mut lists = image.ptx.iter().map(|p| {
        let mut names: Vec<String> = p.text.lines().filter_map(entry).map(str::to_owned).collect();
        names.sort_unstable();
        names
    });
    let first = lists.next().unwrap_or_default();
    if first.is_empty() || lists.any(|l| l != first) {
        return Err(format!("{} has no kernels, or others for each capability", image.file));
    }
    Ok(first)
}

/// The name of the kernel that begins on a line of PTX.
fn entry(line: &str) -> Option<&str> {
    let rest = line.trim_start().trim_start_matches(".visible").trim_start().strip_prefix(".entry")?;
    rest.trim_start().split(['(', ' ']).next()
}
