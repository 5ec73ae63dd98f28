//! Convolutions as a share of what the multiply-add units can do, on one thread.
//!
//! `cargo bench -p ort-rs-ops-nn --bench conv [filter]` prints one line for each case.
#![allow(clippy::print_stdout)] // A program for people to read.

use std::hint::black_box;
use std::time::Instant;

use base::threads::{self, Cancel, Threads};
use base::{DType, Layout, Shape, Tensor, Value};
use ir::{Attribute, Fact, Graph, Node, OpKey};
use op::{NoSubgraphs, OpDef, Packed, Prepare, Registry, Run, Sizes, Slot, SlotTensor, Wires};
use simd::{Kernel, Simd};

/// A convolution to measure.
struct Case {
    name: &'static str,
    input: [usize; 4],
    output: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
}

const fn case(name: &'static str, [channels, size]: [usize; 2], output: usize, kernel: usize, stride: usize, groups: usize) -> Case {
    Case { name, input: [1, channels, size, size], output, kernel, stride, groups }
}

const CASES: &[Case] = &[
    case("first 7x7/2", [3, 224], 64, 7, 2, 1),
    case("3x3", [64, 56], 64, 3, 1, 1),
    case("3x3", [128, 28], 128, 3, 1, 1),
    case("3x3", [256, 14], 256, 3, 1, 1),
    case("3x3", [512, 7], 512, 3, 1, 1),
    case("3x3/2", [128, 56], 128, 3, 2, 1),
    case("1x1", [64, 56], 256, 1, 1, 1),
    case("1x1", [256, 56], 64, 1, 1, 1),
    case("1x1", [1024, 14], 256, 1, 1, 1),
    case("1x1", [512, 7], 2048, 1, 1, 1),
    case("1x1", [1024, 64], 256, 1, 1, 1),
    case("depthwise 3x3", [96, 112], 96, 3, 1, 96),
    case("depthwise 3x3/2", [96, 112], 96, 3, 2, 96),
    case("depthwise 3x3", [384, 14], 384, 3, 1, 384),
    case("groups 3x3", [128, 56], 128, 3, 1, 32),
];

/// Multiply-adds on registers alone: sixteen independent chains.
struct Peak(usize);

impl Kernel for Peak {
    type Output = (f32, usize);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, usize) {
        let (a, b) = (s.splat(black_box(0.5)), s.splat(black_box(0.25)));
        let mut x = [s.splat(black_box(1.0)); 12];
        for _ in 0..self.0 {
            x.iter_mut().for_each(|x| *x = s.fma(*x, a, b));
        }
        (x.iter().map(|x| s.reduce_add(*x)).sum(), 2 * S::LANES * x.len() * self.0)
    }
}

/// The seconds of the quickest of many runs.
fn quickest(runs: usize, mut f: impl FnMut()) -> f64 {
    let once = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(|_| once(&mut f)).fold(f64::INFINITY, f64::min)
}

/// The greatest rate of operations of one thread.
fn peak() -> f64 {
    let mut count = 0;
    let seconds = quickest(200, || {
        let (sum, n) = simd::dispatch(Peak(100_000));
        black_box(sum);
        count = n;
    });
    count as f64 / seconds
}

fn filled(shape: &[usize], layout: Layout) -> Tensor {
    let len = layout.stored_len(shape).expect("small");
    let data: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1000) as f32 * 1e-3 - 0.5).collect();
    let flat = Tensor::from_slice([len], &data).expect("elements fill the shape");
    Tensor::new(DType::F32, shape.into(), layout, flat.buffer().clone(), 0).expect("the buffer holds the tensor")
}

