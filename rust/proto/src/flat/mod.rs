//! FlatBuffers, read and written: the format of ORT models and of LoRA adapters.
//!
//! A buffer is a tree of tables. A table is a vtable of 16-bit places, and fields at these places; texts, vectors and tables are
//! reached by offsets that only lead forward. [`Table`] reads any bytes: each place is checked when it is used. [`TableSpec`] is a
//! table to be written.

mod read;
mod write;

pub(crate) use read::{File, Table};
pub(crate) use write::{TableSpec, Vector, write};
