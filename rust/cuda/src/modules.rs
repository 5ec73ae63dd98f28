//! Kernels as PTX, compiled by the driver when one of their file is first needed.

use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Result, bail, error};

use crate::driver::{Driver, Handle, JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BUFFER_SIZE_BYTES, SUCCESS};
use crate::error::{check, describe};
use crate::{Capability, Device, Function};

/// One file of kernels as PTX.
#[derive(Debug)]
pub struct Image {
    /// The name of the file.
    pub file: &'static str,
    /// The kernels in it, sorted.
    pub kernels: &'static [&'static str],
    /// Its PTX for devices of various capabilities, the least first.
    pub ptx: &'static [Ptx],
}

/// PTX for devices of a capability and, unless it is exact, above.
#[derive(Debug)]
pub struct Ptx {
    /// The least capability: 80 for `sm_80`.
    pub capability: i32,
    /// Whether devices of that capability alone run it: `sm_90a`.
    pub exact: bool,
    /// The text, compressed by zlib.
    pub compressed: &'static [u8],
}

/// No PTX of a file is larger than this.
const LARGEST: usize = 64 << 20;
/// How much of the driver's complaint about a file is kept.
const LOG: usize = 8 << 10;

/// All kernels that there are.
#[derive(Clone, Copy, Debug)]
pub struct Kernels(pub &'static [Image]);

impl Kernels {
    /// The file of `kernel` and its PTX for devices of `capability`, if there is such.
    fn find(&self, kernel: &str, capability: Capability) -> Option<(&'static Image, &'static Ptx)> {
        let image = self.0.iter().find(|i| i.kernels.binary_search(&kernel).is_ok())?;
        let able = capability.0 * 10 + capability.1;
        Some((image, image.ptx.iter().rev().find(|p| p.capability == able || (p.capability < able && !p.exact))?))
    }

    /// Whether devices of `capability` can run `kernel`.
    pub fn has(&self, kernel: &str, capability: Capability) -> bool {
        self.find(kernel, capability).is_some()
    }
}

struct Module {
    device: Arc<Device>,
    raw: Handle,
}

// SAFETY: modules may be used from any thread.
unsafe impl Send for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        if let Ok(driver) = self.device.enter() {
            // SAFETY: the module is ours; its functions are not launched any more.
            unsafe { (driver.cuModuleUnload)(self.raw) };
        }
    }
}

/// The kernels of a device, loaded file by file.
pub struct Modules {
    device: Arc<Device>,
    kernels: Kernels,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, Module>,
    functions: HashMap<String, Function>,
}

impl Modules {
    /// The modules of `device`; none is loaded yet.
    pub fn new(device: &Arc<Device>, kernels: Kernels) -> Self {
        Self { device: device.clone(), kernels, loaded: Mutex::default() }
    }

    /// Whether the device can run `kernel`.
    pub fn has(&self, kernel: &str) -> bool {
        self.kernels.has(kernel, self.device.capability())
    }

    /// The kernel `name`; its file is loaded if it is the first of it.
    ///
    /// # Errors
    /// `NotImplemented` when there is no such kernel for this device; `EpFail` with the driver's complaint when it does not compile.
    pub fn function(&self, name: &str) -> Result<Function> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = loaded.functions.get(name) {
            return Ok(*function);
        }
        let Capability(major, minor) = self.device.capability();
        let Some((image, ptx)) = self.kernels.find(name, self.device.capability()) else {
            bail!(NotImplemented, "there is no CUDA kernel {name} for devices of capability {major}.{minor}")
        };
        let module = match loaded.modules.get(image.file) {
            Some(module) => module.raw,
            None => {
                let module = load(&self.device, image, ptx)?;
                loaded.modules.entry(image.file).or_insert(module).raw
            }
        };
        let driver = self.device.enter()?;
        let text = CString::new(name).map_err(|_| error!(Fail, "a kernel has a zero in its name"))?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the module is loaded; the name ends with a zero.
        let status = unsafe { (driver.cuModuleGetFunction)(&mut raw, module, text.as_ptr()) };
        check(driver, status, || format!("find kernel {name} in {}", image.file))?;
        loaded.functions.insert(name.to_owned(), Function(raw));
        Ok(Function(raw))
    }
}

fn load(device: &Arc<Device>, image: &Image, ptx: &Ptx) -> Result<Module> {
    let text = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(ptx.compressed, LARGEST);
    let mut text = text.map_err(|e| error!(Fail, "the PTX of {} is damaged: {e}", image.file))?;
    text.push(0);
    let driver = device.enter()?;
    let raw = compile(driver, &text).map_err(|why| error!(EpFail, "CUDA cannot compile {}: {why}", image.file))?;
    Ok(Module { device: device.clone(), raw })
}

/// Compiles PTX, which ends with a zero. The error is what the driver's compiler says.
fn compile(driver: &Driver, text: &[u8]) -> std::result::Result<Handle, String> {
    let mut log = vec![0u8; LOG];
    let mut options: [c_int; 2] = [JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // A number is handed over in the place of a pointer.
    let mut values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG)];
    let mut raw = std::ptr::null_mut();
    // SAFETY: the text ends with a zero; the options are as many as is said, and the log is as long.
    let status = unsafe { (driver.cuModuleLoadDataEx)(&mut raw, text.as_ptr().cast(), 2, options.as_mut_ptr(), values.as_mut_ptr()) };
    if status == SUCCESS {
        return Ok(raw);
    }
    let end = log.iter().position(|b| *b == 0).unwrap_or(LOG);
    Err(format!("{} {}", describe(driver, status), String::from_utf8_lossy(&log[..end]).trim()).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    static IMAGES: &[Image] = &[Image {
        file: "a",
        kernels: &["one", "two"],
        ptx: &[
            Ptx { capability: 75, exact: false, compressed: &[] },
            Ptx { capability: 80, exact: false, compressed: &[] },
            Ptx { capability: 90, exact: true, compressed: &[] },
        ],
    }];

    #[test]
    fn the_best_that_a_device_can_run_is_found() {
        let of = |major, minor| Kernels(IMAGES).find("two", Capability(major, minor)).map(|(_, p)| p.capability);
        assert_eq!((of(7, 0), of(7, 5), of(8, 0), of(9, 0)), (None, Some(75), Some(80), Some(90)));
        assert_eq!((of(8, 9), of(12, 0)), (Some(80), Some(80)), "what is exact is for no other device");
        assert!(Kernels(IMAGES).find("three", Capability(9, 0)).is_none());
    }
}
