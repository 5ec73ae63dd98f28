//! Tiles of six rows and two vectors: twelve accumulators, two vectors of B and one of A fill 15 of 16 registers.

use simd::{Avx2Token, Simd};

use super::{TileArgs, Tiles, by_rows};
use crate::scalar::Scalar;

impl Tiles for Avx2Token {
    const ROWS: usize = 6;
    const VECTORS: usize = 2;

    unsafe fn float_tile<T: Scalar>(self, rows: usize, vectors: usize, args: TileArgs<T>) {
        let s = self;
        if vectors == 1 { by_rows!(s, T, 1, rows, args, 1 2 3 4 5 6) } else { by_rows!(s, T, 2, rows, args, 1 2 3 4 5 6) }
    }
}
