//! What an operator of one's own is written with.
//!
//! ```
//! use ort_rs::operator::{Infer, Kernels, Op, OpDef, Run, Stateless, since, types::FLOATS};
//! use ort_rs::{Result, Session};
//!
//! /// Three times its input.
//! #[derive(Clone, Debug)]
//! struct Triple;
//!
//! static TRIPLE: OpDef = OpDef {
//!     domain: "my.domain",
//!     name: "Triple",
//!     versions: &[since(1, "x:T -> y:T", &[("T", FLOATS)])],
//!     load: |_| Ok(Box::new(Triple)),
//!     kernels: Kernels::NONE.stateless::<Triple>(),
//!     ..OpDef::ONNX
//! };
//!
//! impl Op for Triple {
//!     fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
//!         cx.set(0, cx.input(0)?.clone());
//!         Ok(())
//!     }
//! }
//!
//! impl Stateless for Triple {
//!     fn run(&self, cx: &mut Run<'_>) -> Result<()> {
//!         let x = cx.input(0)?.slice::<f32>()?;
//!         let y = cx.output(0)?.slice::<f32>()?;
//!         y.iter_mut().zip(x).for_each(|(y, x)| *y = 3.0 * x);
//!         Ok(())
//!     }
//! }
//!
//! let session = Session::builder().operator(TRIPLE.clone()).from_file("examples/digits/digits.onnx")?;
//! # assert_eq!(session.outputs().len(), 1);
//! # Ok::<(), ort_rs::Error>(())
//! ```

pub use ir::{Attribute, Dim, Fact, Node};
pub use op::types;
pub use op::{
    Alias, Arity, Attrs, CpuKernel, Infer, Kernels, Mask, Op, OpDef, Part, Prepare, Prepared, Run, Since, Sizes, Stateless, deprecated,
    since,
};
