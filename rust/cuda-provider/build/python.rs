//! Where Python keeps NVRTC and the headers of CUDA.

use std::path::PathBuf;
use std::process::Command;

/// Prints the library and the folder of headers, or why there are none. The packages for CUDA 12 have a folder each.
const SCRIPT: &str = r#"
import importlib.util, pathlib, sys
spec = importlib.util.find_spec("nvidia")
roots = [pathlib.Path(p) for p in (spec.submodule_search_locations if spec else [])]
def find(pattern):
    found = sorted(p for root in roots for p in root.glob(pattern))
    return found[0] if found else sys.exit(f"Python has no nvidia/{pattern}")
print(find("cuda_nvrtc/lib/libnvrtc.so.12"))
print(find("cuda_runtime/include/cuda_fp16.h").parent)
"#;

/// NVRTC's library, and the folder of the headers it needs. Python is `PYO3_PYTHON`, that of `VIRTUAL_ENV`, or `python3`.
pub(crate) fn nvrtc_and_headers() -> Result<(PathBuf, PathBuf), String> {
    let python = std::env::var_os("PYO3_PYTHON").map(PathBuf::from);
    let python = python.or_else(|| std::env::var_os("VIRTUAL_ENV").map(|v| PathBuf::from(v).join("bin/python")));
    let python = python.unwrap_or_else(|| "python3".into());
    let output = Command::new(&python).args(["-c", SCRIPT]).output();
    let output = output.map_err(|e| format!("{} cannot be run: {e}", python.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match (output.status.success(), text.trim().split_once('\n')) {
        (true, Some((library, headers))) => Ok((library.trim().into(), headers.trim().into())),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or("Python says nothing").to_owned()),
    }
}
