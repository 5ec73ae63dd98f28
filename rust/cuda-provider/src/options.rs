//! The options of the provider, named and understood as ONNX Runtime's.

use std::str::FromStr;

use base::{Result, bail, error};
use cuda::Extend;

/// What a provider is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CudaOptions {
    /// `device_id`: the number of the device.
    pub device_id: u16,
    /// `gpu_mem_limit`: the most bytes of the device that a session takes.
    pub gpu_mem_limit: usize,
    /// `arena_extend_strategy`: `kNextPowerOfTwo` or `kSameAsRequested`.
    pub extend: Extend,
    /// `user_compute_stream`: the address of a stream of the caller, on which everything is done.
    pub user_compute_stream: Option<usize>,
    /// `use_tf32`: whether products of f32 may round their factors to TF32, where cuBLASLt computes them.
    pub use_tf32: bool,
    /// `use_cublas`: whether cuBLASLt computes products where it is installed. An option of this provider alone.
    pub use_cublas: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self {
            device_id: 0,
            gpu_mem_limit: usize::MAX,
            extend: Extend::default(),
            user_compute_stream: None,
            use_tf32: false,
            use_cublas: true,
        }
    }
}

/// Options of ONNX Runtime that choose among libraries or ways of it that are not here; they are taken and change nothing.
const WITHOUT_MEANING: &[&str] = &[
    "cudnn_conv_algo_search",
    "cudnn_conv1d_pad_to_nc1d",
    "cudnn_conv_use_max_workspace",
    "do_copy_in_default_stream",
    "enable_cuda_graph",
    "enable_skip_layer_norm_strict_mode",
    "fuse_conv_bias",
    "gpu_external_alloc",
    "gpu_external_empty_cache",
    "gpu_external_free",
    "prefer_nhwc",
    "sdpa_kernel",
    "tunable_op_enable",
    "tunable_op_max_tuning_duration_ms",
    "tunable_op_tuning_enable",
    "use_ep_level_unified_stream",
];

impl CudaOptions {
    /// Reads options by name.
    ///
    /// # Errors
    /// `InvalidArgument` for a name or a value that there is not.
    pub fn parse(options: &[(String, String)]) -> Result<Self> {
        let mut read = Self::default();
        let mut has_stream = None;
        for (name, value) in options {
            match name.as_str() {
                "device_id" => read.device_id = number(name, value)?,
                "gpu_mem_limit" => read.gpu_mem_limit = number(name, value)?,
                "arena_extend_strategy" => {
                    read.extend = match value.as_str() {
                        "kNextPowerOfTwo" => Extend::NextPowerOfTwo,
                        "kSameAsRequested" => Extend::SameAsRequested,
                        _ => bail!(InvalidArgument, "arena_extend_strategy is '{value}', not kNextPowerOfTwo or kSameAsRequested"),
                    }
                }
                "user_compute_stream" => read.user_compute_stream = Some(number(name, value)?),
                "has_user_compute_stream" => has_stream = Some(is_true(value)),
                "use_tf32" => read.use_tf32 = is_true(value),
                "use_cublas" => read.use_cublas = is_true(value),
                _ if WITHOUT_MEANING.contains(&name.as_str()) => {}
                _ => bail!(InvalidArgument, "Unknown provider option: \"{name}\"."),
            }
        }
        // A stream at 0 says nothing by itself: it is what ONNX Runtime gives back where there is none.
        if has_stream == Some(false) || (has_stream.is_none() && read.user_compute_stream == Some(0)) {
            read.user_compute_stream = None;
        }
        Ok(read)
    }
}

fn is_true(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value
        .trim()
        .parse()
        .map_err(|_| error!(InvalidArgument, "Failed to parse provider option \"{name}\": '{value}' is no number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<CudaOptions> {
        CudaOptions::parse(&options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_those_of_onnx_runtime() {
        let o = parse(&[("device_id", "1"), ("gpu_mem_limit", "1024"), ("arena_extend_strategy", "kSameAsRequested"), ("use_tf32", "0")]);
        let expected = CudaOptions { device_id: 1, gpu_mem_limit: 1024, extend: Extend::SameAsRequested, ..CudaOptions::default() };
        assert_eq!(o.unwrap(), expected);
        assert!(parse(&[("use_tf32", "1")]).unwrap().use_tf32);
        assert_eq!([parse(&[]), parse(&[("use_cublas", "0")])].map(|o| o.unwrap().use_cublas), [true, false]);
        assert_eq!(parse(&[("user_compute_stream", "4096")]).unwrap().user_compute_stream, Some(4096));
        assert_eq!(parse(&[("user_compute_stream", "0")]).unwrap().user_compute_stream, None);
        assert_eq!(parse(&[("user_compute_stream", "0"), ("has_user_compute_stream", "1")]).unwrap().user_compute_stream, Some(0));
    }

    #[test]
    fn others_are_named() {
        for bad in [("device", "0"), ("device_id", "-1"), ("gpu_mem_limit", "much"), ("arena_extend_strategy", "kNever")] {
            assert!(parse(&[bad]).unwrap_err().detail().contains(bad.0), "{bad:?}");
        }
    }
}
