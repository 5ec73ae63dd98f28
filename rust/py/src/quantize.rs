//! What ONNX Runtime's tools of quantization call: weights in blocks of few bits, written into arrays of the caller.

use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use ort_rs::runtime::blocks::{Blocks, Quantized, Weight, bnb4, columns, fp4, rows};
use ort_rs::{DType, Tensor};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::array::Header;
use crate::error::{Result, runtime_error};
use crate::{dtype, feed, fetch};

/// Writes `elements` over those of `array`, which is plain, writable, of the same type, and not shorter.
fn write<T: Weight>(array: &Bound<'_, PyUntypedArray>, elements: &[T], what: &str) -> Result<()> {
    write_bytes(array, T::DTYPE, elements.len(), elements.as_ptr().cast(), what)
}

fn write_levels(array: &Bound<'_, PyUntypedArray>, bytes: &[u8], what: &str) -> Result<()> {
    write_bytes(array, DType::U8, bytes.len(), bytes.as_ptr(), what)
}

fn write_bytes(array: &Bound<'_, PyUntypedArray>, dtype: DType, len: usize, from: *const u8, what: &str) -> Result<()> {
    let header = Header::of(array);
    if dtype::of_type_num(array.py(), header.type_num)? != dtype || !header.plain || !header.writable {
        return Err(PyTypeError::new_err(format!("{what} must be a dense array of {} that can be written to", dtype.name())).into());
    }
    if array.len() < len {
        return Err(PyValueError::new_err(format!("{what} has {} elements, and {len} are needed", array.len())).into());
    }
    // SAFETY: the array is dense, writable, and holds at least `len` elements of the type, which `from` holds as well, in memory of ours.
    unsafe { std::ptr::copy_nonoverlapping(from, header.data.cast_mut(), len * dtype.size().unwrap_or(1)) };
    Ok(())
}

/// The elements of an array of `float32` or `float16`; others are converted to the type of `like`.
fn weights(array: &Bound<'_, PyAny>, like: &Bound<'_, PyUntypedArray>) -> Result<Tensor> {
    let array = array.call_method1("astype", (like.dtype(),))?;
    let array = array.cast::<PyUntypedArray>()?;
    feed::tensor_of_type(array, dtype::of_type_num(array.py(), Header::of(array).type_num)?)
}

/// How blocks are quantized: one column after the other, or where the weights lie.
type Quantize<T> = fn(&Blocks, &[T]) -> ort_rs::Result<Quantized<T>>;

/// The arrays that a call is given, in its order.
struct Arrays<'a, 'py> {
    dst: &'a Bound<'py, PyUntypedArray>,
    src: &'a Bound<'py, PyAny>,
    scale: &'a Bound<'py, PyUntypedArray>,
    zero_points: &'a Bound<'py, PyUntypedArray>,
}

impl Arrays<'_, '_> {
    fn quantize(&self, blocks: Blocks, narrow: Quantize<half::f16>, wide: Quantize<f32>) -> Result<()> {
        let source = weights(self.src, self.scale)?;
        match source.dtype() {
            DType::F32 => self.fill(&blocks, source.slice()?, wide),
            DType::F16 => self.fill(&blocks, source.slice()?, narrow),
            other => Err(PyTypeError::new_err(format!("weights and scales must be float32 or float16, not {other}")).into()),
        }
    }

    fn fill<T: Weight>(&self, blocks: &Blocks, weights: &[T], quantize: Quantize<T>) -> Result<()> {
        let quantized = quantize(blocks, weights).map_err(|e| runtime_error(e.to_string()))?;
        write_levels(self.dst, &quantized.levels, "dst")?;
        write(self.scale, &quantized.scales, "scale")?;
        quantized.zero_points.map_or(Ok(()), |zeros| write_levels(self.zero_points, &zeros, "zero_points"))
    }
}

