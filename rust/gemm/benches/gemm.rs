//! Speed of the products as a share of what the multiply-add units can do, measured in the same run by a loop on registers alone.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // A program for people to read.

mod peak;

use std::hint::black_box;

use base::threads::{Cancel, Threads, scope};
use gemm::{
    Batch, BlockZeros, Blockwise, ByteOutput, ByteRhs, ByteTerms, Epilogue, Lhs, Mat, MatMut, PackedB, PackedBlocks, PackedBytes,
    Precision, Rhs, blocks_gemm, byte_gemm_on, gemm_on,
};
use peak::{best, peak};
use simd::{Isa, isa};

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37) % 101) as f32 * 0.01 - 0.5).collect()
}

fn product(isa: Isa, peak: f64, (m, k, n): (usize, usize, usize), packed: bool, transposed: bool) {
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0.0f32; m * n]);
    let b = if transposed { Mat::row_major(&b, n, k).unwrap().transposed() } else { Mat::row_major(&b, k, n).unwrap() };
    let b_packed = PackedB::on(isa, b).unwrap();
    let mut scratch = vec![0u8; 64 << 20];
    let took = best(|| {
        let rhs = if packed { Rhs::Packed(&b_packed) } else { Rhs::Plain(b) };
        let c = MatMut::row_major(&mut c, m, n).unwrap();
        gemm_on(isa, &Batch::default(), Lhs::Plain(Mat::row_major(&a, m, k).unwrap()), rhs, &Epilogue::default(), c, &mut scratch).unwrap();
    });
    let speed = (2 * m * k * n) as f64 / took / 1e9;
    let bytes = 4.0 * (k * n) as f64 / took / 1e9;
    let how = if packed {
        "packed"
    } else if transposed {
        "plain^T"
    } else {
        "plain"
    };
    println!(
        "{:>8} {m:>5}x{k:>4}x{n:>4} {how:>7}: {:>9.1} us {speed:>7.1} GFLOP/s {:>5.1} % of peak, B at {bytes:.1} GB/s",
        isa.name(),
        took * 1e6,
        100.0 * speed / peak
    );
}

/// A product whose packed weights are no longer in any cache: as in a model, others came in between.
fn cold_product(isa: Isa, peak: f64, (m, k, n): (usize, usize, usize)) {
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0.0f32; m * n]);
    let pack = |_| PackedB::on(isa, Mat::row_major(&b, k, n).unwrap()).unwrap();
    let weights: Vec<_> = (0..(COLD / (4 * k * n)).max(2)).map(pack).collect();
    let mut scratch = vec![0u8; 64 << 20];
    let took = best(|| {
        for b in &weights {
            let (a, c) = (Lhs::Plain(Mat::row_major(&a, m, k).unwrap()), MatMut::row_major(&mut c, m, n).unwrap());
            gemm_on(isa, &Batch::default(), a, Rhs::Packed(b), &Epilogue::default(), c, &mut scratch).unwrap();
        }
    }) / weights.len() as f64;
    let speed = (2 * m * k * n) as f64 / took / 1e9;
    println!(
        "{:>8} {m:>5}x{k:>4}x{n:>4}    cold: {:>9.1} us {speed:>7.1} GFLOP/s {:>5.1} % of peak, B at {:.1} GB/s",
        isa.name(),
        took * 1e6,
        100.0 * speed / peak,
        4.0 * (k * n) as f64 / took / 1e9
    );
}

/// Bytes of weights that no cache holds together.
const COLD: usize = 400 << 20;

