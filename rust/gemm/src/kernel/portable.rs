//! Tiles of four rows and one vector of eight lanes, which fit sixteen registers of 128 bits.

use simd::{PortableToken, Simd};

use super::{TileArgs, Tiles, by_rows};
use crate::scalar::Scalar;

impl Tiles for PortableToken {
    const ROWS: usize = 4;
    const VECTORS: usize = 1;

    unsafe fn float_tile<T: Scalar>(self, rows: usize, _vectors: usize, args: TileArgs<T>) {
        let s = self;
        by_rows!(s, T, 1, rows, args, 1 2 3 4)
    }
}
