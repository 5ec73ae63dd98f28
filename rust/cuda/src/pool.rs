//! Memory of a device, taken in large pieces and handed out in small ones, never more than a limit.
//!
//! All users of a pool do their work on one stream. So a buffer that is given back can be handed out at once: what is yet to be done
//! with it on the stream comes before whatever the next owner starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Buffer, DeviceBuffer, Memory, Result, bail};

use crate::Stream;
use crate::driver::{Address, OUT_OF_MEMORY, SUCCESS};
use crate::error::{check, describe};

/// Every buffer begins at, and is as long as, a multiple of this: what CUDA itself keeps to.
const GRAIN: usize = 256;
/// The first piece that is taken when pieces double.
const FIRST_PIECE: usize = 1 << 20;

/// How much is taken when the pool has nothing left that fits; named as ONNX Runtime's `arena_extend_strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extend {
    /// Twice as much as the last time.
    #[default]
    NextPowerOfTwo,
    /// Just what is asked for.
    SameAsRequested,
}

/// Memory of a device with a limit.
pub struct Pool {
    stream: Arc<Stream>,
    limit: usize,
    extend: Extend,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was taken from the driver, by address: bytes of each piece.
    pieces: BTreeMap<Address, usize>,
    /// Every part of a piece, by address.
    parts: BTreeMap<Address, Part>,
    /// Those parts that nobody uses, by size.
    free: BTreeSet<(usize, Address)>,
    /// Bytes of all pieces.
    taken: usize,
    /// Bytes of the last piece.
    last: usize,
}

#[derive(Clone, Copy)]
struct Part {
    len: usize,
    used: bool,
    /// The piece that it belongs to.
    piece: Address,
}

