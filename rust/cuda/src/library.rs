//! Tables of functions of shared libraries.

use std::error::Error;

/// What the system says of a library that it does not open; the error itself says only that.
pub(crate) fn why(e: &libloading::Error) -> String {
    e.source().map_or_else(|| e.to_string(), ToString::to_string)
}

/// Declares the functions of a library that are called, once: their names and types, of a status code unless another is said. `of` finds
/// all of them or names the first that is missing, so that no call can meet a function that is not there.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($function:ident($($argument:ty),* $(,)?) $(-> $result:ty)?;)* }) => {
        $(#[$doc])*
        #[allow(non_snake_case)] // The names are the library's own.
        pub(crate) struct $name {
            $(pub(crate) $function: unsafe extern "C" fn($($argument),*) -> table!(@result $($result)?),)*
            /// Keeps the functions where they are.
            _library: libloading::Library,
        }

        #[allow(non_snake_case)]
        impl $name {
            /// The functions of `library`, or the name of one that it lacks.
            ///
            /// # Safety
            /// The functions of these names have the types that the table says.
            pub(crate) unsafe fn of(library: libloading::Library) -> Result<Self, &'static str> {
                $(
                    // SAFETY: the caller vouches for the types.
                    let $function = unsafe { library.get(concat!(stringify!($function), "\0")) };
                    let $function = *$function.map_err(|_| stringify!($function))?;
                )*
                Ok(Self { $($function,)* _library: library })
            }
        }
    };
    (@result) => { std::ffi::c_int };
    (@result $result:ty) => { $result };
}

pub(crate) use table;
