//! Constants packed for kernels, shared by all sessions of the process.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use base::{Buffer, Result, Tensor};

type Entry = Weak<dyn Any + Send + Sync>;

/// Packed constants, kept while a kernel holds them: sessions of one model share one copy.
///
/// An entry is found by where its source lies in memory (or in which mapped file), and by the format.
#[derive(Default)]
pub struct Packed {
    entries: Mutex<HashMap<(Source, String), Kept>>,
}

/// The buffer of the source, and what was packed of it.
type Kept = (Weak<Buffer>, Entry);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Source {
    identity: usize,
    dims: Vec<usize>,
}

thread_local! {
    /// Bytes of the sources that this thread was given packed.
    static TALLY: Cell<usize> = const { Cell::new(0) };
}

impl Packed {
    /// The cache of the process.
    pub fn shared() -> &'static Packed {
        static SHARED: OnceLock<Packed> = OnceLock::new();
        SHARED.get_or_init(Packed::default)
    }

    /// What `pack` makes of `source`, or of a copy of it that does not stay; from an earlier call for the same source and `format`, if
    /// a kernel still holds it.
    /// `format` names everything else that the result depends on: layout, blocking, instruction set.
    ///
    /// # Errors
    /// What `pack` says.
    pub fn get<T: Any + Send + Sync>(&self, source: &Tensor, format: &str, pack: impl FnOnce(&Tensor) -> Result<T>) -> Result<Arc<T>> {
        TALLY.set(TALLY.get() + source.dtype().bytes_of(source.len()).unwrap_or(0));
        let key = (Source { identity: source.identity(), dims: source.shape().to_vec() }, format.to_owned());
        let found = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            // An address may be used again once its buffer is gone, so an entry lives no longer than its source.
            entries.retain(|_, (buffer, entry)| buffer.strong_count() > 0 && entry.strong_count() > 0);
            entries.get(&key).and_then(|(_, entry)| entry.upgrade())
        };
        if let Some(found) = found.and_then(|f| f.downcast::<T>().ok()) {
            return Ok(found);
        }
        let made = Arc::new(pack(&source.resident()?)?);
        // Few will read the source again.
        source.release();
        let entry: Arc<dyn Any + Send + Sync> = made.clone();
        let entry = (Arc::downgrade(source.buffer()), Arc::downgrade(&entry));
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
        Ok(made)
    }

    /// What `f` gives, and the bytes of the sources that this thread was given packed meanwhile, by any cache: about what they take, for
    /// formats differ in padding only.
    pub fn tally<R>(f: impl FnOnce() -> R) -> (R, usize) {
        let before = TALLY.get();
        (f(), TALLY.get() - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_while_held() {
        let cache = Packed::default();
        let t = Tensor::from_slice([2], &[1f32, 2.0]).unwrap();
        let a = cache.get(&t, "sum", |_| Ok(3f32)).unwrap();
        let b = cache.get(&t, "sum", |_| Ok(99f32)).unwrap();
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!(*cache.get(&t, "product", |_| Ok(2f32)).unwrap(), 2.0);
        let (c, bytes) = Packed::tally(|| cache.get(&t, "sum", |_| Ok(99f32)).unwrap());
        assert_eq!((*c, bytes), (3.0, 8));
        drop((a, b, c));
        assert_eq!(*cache.get(&t, "sum", |_| Ok(99f32)).unwrap(), 99.0);
    }
}
