//! What kernels find wrong while the host does not look.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::cuda::{Pinned, Stream};
use base::{Error, Result, error};

use crate::RunState;

/// The first index out of range that a kernel met: `Fault` of `movement.cu`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Fault {
    /// The node that it befell, counted from 1; 0 as long as there is none.
    node: u32,
    /// The input that holds the index.
    input: u32,
    index: i64,
    /// The size of the axis that it does not lie on.
    len: u64,
}

/// Reports that one page of memory holds.
const PAGE: usize = 64;

/// The places where kernels report, one for each run, and the names of the nodes that they speak of.
pub struct Faults {
    stream: Arc<Stream>,
    places: Mutex<Places>,
    nodes: Mutex<Vec<(String, String)>>,
}

#[derive(Default)]
struct Places {
    pages: Vec<Pinned>,
    /// Places that no run has.
    free: Vec<Place>,
    /// Places whose runs did not wait for their kernels, which may yet write there.
    left: Vec<Place>,
}

/// A place of pinned memory: where it lies for the host, and for kernels.
#[derive(Clone, Copy)]
struct Place {
    host: *mut Fault,
    device: u64,
}

// SAFETY: a place is used by one run at a time; its page lives as long as the `Faults` that it belongs to.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

/// Where the kernels of one run report.
pub struct Report {
    faults: Arc<Faults>,
    place: Place,
    /// Whether its kernels are done.
    finished: AtomicBool,
}

impl Faults {
    /// Places for runs whose kernels are launched on `stream`.
    pub fn new(stream: &Arc<Stream>) -> Arc<Self> {
        Arc::new(Self { stream: stream.clone(), places: Mutex::default(), nodes: Mutex::default() })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a node, by operator and name.
    pub fn number(&self, op: &str, name: &str) -> u32 {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.push((op.to_owned(), name.to_owned()));
        nodes.len() as u32
    }

    /// A place for a run that begins.
    ///
    /// # Errors
    /// What the driver says.
    pub fn report(self: &Arc<Self>) -> Result<Report> {
        let mut places = self.places();
        if places.free.is_empty() && !places.left.is_empty() {
            self.stream.synchronize()?;
            let left = std::mem::take(&mut places.left);
            places.free.extend(left);
        }
        if places.free.is_empty() {
            let page = Pinned::new(self.stream.device(), PAGE * size_of::<Fault>())?;
            let (host, device) = (page.address().cast::<Fault>(), page.device_address()?);
            let place = |i: usize| Place { host: host.wrapping_add(i), device: device + (i * size_of::<Fault>()) as u64 };
            places.free.extend((0..PAGE).map(place));
            places.pages.push(page);
        }
        let place = places.free.pop().ok_or_else(|| error!(Fail, "there is no place for reports of kernels"))?;
        // SAFETY: the place lies in a page, which pinned memory aligns, and no run has it.
        unsafe { place.host.write_volatile(Fault::default()) };
        Ok(Report { faults: self.clone(), place, finished: AtomicBool::new(false) })
    }

    fn error(&self, fault: Fault) -> Error {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let Fault { index, len, input, .. } = fault;
        let last = len as i64 - 1;
        let e = error!(
            InvalidArgument,
            "indices element out of data bounds, idx={index} must be within the inclusive range [{},{last}] (input {input})",
            -(len as i64)
        );
        match nodes.get(fault.node as usize - 1) {
            Some((op, name)) => e.while_running(op, name),
            None => e,
        }
    }
}

impl Report {
    /// Where kernels find the place.
    pub fn address(&self) -> u64 {
        self.place.device
    }
}

impl RunState for Report {
    fn finish(&self) -> Result<()> {
        self.faults.stream.synchronize()?;
        self.finished.store(true, Ordering::Relaxed);
        // SAFETY: the place is this run's, and its kernels are done; the read may not be moved before the wait for them.
        let fault = unsafe { self.place.host.read_volatile() };
        if fault.node == 0 { Ok(()) } else { Err(self.faults.error(fault)) }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let mut places = self.faults.places();
        if self.finished.load(Ordering::Relaxed) { places.free.push(self.place) } else { places.left.push(self.place) }
    }
}
