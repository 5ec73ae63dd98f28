//! Compiles `kernels_cuda/*.cu` to PTX and writes the table of them that the crate embeds.
//!
//! The PTX comes from `ORT_RS_PTX_DIR`, if that is set: files `NAME_ARCHITECTURE.ptx`, as `ORT_RS_PTX_OUT` lets this program write them.
//! Else NVRTC makes it, which is looked for among Python's packages; neither a device nor a driver is needed. Where there is no NVRTC,
//! the table is empty, and the crate runs on the CPU only. A kernel that does not compile fails the build.

#![allow(clippy::print_stdout)] // Cargo is told so.

mod architecture;
mod nvrtc;
mod python;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;

use architecture::Architecture;
use nvrtc::Nvrtc;
use table::{Image, Ptx};

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../kernels_cuda");
    println!("cargo:rerun-if-changed=build");
    for variable in ["ORT_RS_PTX_DIR", "ORT_RS_PTX_OUT", "PYO3_PYTHON", "VIRTUAL_ENV", "PYTHONPATH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    match images(&root).and_then(|images| table::write(&images)) {
        Ok(()) => {}
        Err(why) => {
            println!("cargo:warning={}", why.lines().next().unwrap_or("CUDA kernels cannot be built"));
            eprintln!("{why}");
            exit(1);
        }
    }
}

/// The PTX of every file of kernels; none where there is no compiler for them.
fn images(root: &Path) -> Result<Vec<Image>, String> {
    let files = sources(root)?;
    if let Some(folder) = std::env::var_os("ORT_RS_PTX_DIR") {
        return files.iter().map(|file| prebuilt(Path::new(&folder), file)).collect();
    }
    let compiler = match python::nvrtc_and_headers().and_then(|(library, headers)| Nvrtc::open(&library, &headers, root)) {
        Ok(compiler) => compiler,
        Err(why) => {
            println!("cargo:warning=built without CUDA kernels: {why}");
            return Ok(Vec::new());
        }
    };
    let mut jobs: Vec<(&PathBuf, Architecture)> = Vec::new();
    for file in &files {
        jobs.extend(architectures(file)?.into_iter().map(|a| (file, a)));
    }
    let texts = in_parallel(&jobs, |(file, architecture)| compiler.compile(file, *architecture))?;
    let mut images: Vec<Image> = Vec::new();
    for ((file, architecture), text) in jobs.into_iter().zip(texts) {
        let name = stem(file);
        if let Some(folder) = std::env::var_os("ORT_RS_PTX_OUT") {
            let to = Path::new(&folder).join(format!("{name}_{architecture}.ptx"));
            fs::write(&to, &text).map_err(|e| format!("{} cannot be written: {e}", to.display()))?;
        }
        match images.iter_mut().find(|i| i.file == name) {
            Some(image) => image.ptx.push(Ptx { architecture, text }),
            None => images.push(Image { file: name, ptx: vec![Ptx { architecture, text }] }),
        }
    }
    Ok(images)
}

fn sources(root: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(root).map_err(|e| format!("{} cannot be read: {e}", root.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    let is = |p: &Path, extension: &str| p.extension().is_some_and(|e| e == extension);
    for path in files.iter().filter(|p| is(p, "cu") || is(p, "cuh")) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    files.retain(|p| is(p, "cu"));
    files.sort();
    Ok(files)
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a file is compiled for, ascending.
fn architectures(file: &Path) -> Result<Vec<Architecture>, String> {
    let text = fs::read_to_string(file).map_err(|e| format!("{} cannot be read: {e}", file.display()))?;
    Architecture::wanted(&text).map_err(|e| format!("{}: {e}", file.display()))
}

/// The PTX that a packager made of `file` before.
fn prebuilt(folder: &Path, file: &Path) -> Result<Image, String> {
    let of = |architecture: Architecture| {
        let path = folder.join(format!("{}_{architecture}.ptx", stem(file)));
        println!("cargo:rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path).map_err(|e| format!("ORT_RS_PTX_DIR: {} cannot be read: {e}", path.display()))?;
        Ok(Ptx { architecture, text })
    };
    Ok(Image { file: stem(file), ptx: architectures(file)?.into_iter().map(of).collect::<Result<_, String>>()? })
}

/// `f` of each job, on as many threads as cargo allows. The first error counts.
fn in_parallel<J: Sync, T: Send>(jobs: &[J], f: impl Fn(&J) -> Result<T, String> + Sync) -> Result<Vec<T>, String> {
    let threads = std::env::var("NUM_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(1usize).clamp(1, jobs.len().max(1));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(job) = jobs.get(i) else { return done };
            done.push((i, f(job)));
        }
    };
    let mut all: Vec<(usize, Result<T, String>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap_or_default()).collect()
    });
    all.sort_by_key(|(i, _)| *i);
    if all.len() < jobs.len() {
        return Err("a thread that compiles kernels has ended early".into());
    }
    all.into_iter().map(|(_, result)| result).collect()
}
