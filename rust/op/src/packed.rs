//! Constants packed for kernels, shared by all sessions of the process.

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use base::{Result, Tensor};
use blake3::Hash;

use crate::digest::digest;

type Entry = Weak<dyn Any + Send + Sync>;

/// Packed constants, kept while a kernel holds them: sessions of one model share one copy, however and how often it is loaded.
///
/// An entry is found by the content of its sources, its format and its type.
#[derive(Default)]
pub struct Packed {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    of: HashMap<(TypeId, Hash), Entry>,
    /// How many entries there may be before those that nobody holds are looked for.
    room: usize,
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

    /// What `pack` makes of `source`, or of a copy of it that does not stay; from an earlier call for the same content and `format`, if
    /// a kernel still holds it.
    /// `format` names everything else that the result depends on: layout, blocking, instruction set.
    ///
    /// # Errors
    /// What `pack` says; `Fail` when the elements cannot be read or the run that asks is cancelled.
    pub fn get<T: Any + Send + Sync>(&self, source: &Tensor, format: &str, pack: impl FnOnce(&Tensor) -> Result<T>) -> Result<Arc<T>> {
        self.get_of([Some(source)], format, |[source]| source.map_or_else(|| base::bail!(Fail, "nothing to pack"), pack))
    }

    /// As [`get`](Self::get), for what is made of several constants, some of which may be left out.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_of<T: Any + Send + Sync, const N: usize>(
        &self,
        sources: [Option<&Tensor>; N],
        format: &str,
        pack: impl FnOnce([Option<&Tensor>; N]) -> Result<T>,
    ) -> Result<Arc<T>> {
        let bytes = |source: &Tensor| source.dtype().bytes_of(source.len()).unwrap_or(0);
        TALLY.set(TALLY.get() + sources.into_iter().flatten().map(bytes).sum::<usize>());
        let key = (TypeId::of::<T>(), digest(&sources, format)?);
        let found = self.entries().find(&key);
        let made = match found {
            Some(found) => found,
            None => {
                let mut resident = [const { None }; N];
                for (resident, source) in resident.iter_mut().zip(sources) {
                    *resident = source.map(Tensor::resident).transpose()?;
                }
                let made = Arc::new(pack(resident.each_ref().map(Option::as_ref))?);
                self.entries().insert(key, made)
            }
        };
        // Few will read the sources again.
        sources.into_iter().flatten().for_each(Tensor::release);
        Ok(made)
    }

    /// How many packed constants kernels hold now.
    pub fn held(&self) -> usize {
        self.entries().of.values().filter(|e| e.strong_count() > 0).count()
    }

    /// What `f` gives, and the bytes of the sources that this thread was given packed meanwhile, by any cache: about what they take, for
    /// formats differ in padding only.
    pub fn tally<R>(f: impl FnOnce() -> R) -> (R, usize) {
        let before = TALLY.get();
        (f(), TALLY.get() - before)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn find<T: Any + Send + Sync>(&self, key: &(TypeId, Hash)) -> Option<Arc<T>> {
        self.of.get(key)?.upgrade()?.downcast().ok()
    }

    /// `made`, or what another session has made of the same meanwhile.
    fn insert<T: Any + Send + Sync>(&mut self, key: (TypeId, Hash), made: Arc<T>) -> Arc<T> {
        if let Some(found) = self.find(&key) {
            return found;
        }
        if self.of.len() >= self.room {
            self.of.retain(|_, entry| entry.strong_count() > 0);
            self.room = 2 * self.of.len() + 16;
        }
        let entry: Arc<dyn Any + Send + Sync> = made.clone();
        self.of.insert(key, Arc::downgrade(&entry));
        made
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
        assert_eq!(*cache.get(&t, "sum", |_| Ok(4f64)).unwrap(), 4.0, "another type");
        assert_eq!(cache.held(), 1);
        let (c, bytes) = Packed::tally(|| cache.get(&t, "sum", |_| Ok(99f32)).unwrap());
        assert_eq!((*c, bytes), (3.0, 8));
        drop((a, b, c));
        assert_eq!(cache.held(), 0);
        assert_eq!(*cache.get(&t, "sum", |_| Ok(99f32)).unwrap(), 99.0);
    }

    #[test]
    fn content_is_shared_and_nothing_else() {
        let cache = Packed::default();
        let t = |v: [f32; 2]| Tensor::from_slice([2], &v).unwrap();
        let a = cache.get(&t([1.0, 2.0]), "sum", |_| Ok(3f32)).unwrap();
        let b = cache.get(&t([1.0, 2.0]), "sum", |_| Ok(99f32)).unwrap();
        assert!(Arc::ptr_eq(&a, &b), "the first source is gone, and the second lies elsewhere");
        assert_eq!(*cache.get(&t([1.0, 3.0]), "sum", |_| Ok(4f32)).unwrap(), 4.0);
        let scaled = |scale: f32| cache.get_of([Some(&t([1.0, 2.0])), Some(&t([scale; 2]))], "sum", |_| Ok(scale)).unwrap();
        assert_eq!((*scaled(2.0), *scaled(3.0)), (2.0, 3.0));
    }

    #[test]
    fn an_error_leaves_nothing() {
        let cache = Packed::default();
        let t = Tensor::from_slice([1], &[1f32]).unwrap();
        assert!(cache.get::<f32>(&t, "sum", |_| base::bail!(Fail, "no")).is_err());
        assert_eq!(*cache.get(&t, "sum", |_| Ok(1f32)).unwrap(), 1.0);
    }

    #[test]
    fn entries_that_nobody_holds_go() {
        let cache = Packed::default();
        for i in 0..1000 {
            cache.get(&Tensor::scalar(i as f32).unwrap(), "sum", |_| Ok(i)).unwrap();
        }
        assert!(cache.entries().of.len() <= 16);
    }
}
