//! Tiles of 14 rows and two vectors: 28 accumulators, two vectors of B and one of A fill 31 of 32 registers.

use simd::{Avx512Token, Simd};

use super::{TileArgs, Tiles, by_rows};
use crate::scalar::Scalar;

impl Tiles for Avx512Token {
    const ROWS: usize = 14;
    const VECTORS: usize = 2;

    unsafe fn float_tile<T: Scalar>(self, rows: usize, vectors: usize, args: TileArgs<T>) {
        let s = self;
        if vectors == 1 {
            by_rows!(s, T, 1, rows, args, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
        } else {
            by_rows!(s, T, 2, rows, args, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
        }
    }
}