macro_rules! quantizers {
    ($($(#[$doc:meta])* $name:ident($bits:literal, $way:ident) -> $result:ty { $answer:expr })*) => {
        $($(#[$doc])*
        #[pyfunction]
        #[allow(clippy::too_many_arguments)] // Those of ONNX Runtime.
        pub(crate) fn $name(
            dst: &Bound<'_, PyUntypedArray>,
            src: &Bound<'_, PyAny>,
            scale: &Bound<'_, PyUntypedArray>,
            zero_points: &Bound<'_, PyUntypedArray>,
            block_size: usize,
            columns: usize,
            rows: usize,
            is_symmetric: bool,
        ) -> Result<$result> {
            let blocks = Blocks { rows, columns, size: block_size, bits: $bits, symmetric: is_symmetric };
            Arrays { dst, src, scale, zero_points }.quantize(blocks, $way::quantize, $way::quantize)?;
            let answer: fn(bool) -> $result = $answer;
            Ok(answer(is_symmetric))
        })*
    };
}

quantizers! {
    /// Quantizes the matrix `src` to 2 bits in blocks of `block_size` rows: `dst` as MatMulNBits has its weights, a scale and, unless
    /// `is_symmetric`, a zero point for each block.
    quantize_matmul_2bits(2, columns) -> () { |_| () }
    /// As `quantize_matmul_2bits`, to 4 bits.
    quantize_matmul_4bits(4, columns) -> () { |_| () }
    /// As `quantize_matmul_2bits`, to 8 bits.
    quantize_matmul_8bits(8, columns) -> () { |_| () }
    /// Quantizes the matrix `src` to 2 bits in blocks of `block_size` rows: `dst` as DequantizeLinear has its weights. Tells whether they
    /// are signed, which symmetric ones are.
    quantize_qdq_matmul_2bits(2, rows) -> bool { |symmetric| symmetric }
    /// As `quantize_qdq_matmul_2bits`, to 4 bits.
    quantize_qdq_matmul_4bits(4, rows) -> bool { |symmetric| symmetric }
}

/// Quantizes the numbers `src` to codes of 4 bits in blocks of `block_size`: those of MatMulBnb4, FP4 for a `quant_type` of 0 and NF4 for
/// 1. `absmax` takes the largest size of each block.
#[pyfunction]
#[pyo3(signature = (dst, src, absmax, block_size, quant_type, n, k))]
pub(crate) fn quantize_matmul_bnb4(
    dst: &Bound<'_, PyUntypedArray>,
    src: &Bound<'_, PyAny>,
    absmax: &Bound<'_, PyUntypedArray>,
    block_size: usize,
    quant_type: i64,
    n: usize,
    k: usize,
) -> Result<()> {
    let source = weights(src, absmax)?;
    if n.checked_mul(k) != Some(source.len()) {
        return Err(PyValueError::new_err(format!("{} weights are not {n}x{k}", source.len())).into());
    }
    let table = bnb4::Table::numbered(quant_type).map_err(|e| runtime_error(e.to_string()))?;
    let failed = |e: ort_rs::Error| runtime_error(e.to_string());
    match source.dtype() {
        DType::F32 => {
            let (codes, largest) = bnb4::quantize::<f32>(table, block_size, source.slice()?).map_err(failed)?;
            write_levels(dst, &codes, "dst").and_then(|()| write(absmax, &largest, "absmax"))
        }
        DType::F16 => {
            let (codes, largest) = bnb4::quantize::<half::f16>(table, block_size, source.slice()?).map_err(failed)?;
            write_levels(dst, &codes, "dst").and_then(|()| write(absmax, &largest, "absmax"))
        }
        other => Err(PyTypeError::new_err(format!("weights must be float32 or float16, not {other}")).into()),
    }
}

/// Packs numbers of 4 bits, `[N, K / 2]` bytes, along the columns: `K * N / 2` bytes, as CUDA kernels of experts take them.
///
/// Raises `ValueError` for odd sizes and other shapes.
#[pyfunction]
#[pyo3(signature = (q_weights, N, K), text_signature = "(q_weights, N, K)")]
#[allow(non_snake_case)] // The names of ONNX Runtime's arguments.
pub(crate) fn pack_fp4_weights_for_cuda_moe_gemm<'py>(q_weights: &Bound<'py, PyAny>, N: usize, K: usize) -> Result<Bound<'py, PyAny>> {
    let py = q_weights.py();
    let array = q_weights.call_method1("astype", ("uint8",))?;
    let array = array.cast::<PyUntypedArray>()?;
    if N.is_multiple_of(2) && K.is_multiple_of(2) && array.shape() != [N, K / 2] {
        return Err(PyValueError::new_err("q_weights must have shape (N, K / 2)").into());
    }
    let weights = feed::tensor_of_type(array, DType::U8)?;
    let packed = fp4::transpose(weights.slice()?, N, K).map_err(|e| PyValueError::new_err(e.message().to_owned()))?;
    fetch::object(py, Tensor::from_vec([packed.len()], packed)?.into())
}
