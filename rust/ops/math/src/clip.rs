//! Clip: elements cut to a range.

use base::{DType, Element, Result};
use half::{bf16, f16};
use ir::Fact;
use op::types::FLOATS_V1;
use op::{Attrs, CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, Run, since};

use crate::cast::{Rounding, cast};
use crate::elementwise::{Convert, Map, MapThrough, Vector, consumed_inputs, map};
use crate::types::{INPUT_OUTPUT, T_FLOATS_V1, T_NUMERIC, T_NUMERIC_V1};
