//! Operators on regions and grids of images.

pub mod affine_grid;
pub mod crop_and_resize;
pub mod grid_sample;
pub mod max_roi_pool;
pub mod non_max_suppression;
pub mod roi_align;