/// The seconds of a run of `case` with channels in `layout`.
fn measure(def: &OpDef, case: &Case, layout: &Layout) -> f64 {
    let registry = Registry::new([def]).expect("one operator");
    let mut graph = Graph::default();
    let pad = (case.kernel / 2) as i64;
    let mut node = Node::new(OpKey::new("", "Conv", 11));
    node.attributes.insert("pads".into(), Attribute::Ints(vec![pad; 4]));
    node.attributes.insert("strides".into(), Attribute::Ints(vec![case.stride as i64; 2]));
    node.attributes.insert("group".into(), Attribute::Int(case.groups as i64));
    node.inputs = (0..3).map(|_| Some(graph.add_value(""))).collect();
    node.outputs = vec![Some(graph.add_value(""))];

    let x = filled(&case.input, layout.clone());
    let w = filled(&[case.output, case.input[1] / case.groups, case.kernel, case.kernel], Layout::Dense);
    let values = [x, w, filled(&[case.output], Layout::Dense)].map(Value::Tensor);
    let mut facts: Vec<Fact> = values.iter().cloned().map(Fact::constant).collect();
    facts[0].constant = None;
    let facts: Vec<Option<&Fact>> = facts.iter().map(Some).collect();
    let outputs = registry.infer(&node, &facts, &mut Default::default(), &NoSubgraphs).expect("sizes agree");
    let out: Shape = outputs[0].known_shape().expect("sizes are known");
    let def = registry.def(&node).expect("known");
    let cx = Prepare { def, node: &node, inputs: &facts, outputs: &[Some(&outputs[0])], packed: Packed::shared(), subgraphs: &NoSubgraphs };
    let prepare = def.kernels.cpu.expect("a kernel");
    let kernel = prepare(registry.load(&node).expect("loads"), &cx).expect("a kernel");

    let shapes: Vec<Option<&[usize]>> = facts.iter().map(|f| f.and_then(|f| f.constant_tensor()).map(|t| &**t.shape())).collect();
    let inputs = [Some(&case.input[..]), shapes[1], shapes[2]];
    let bytes = kernel.scratch(&Sizes { inputs: &inputs, outputs: &[Some(&out)], ints: &[] });
    let scratch = base::Buffer::zeroed(bytes).expect("memory");
    let mut slots: Vec<Slot> = values.into_iter().map(Slot::Value).collect();
    slots.push(Slot::Tensor(SlotTensor::allocate(DType::F32, out, outputs[0].layout.clone()).expect("memory")));
    let wires = Wires { inputs: vec![Some(0), Some(1), Some(2)], given: 3, outputs: vec![Some(3)], ending: 0 };
    let cancel = Cancel::new();
    quickest(60, || {
        // SAFETY: every output has a buffer of its own, and so has the scratch memory.
        let mut run = unsafe { Run::new(&mut slots, &wires, (scratch.address().cast_mut(), bytes), &cancel) };
        kernel.run(&mut run).expect("runs");
    })
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let block = if simd::isa::best() == simd::Isa::Avx512 { 16 } else { 8 };
    threads::scope(Threads::new(1), &Cancel::new(), || {
        let peak = peak();
        println!("{:?}: {:.1} GFLOP/s at most", simd::isa::best(), peak / 1e9);
        for case in CASES.iter().filter(|c| c.name.contains(&filter)) {
            let out = case.input[2].div_ceil(case.stride);
            let flop = (2 * out * out * case.output * case.input[1] / case.groups * case.kernel * case.kernel) as f64;
            for layout in [Layout::Dense, Layout::Blocked(block)] {
                let seconds = measure(&ops_nn::conv::plain::CONV, case, &layout);
                let sizes = format!("{}->{} at {}", case.input[1], case.output, case.input[2]);
                let kind = if layout == Layout::Dense { "dense" } else { "blocked" };
                println!(
                    "{:18} {sizes:20} {kind:8} {:9.1} us {:7.1} GFLOP/s {:5.1} %",
                    case.name,
                    seconds * 1e6,
                    flop / seconds / 1e9,
                    100.0 * flop / seconds / peak
                );
            }
        }
    });
}
