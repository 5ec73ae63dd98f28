//! Operators that move and shape data.

pub mod center_crop_pad;
pub mod compress;
pub mod concat;
pub mod constant;
pub mod constant_of_shape;
pub mod depth_to_space;
mod dispatch;
pub mod expand;
pub mod eye_like;
mod facts;
pub mod flatten;
pub mod gather;
pub mod gather_elements;
pub mod gather_nd;
pub mod identity;
mod indices;
mod ints;
mod movement;
pub mod nonzero;
pub mod one_hot;
mod order;
pub mod pad;
mod part;
pub mod range;
mod relabel;
pub mod reshape;
pub mod reverse_sequence;
pub mod scatter;
mod scratch;
pub mod shape;
pub mod size;
pub mod slice;
pub mod space_to_depth;
pub mod split;
pub mod squeeze;
pub mod tensor_scatter;
pub mod tile;
pub mod topk;
pub mod transpose;
pub mod trilu;
pub mod unique;
pub mod unsqueeze;
pub mod r#where;

#[cfg(test)]
mod memory_tests;

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[
    &center_crop_pad::CENTER_CROP_PAD,
    &compress::COMPRESS,
    &concat::CONCAT,
    &constant::CONSTANT,
    &constant_of_shape::CONSTANT_OF_SHAPE,
    &depth_to_space::DEPTH_TO_SPACE,
    &expand::EXPAND,
    &eye_like::EYE_LIKE,
    &flatten::FLATTEN,
    &gather::GATHER,
    &gather_elements::GATHER_ELEMENTS,
    &gather_nd::GATHER_ND,
    &identity::IDENTITY,
    &nonzero::NON_ZERO,
    &one_hot::ONE_HOT,
    &pad::PAD,
    &range::RANGE,
    &reshape::RESHAPE,
    &reverse_sequence::REVERSE_SEQUENCE,
    &scatter::elements::SCATTER,
    &scatter::elements::SCATTER_ELEMENTS,
    &scatter::nd::SCATTER_ND,
    &shape::SHAPE,
    &size::SIZE,
    &slice::SLICE,
    &space_to_depth::SPACE_TO_DEPTH,
    &split::SPLIT,
    &squeeze::SQUEEZE,
    &tensor_scatter::TENSOR_SCATTER,
    &tile::TILE,
    &topk::TOP_K,
    &transpose::TRANSPOSE,
    &trilu::TRILU,
    &unique::UNIQUE,
    &unsqueeze::UNSQUEEZE,
    &r#where::WHERE,
];
