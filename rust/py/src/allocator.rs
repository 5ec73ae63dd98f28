//! Allocators that programs register with the environment.
//!
//! Memory of the CPU always comes from where the runtime takes it; registering one makes it known, so that values can be asked of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::environment::environment;
use crate::error::{Result, runtime_error};
use crate::memory_info::{OrtArenaCfg, OrtMemoryInfo};

/// The memories that have been registered.
static SHARED: Mutex<Vec<OrtMemoryInfo>> = Mutex::new(Vec::new());

fn register(info: &OrtMemoryInfo) {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if !shared.contains(info) {
        shared.push(info.clone());
    }
}

/// Fails unless an allocator for memory like `info` has been registered.
///
/// # Errors
/// `RuntimeError` that describes the memory.
pub(crate) fn check_shared(info: &OrtMemoryInfo) -> Result<()> {
    let shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = shared.iter().any(|known| known.device == info.device);
    if known { Ok(()) } else { Err(runtime_error(format!("No shared allocator found for: {}", info.text()))) }
}

/// Makes an allocator for memory of the CPU that sessions and values share.
///
/// Raises `RuntimeError` for memory of another device.
#[pyfunction]
#[pyo3(signature = (mem_info, arena_cfg))]
pub(crate) fn create_and_register_allocator(mem_info: &OrtMemoryInfo, arena_cfg: Option<&Bound<'_, OrtArenaCfg>>) -> Result<()> {
    // How an arena would grow is no matter here; the argument is checked by its type.
    let _ = arena_cfg;
    if mem_info.device.kind != 0 {
        let text = "Only CPU devices are supported. Please call CreateAndRegisterAllocatorV2() for other device.";
        return Err(runtime_error(format!("Error when creating and registering allocator: {text}")));
    }
    register(mem_info);
    Ok(())
}

/// Makes an allocator for memory of the provider `provider_type` that sessions and values share.
///
/// Raises `RuntimeError` for a provider that this build has not got.
#[pyfunction]
#[pyo3(signature = (provider_type, mem_info, options, arena_cfg))]
pub(crate) fn create_and_register_allocator_v2(
    provider_type: &str,
    mem_info: &OrtMemoryInfo,
    options: BTreeMap<String, String>,
    arena_cfg: Option<&Bound<'_, OrtArenaCfg>>,
) -> Result<()> {
    let _ = (options, arena_cfg);
    if !environment()?.providers().iter().any(|name| name == provider_type) || mem_info.device.kind != 0 {
        let text = format!("{provider_type} is not implemented in CreateAndRegisterAllocatorV2()");
        return Err(runtime_error(format!("Error when creating and registering allocator in create_and_register_allocator_v2: {text}")));
    }
    register(mem_info);
    Ok(())
}
