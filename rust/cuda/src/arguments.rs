//! What kernels are launched with.

use std::ffi::c_void;

/// A value that can be handed to a kernel as it lies in memory.
///
/// # Safety
/// The type has the size and layout of the one that the kernel declares, and no padding that matters.
pub unsafe trait Argument: Copy {}

macro_rules! arguments {
    ($($t:ty),*) => { $(
        // SAFETY: CUDA C++ has the same type.
        unsafe impl Argument for $t {}
    )* };
}

arguments!(u32, i32, u64, i64, f32, f64);

/// The arguments of a kernel, in order.
pub trait Arguments {
    /// Calls `f` with pointers to each.
    fn with<T>(&mut self, f: impl FnOnce(&mut [*mut c_void]) -> T) -> T;
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Argument),+> Arguments for ($($name,)+) {
            #[allow(non_snake_case)]
            fn with<T>(&mut self, f: impl FnOnce(&mut [*mut c_void]) -> T) -> T {
                let ($($name,)+) = self;
                f(&mut [$(std::ptr::from_mut($name).cast::<c_void>()),+])
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
