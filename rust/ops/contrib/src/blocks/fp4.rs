//! Two numbers of 4 bits to a byte: a matrix packed along its rows as one packed along its columns.

use base::{Result, ensure};

/// `weights`, `[rows, columns / 2]` bytes of two columns each, as `[columns, rows / 2]` bytes of two rows each.
///
/// # Errors
/// `InvalidArgument` for odd numbers of rows and columns, and when there are other numbers of bytes.
pub fn transpose(weights: &[u8], rows: usize, columns: usize) -> Result<Vec<u8>> {
    ensure!(rows.is_multiple_of(2) && columns.is_multiple_of(2), InvalidArgument, "N and K must be even for FP4 packing");
    let len = rows.checked_mul(columns / 2);
    ensure!(len == Some(weights.len()), InvalidArgument, "{} bytes are not {rows}x{columns} numbers of 4 bits", weights.len());
    let at = |row: usize, column: usize| weights[row * (columns / 2) + column / 2] >> (column % 2 * 4) & 15;
    let pairs = (0..columns).flat_map(|column| (0..rows / 2).map(move |pair| (2 * pair, column)));
    Ok(pairs.map(|(row, column)| at(row, column) | at(row + 1, column) << 4).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes() {
        // Rows 0 1 2 3 and 4 5 6 7.
        let weights = [0x10, 0x32, 0x54, 0x76];
        assert_eq!(transpose(&weights, 2, 4).unwrap(), [0x40, 0x51, 0x62, 0x73]);
        assert_eq!(transpose(&transpose(&weights, 2, 4).unwrap(), 4, 2).unwrap(), weights);
        assert!(transpose(&weights, 1, 8).is_err() && transpose(&weights, 2, 6).is_err());
    }
}
