//! Matrix products by cuBLASLt, where it is installed.

mod find;
mod gemm;
mod library;

use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Buffer, Result, bail, error};

use crate::driver::Handle;
use crate::{Device, Pool, Stream, probe};

pub use find::look_in;
use gemm::Problem;
pub use gemm::{Gemm, GemmForm, GemmOperand, GemmType};
use library::{Algorithm, Lt};

/// The most workspace that a product is given: what cuBLASLt recommends for the newest devices.
const WORKSPACE: usize = 32 << 20;
/// How many forms of products are remembered.
const REMEMBERED: usize = 4096;

/// cuBLASLt for one device.
pub struct Blas {
    table: Lt,
    handle: Handle,
    /// How each form of product is computed; `None` for those that no algorithm is for.
    chosen: Mutex<HashMap<GemmForm, Option<Choice>>>,
}

#[derive(Clone, Copy)]
struct Choice {
    algorithm: Algorithm,
    workspace: usize,
}

// SAFETY: a handle may be used from any thread.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

impl Blas {
    /// cuBLASLt for `device`.
    ///
    /// # Errors
    /// Why it cannot be had: where it was looked for, or what it says.
    pub fn open(device: &Device) -> std::result::Result<Self, String> {
        let version = probe().map_err(ToString::to_string)?.version;
        let table = find::find(version)?;
        device.enter().map_err(|e| e.message())?;
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: the pointer is good.
        let status = unsafe { (table.cublasLtCreate)(&mut handle) };
        if status != 0 {
            return Err(format!("cuBLASLt does not start: {}", describe(&table, status)));
        }
        Ok(Self { table, handle, chosen: Mutex::default() })
    }

    /// Its version: 10000 times the major one and 100 times the minor one.
    pub fn version(&self) -> usize {
        // SAFETY: it takes nothing.
        unsafe { (self.table.cublasLtGetVersion)() }
    }

    /// Starts a product on `stream`, with workspace from `pool`, whose users work on that stream. Whether it was: cuBLASLt may have no
    /// algorithm for it.
    ///
    /// # Errors
    /// What cuBLASLt says.
    ///
    /// # Safety
    /// The operands and the result are as large as the product says, on the stream's device, and live until the stream has come by.
    pub unsafe fn multiply(&self, stream: &Stream, pool: &Arc<Pool>, gemm: &Gemm) -> Result<bool> {
        stream.device().enter()?;
        let problem = Problem::new(self, gemm)?;
        let Some(choice) = self.choice(&problem, gemm)? else { return Ok(false) };
        let workspace = if choice.workspace > 0 { Some(pool.allocate(choice.workspace)?) } else { None };
        // Workspace that is given back here is handed out again only for work behind this on the stream.
        let place = workspace.as_ref().map_or(0, |w: &Buffer| w.address() as u64);
        let c = gemm.c.map_or(gemm.y, |c| c.address);
        let beta = if gemm.c.is_some() { gemm.beta } else { 0.0 };
        let factors: [*const c_void; 2] = [(&raw const gemm.alpha).cast(), (&raw const beta).cast()];
        // The library counts columns first: the transposed result is the product of the transposed operands in the other order.
        // SAFETY: the caller vouches for what is on the device; descriptions, factors and algorithm live until the call returns.
        let status = unsafe {
            (self.table.cublasLtMatmul)(
                self.handle,
                problem.desc.raw,
                factors[0],
                gemm.b.address,
                problem.b.raw,
                gemm.a.address,
                problem.a.raw,
                factors[1],
                c,
                problem.c.raw,
                gemm.y,
                problem.y.raw,
                &choice.algorithm,
                place,
                choice.workspace,
                stream.handle(),
            )
        };
        self.check(status, || format!("multiply {gemm}")).map(|()| true)
    }

    /// How a product is computed; asked once for each form.
    fn choice(&self, problem: &Problem<'_>, gemm: &Gemm) -> Result<Option<Choice>> {
        let form = gemm.form();
        if let Some(choice) = self.chosen.lock().unwrap_or_else(PoisonError::into_inner).get(&form) {
            return Ok(*choice);
        }
        let choice = problem.choose(&form)?;
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if chosen.len() >= REMEMBERED {
            chosen.clear();
        }
        chosen.insert(form, choice);
        Ok(choice)
    }

    fn check(&self, status: c_int, what: impl FnOnce() -> String) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        bail!(EpFail, "cuBLASLt cannot {}: {}", what(), describe(&self.table, status))
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and nobody uses it any more.
        unsafe { (self.table.cublasLtDestroy)(self.handle) };
    }
}

/// The name of a status code.
fn describe(table: &Lt, status: c_int) -> String {
    // SAFETY: the text is static, or null.
    let name = unsafe { (table.cublasLtGetStatusName)(status) };
    if name.is_null() {
        return format!("status {status}");
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// Something that the library made, given back when dropped.
struct Made {
    raw: Handle,
    destroy: unsafe extern "C" fn(Handle) -> c_int,
}

impl Made {
    /// What `make` leaves in its argument.
    fn by(make: impl FnOnce(*mut Handle) -> c_int, destroy: unsafe extern "C" fn(Handle) -> c_int) -> Result<Self> {
        let mut raw = std::ptr::null_mut();
        match make(&mut raw) {
            0 => Ok(Self { raw, destroy }),
            status => Err(error!(EpFail, "cuBLASLt makes no description: status {status}")),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nobody uses it any more.
        unsafe { (self.destroy)(self.raw) };
    }
}
