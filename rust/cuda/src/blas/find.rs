//! Where cuBLASLt is: loaded already, where pip puts it, or where the system has it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use libloading::Library;

use super::library::Lt;
use crate::library::why;

/// Folders of Python's packages from NVIDIA, in which libraries lie as `PLACES` says.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Where the packages put the library: those for CUDA 13 share a folder, those for CUDA 12 have one each.
const PLACES: [(u32, &str); 2] = [(13, "cu13/lib"), (12, "cublas/lib")];

/// Lets libraries of CUDA be looked for in `folder` too, which Python's packages from NVIDIA share (`nvidia` in `site-packages`).
pub fn look_in(folder: &Path) {
    let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    if !folders.iter().any(|f| f == folder) {
        folders.push(folder.to_owned());
    }
}

/// The library for a driver of CUDA `version`, 1000 times the major one: the newest that it can run.
///
/// # Errors
/// Where it was looked for, and what the system says of each place.
pub(super) fn find(version: i32) -> Result<Lt, String> {
    let folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut tried = Vec::new();
    for (major, place) in PLACES.into_iter().filter(|(major, _)| *major as i32 <= version / 1000) {
        let name = file_name(major);
        if let Some(library) = loaded(&name) {
            match table(library, &name) {
                Ok(table) => return Ok(table),
                Err(why) => tried.push(why),
            }
        }
        let packaged = folders.iter().map(|f| f.join(place).join(&name)).filter(|p| p.exists());
        for path in packaged.chain([PathBuf::from(&name)]) {
            // SAFETY: the library runs nothing of note when it is loaded.
            let opened = unsafe { Library::new(&path) }.map_err(|e| why(&e));
            match opened.and_then(|library| table(library, &path.display().to_string())) {
                Ok(table) => return Ok(table),
                Err(why) => tried.push(why),
            }
        }
    }
    Err(tried.join("; "))
}

fn table(library: Library, name: &str) -> Result<Lt, String> {
    // SAFETY: the types are those of `cublasLt.h`.
    unsafe { Lt::of(library) }.map_err(|function| format!("{name} has no {function}"))
}

#[cfg(windows)]
fn file_name(major: u32) -> String {
    format!("cublasLt64_{major}.dll")
}

#[cfg(not(windows))]
fn file_name(major: u32) -> String {
    format!("libcublasLt.so.{major}")
}

/// The library that somebody else in this process has loaded: two copies of it would take memory twice.
#[cfg(unix)]
fn loaded(name: &str) -> Option<Library> {
    use libloading::os::unix;
    const RTLD_NOLOAD: i32 = 4;
    // SAFETY: nothing is loaded that is not there already.
    unsafe { unix::Library::open(Some(name), unix::RTLD_LAZY | RTLD_NOLOAD) }.ok().map(Library::from)
}

#[cfg(not(unix))]
fn loaded(_: &str) -> Option<Library> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_packages_are_searched_by_version() {
        let folder = std::env::temp_dir().join(format!("ort_rs_nvidia_{}", std::process::id()));
        let library = folder.join("cublas/lib").join(file_name(12));
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        std::fs::write(&library, "no library").unwrap();
        look_in(&folder);
        look_in(&folder);
        assert_eq!(FOLDERS.lock().unwrap().iter().filter(|f| **f == folder).count(), 1);
        let why = find(12_040).err().unwrap();
        assert!(why.contains(library.to_str().unwrap()), "{why}");
        assert!(!why.contains(&file_name(13)), "the driver could not run it: {why}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
