//! A CUDA driver without a device, for tests: built from `kernels_cuda/shim` and found by a process of the test's own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Set in the process that has the driver.
const INSIDE: &str = "ORT_RS_TEST_ON_FAKE_CUDA";
/// Set where a driver that cannot be built is a failure, not a reason to skip.
const REQUIRED: &str = "ORT_RS_TEST_CUDA_REQUIRED";

/// Runs `body`, which is all of the test `name`, in a process that finds the driver, with `settings` as environment variables. The test
/// is skipped with a reason where there is no compiler for the driver, or `kernels` were not built. With a setting `FAKE_CUBLAS`, the
/// process finds cuBLASLt as well.
///
/// # Panics
/// When `body` does, or the driver ought to be there and is not.
pub fn on_fake_cuda(name: &str, kernels: bool, settings: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let driver = match driver() {
        Ok(_) if !kernels => Err("the kernels were not built: there is no NVRTC".to_owned()),
        other => other,
    };
    let folder = match driver {
        Ok(folder) => folder,
        Err(why) => {
            assert!(std::env::var_os(REQUIRED).is_none(), "{name} cannot run: {why}");
            eprintln!("{name} is skipped: {why}");
            return;
        }
    };
    in_own_process(name, &folder, settings);
}

/// Runs the test `name` of this program again, in a process that looks for libraries in `folder`.
fn in_own_process(name: &str, folder: &Path, settings: &[(&str, &str)]) {
    let mut libraries = vec![folder.join("driver")];
    if settings.iter().any(|(name, _)| *name == "FAKE_CUBLAS") {
        libraries.push(folder.join("blas"));
    }
    let libraries = std::env::join_paths(libraries).expect("no colons");
    let program = std::env::current_exe().expect("the test has a program");
    let output = Command::new(program)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .env("LD_LIBRARY_PATH", libraries)
        .envs(settings.iter().copied())
        .output()
        .expect("the program runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}, {}:\n{text}", output.status);
    assert!(text.contains("1 passed"), "{name} did not run:\n{text}");
}

/// The folder of the driver and of cuBLASLt, built once by each process.
fn driver() -> Result<PathBuf, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let out = root.join("target/cuda_shim");
        let out = out.to_str().ok_or("the path of the project is no text")?;
        let shim = root.join("kernels_cuda/shim");
        let make = Command::new("make").args(["-s", "-j2", "driver", "blas", &format!("OUT={out}")]).current_dir(shim).output();
        let make = make.map_err(|e| format!("make cannot be run: {e}"))?;
        if make.status.success() { Ok(PathBuf::from(out)) } else { Err(String::from_utf8_lossy(&make.stderr).into_owned()) }
    };
    BUILT.get_or_init(build).clone()
}