impl Pool {
    /// A pool whose users work on `stream`, of at most `limit` bytes.
    pub fn new(stream: &Arc<Stream>, limit: usize, extend: Extend) -> Arc<Self> {
        Arc::new(Self { stream: stream.clone(), limit, extend, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that were taken from the device.
    pub fn taken(&self) -> usize {
        self.lock().taken
    }

    /// Bytes that are handed out.
    pub fn used(&self) -> usize {
        self.lock().parts.values().filter(|p| p.used).map(|p| p.len).sum()
    }

    /// `bytes` bytes of the device.
    ///
    /// # Errors
    /// `Fail` when the limit or the device does not allow it, with the numbers.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Buffer> {
        let Some(len) = bytes.max(1).checked_next_multiple_of(GRAIN) else { bail!(Fail, "{bytes} bytes are more than any device has") };
        let mut state = self.lock();
        let fit = state.free.range((len, 0)..).next().copied();
        let address = match fit {
            Some((_, address)) => address,
            None => self.take_piece(&mut state, len)?,
        };
        state.hand_out(address, len);
        drop(state);
        Ok(Buffer::Device(Box::new(Block { pool: self.clone(), address, len: bytes })))
    }

    /// Takes another piece from the driver for a part of `len` bytes, and gives its address.
    fn take_piece(&self, state: &mut State, len: usize) -> Result<Address> {
        let liked = match self.extend {
            Extend::SameAsRequested => len,
            Extend::NextPowerOfTwo => len.checked_next_power_of_two().unwrap_or(len).max(FIRST_PIECE).max(state.last.saturating_mul(2)),
        };
        let mut refused = None;
        for (attempt, wanted) in [liked, len, len].into_iter().enumerate() {
            if attempt == 2 {
                self.give_back_unused(state)?;
            }
            if wanted > self.limit.saturating_sub(state.taken) {
                continue;
            }
            match self.take(wanted)? {
                Ok(address) => {
                    state.add(address, wanted);
                    return Ok(address);
                }
                Err(why) => refused = Some(why),
            }
        }
        let (device, used) = (self.stream.device().ordinal(), state.parts.values().filter(|p| p.used).map(|p| p.len).sum::<usize>());
        match refused {
            Some(why) => bail!(Fail, "CUDA device {device} has no {len} bytes left: {why}; {used} bytes are in use here"),
            None => bail!(Fail, "{len} bytes do not fit into gpu_mem_limit={} of CUDA device {device}; {used} are in use", self.limit),
        }
    }

    /// Asks the driver for `len` bytes; the inner error is that there are none.
    fn take(&self, len: usize) -> Result<Result<Address, String>> {
        let driver = self.stream.device().enter()?;
        let mut address = 0;
        // SAFETY: the pointer is good.
        match unsafe { (driver.cuMemAlloc_v2)(&mut address, len) } {
            SUCCESS => Ok(Ok(address)),
            OUT_OF_MEMORY => Ok(Err(describe(driver, OUT_OF_MEMORY))),
            status => check(driver, status, || format!("allocate {len} bytes")).map(|()| Ok(address)),
        }
    }

    /// Gives pieces back to the driver of which nothing is used.
    fn give_back_unused(&self, state: &mut State) -> Result<()> {
        let unused: Vec<Address> = state.pieces.iter().filter(|(a, len)| state.free.contains(&(**len, **a))).map(|(a, _)| *a).collect();
        if unused.is_empty() {
            return Ok(());
        }
        // What is yet to be done with them must be done before they are gone.
        self.stream.synchronize()?;
        let driver = self.stream.device().enter()?;
        for address in unused {
            state.remove(address);
            // SAFETY: the address came from the driver and nobody uses it.
            check(driver, unsafe { (driver.cuMemFree_v2)(address) }, || "free memory".into())?;
        }
        Ok(())
    }
}

impl State {
    fn add(&mut self, address: Address, len: usize) {
        self.pieces.insert(address, len);
        self.parts.insert(address, Part { len, used: false, piece: address });
        self.free.insert((len, address));
        self.taken += len;
        self.last = len;
    }

    fn remove(&mut self, address: Address) {
        if let Some(len) = self.pieces.remove(&address) {
            self.parts.remove(&address);
            self.free.remove(&(len, address));
            self.taken -= len;
        }
    }

    /// Marks the first `len` bytes of the free part at `address` as used; the rest stays free.
    fn hand_out(&mut self, address: Address, len: usize) {
        let Some(part) = self.parts.get_mut(&address) else { return };
        self.free.remove(&(part.len, address));
        let (rest, piece) = (part.len - len, part.piece);
        *part = Part { len, used: true, piece };
        if rest > 0 {
            self.parts.insert(address + len as u64, Part { len: rest, used: false, piece });
            self.free.insert((rest, address + len as u64));
        }
    }

    /// Takes a part back, and joins it with free neighbours of the same piece.
    fn give_back(&mut self, address: Address) {
        let Some(mut part) = self.parts.remove(&address) else { return };
        let mut start = address;
        let joins = |p: &Part| !p.used && p.piece == part.piece;
        if let Some((&next, other)) = self.parts.range(address..).next().filter(|(_, p)| joins(p)) {
            part.len += other.len;
            self.free.remove(&(other.len, next));
            self.parts.remove(&next);
        }
        let before = self.parts.range(..address).next_back().filter(|(_, p)| !p.used && p.piece == part.piece).map(|(a, p)| (*a, p.len));
        if let Some((previous, len)) = before {
            part.len += len;
            start = previous;
            self.free.remove(&(len, previous));
            self.parts.remove(&previous);
        }
        part.used = false;
        self.parts.insert(start, part);
        self.free.insert((part.len, start));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let Ok(driver) = self.stream.device().enter() else { return };
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for address in state.pieces.keys() {
            // SAFETY: every block keeps its pool, so none is left; the driver waits for what is yet to be done with the memory.
            unsafe { (driver.cuMemFree_v2)(*address) };
        }
    }
}

/// A part of a pool.
struct Block {
    pool: Arc<Pool>,
    address: Address,
    len: usize,
}

impl DeviceBuffer for Block {
    fn memory(&self) -> Memory {
        self.pool.stream.device().memory()
    }

    fn address(&self) -> usize {
        self.address as usize
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.lock().give_back(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(len: usize) -> State {
        let mut state = State::default();
        state.add(1 << 20, len);
        state
    }

    #[test]
    fn parts_are_split_and_joined_again() {
        let mut s = state(1024);
        let base = 1u64 << 20;
        s.hand_out(base, 256);
        s.hand_out(base + 256, 512);
        assert_eq!(s.free.iter().copied().collect::<Vec<_>>(), [(256, base + 768)]);
        s.give_back(base);
        assert_eq!(s.free.len(), 2, "the used part in between keeps them apart");
        s.give_back(base + 256);
        assert_eq!(s.free.iter().copied().collect::<Vec<_>>(), [(1024, base)]);
    }

    #[test]
    fn pieces_are_never_joined() {
        let mut s = state(512);
        s.add((1 << 20) + 512, 512);
        s.hand_out(1 << 20, 512);
        s.give_back(1 << 20);
        assert_eq!((s.free.len(), s.taken), (2, 1024));
        s.remove(1 << 20);
        assert_eq!((s.free.len(), s.taken), (1, 512));
    }
}
