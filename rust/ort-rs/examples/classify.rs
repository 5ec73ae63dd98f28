//! Classifies handwritten digits: `cargo run --release -p ort-rs --example classify`.

#![allow(clippy::print_stdout)] // It is a program for a terminal.

use ort_rs::{Result, Session, inputs};

/// An 8 x 8 image, from 0 (black) to 16 (white).
const SEVEN: [f32; 64] = [
    0., 0., 7., 8., 13., 16., 15., 1., //
    0., 0., 7., 7., 4., 11., 12., 0., //
    0., 0., 0., 0., 8., 13., 1., 0., //
    0., 4., 8., 8., 15., 15., 6., 0., //
    0., 2., 11., 15., 15., 4., 0., 0., //
    0., 0., 0., 16., 5., 0., 0., 0., //
    0., 0., 9., 15., 1., 0., 0., 0., //
    0., 0., 13., 5., 0., 0., 0., 0., //
];

fn main() -> Result<()> {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/digits/digits.onnx");
    let session = Session::builder().from_file(model)?;
    println!("{} ⟶ {}", session.inputs()[0], session.outputs()[0]);

    let outputs = session.run(inputs!["images" => ([1, 1, 8, 8], &SEVEN)])?;
    let (_, probabilities) = outputs["probabilities"].elements::<f32>()?;

    for row in SEVEN.chunks(8) {
        println!("{}", row.iter().map(|p| [" ", ".", "+", "#", "@"][(p / 4.0) as usize].repeat(2)).collect::<String>());
    }
    let (best, probability) = probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap_or((0, &0.0));
    println!("This is a {best}, with a probability of {probability:.3}.");
    assert_eq!(best, 7, "the network knows this image");
    Ok(())
}
