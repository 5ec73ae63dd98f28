//! Moving elements without looking at them: by region (axes with strides) or by row (an index for each).
//!
//! An operator describes what goes where with [`Region`]s, which stay inside their tensor by construction, and hands them to an
//! [`Output`], which copies by element size, unpacks and packs elements narrower than a byte, and moves strings.

mod block;
pub(crate) mod cuda;
mod output;
mod packed;
mod region;
mod rows;
mod square;
mod strided;
mod walk;
mod words;

pub(crate) use output::{Output, write};
pub(crate) use region::Region;
pub(crate) use strided::CHUNK;
pub(crate) use walk::{Axes, Steps, Walk, merge};
pub(crate) use words::{Word, words, words_mut};