fn bytes_product(isa: Isa, (m, k, n): (usize, usize, usize)) {
    let (a, b, mut c) = (vec![3u8; m * k], vec![5i8; k * n], vec![0i32; m * n]);
    let plain = Mat::row_major(&b, k, n).unwrap();
    let packed = PackedBytes::on(isa, plain).unwrap();
    let mut scratch = vec![0u8; 64 << 20];
    for (rhs, how) in [(ByteRhs::Packed(&packed), "packed"), (ByteRhs::from(plain), "plain")] {
        let took = best(|| {
            let c = ByteOutput::I32(MatMut::row_major(&mut c, m, n).unwrap());
            let a = Mat::row_major(&a, m, k).unwrap();
            byte_gemm_on(isa, &Batch::default(), a.into(), rhs, &ByteTerms::default(), c, &mut scratch).unwrap();
        });
        let speed = (2 * m * k * n) as f64 / took / 1e9;
        println!("{:>8} {m:>5}x{k:>4}x{n:>4} bytes {how:>7}: {:>9.1} us {speed:>7.1} GOP/s", isa.name(), took * 1e6);
    }
}

fn blocks_product(isa: Isa, precision: Precision, bits: usize, (m, k, n): (usize, usize, usize)) {
    let (a, weights, scales, mut c) = (values(m * k), vec![0x5au8; n * k * bits / 8], values(n * k / 32), vec![0.0f32; m * n]);
    let weights = Blockwise { bits, block: 32, k, n, weights: &weights, scales: &scales, zeros: BlockZeros::Middle };
    let packed = PackedBlocks::on(isa, &weights).unwrap();
    let mut scratch = vec![0u8; 64 << 20];
    let took = best(|| {
        let c = MatMut::row_major(&mut c, m, n).unwrap();
        blocks_gemm(Mat::row_major(&a, m, k).unwrap(), &packed, precision, &Epilogue::default(), c, &mut scratch).unwrap();
    });
    let (speed, stream) = ((2 * m * k * n) as f64 / took / 1e9, packed.bytes() as f64 / took / 1e9);
    println!(
        "{:>8} {m:>5}x{k:>4}x{n:>4} {bits} bits {precision:?}: {:>9.1} us {speed:>7.1} GFLOP/s, B at {stream:.1} GB/s",
        isa.name(),
        took * 1e6
    );
}

/// Reads memory as fast as one thread can, in billions of bytes a second.
fn read_speed() -> f64 {
    let x = vec![1.0f32; 64 << 20];
    let took = best(|| _ = black_box(simd::reduce::max(&x)));
    (4 * x.len()) as f64 / took / 1e9
}

const SHAPES: [(usize, usize, usize); 9] = [
    (1024, 1024, 1024),
    (512, 4096, 1024),
    (197, 768, 768),
    (64, 768, 3072),
    (1, 4096, 4096),
    (4, 4096, 4096),
    (1, 768, 768),
    (16, 64, 32),
    (197, 64, 197),
];

/// Prints one line for each instruction set, shape and form of B; on one thread, so that the peak is that of one core.
/// `cargo bench -p ort-rs-gemm --bench gemm -- avx512` looks at instruction sets of that name only.
fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    for isa in isa::available().filter(|isa| named.is_empty() || named.iter().any(|n| n == isa.name())) {
        scope(Threads::new(1), &Cancel::new(), || {
            let peak = peak(isa, 1);
            println!("{:>8} peak {peak:.1} GFLOP/s", isa.name());
            for shape in SHAPES {
                for (packed, transposed) in [(true, false), (false, false), (false, true)] {
                    product(isa, peak, shape, packed, transposed);
                }
            }
            for shape in [(128, 768, 768), (128, 768, 3072), (128, 3072, 768), (197, 768, 3072), (16, 768, 3072)] {
                cold_product(isa, peak, shape);
            }
            for shape in [(1024, 1024, 1024), (197, 768, 768), (1, 4096, 4096)] {
                bytes_product(isa, shape);
            }
            println!("{:>8} reads {:.1} GB/s", isa.name(), read_speed());
            for (bits, m) in [(4, 1), (4, 4), (4, 16), (4, 128), (8, 1), (2, 1)] {
                for precision in [Precision::Floats, Precision::Bytes] {
                    blocks_product(isa, precision, bits, (m, 4096, 4096));
                }
            }
        });
    }
}
