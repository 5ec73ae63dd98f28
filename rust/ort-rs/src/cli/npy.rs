//! NumPy's `.npy`: one array a file.
//!
//! Element types that NumPy lacks are stored as it stores those of `ml_dtypes`: as bytes without a meaning (`V2`), one element each. Only
//! who reads them can say what they are.

use std::io::{self, Read, Write};
use std::sync::Arc;

use base::{Buffer, DType, Layout, Result, Shape, Strides, Strings, Tensor, bail, ensure, error, packed};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read: a type, a flag and a shape do not take more.
const LONGEST_HEADER: usize = 1 << 16;

/// What the header of a file says.
struct Header {
    /// The type as NumPy writes it, such as `<f4`.
    descr: String,
    fortran: bool,
    shape: Shape,
}

/// Reads an array. `wanted` is what bytes without a meaning are taken for.
///
/// # Errors
/// `InvalidArgument` when it is no array, or one of a type that no tensor has.
pub(crate) fn read(mut from: impl Read, wanted: Option<DType>) -> Result<Tensor> {
    let header = read_header(&mut from)?;
    let len = Shape::checked_len(&header.shape).ok_or_else(|| error!(InvalidArgument, "shape {} is too large", header.shape))?;
    let (order, kind) = header.descr.split_at(usize::from(header.descr.starts_with(['<', '>', '|', '='])));
    let big = order == ">";
    if let Some(count) = kind.strip_prefix(['U', 'S']).and_then(|n| n.parse::<usize>().ok()) {
        ensure!(!header.fortran || header.shape.len() < 2, NotImplemented, "text in Fortran's order");
        let wide = kind.starts_with('U');
        let width = count.checked_mul(if wide { 4 } else { 1 });
        let data = read_data(from, width.and_then(|w| w.checked_mul(len)))?;
        return Tensor::from_strings(header.shape, text(&data, len, width.unwrap_or(0), wide, big)?);
    }
    let dtype =
        dtype_of(kind, wanted).ok_or_else(|| error!(InvalidArgument, "no tensor has elements of NumPy's type '{}'", header.descr))?;
    let width = dtype.size().unwrap_or(1);
    let mut data = read_data(from, len.checked_mul(width))?;
    if big {
        let part = if matches!(dtype, DType::C64 | DType::C128) { width / 2 } else { width };
        data.chunks_exact_mut(part).for_each(<[u8]>::reverse);
    }
    if dtype.is_packed() {
        ensure!(!header.fortran || header.shape.len() < 2, NotImplemented, "{dtype} in Fortran's order");
        return Tensor::from_bytes(dtype, header.shape, &packed::pack(dtype, &data)?);
    }
    if header.fortran {
        return from_fortran(dtype, header.shape, &data);
    }
    Tensor::from_bytes(dtype, header.shape, &data)
}

fn read_header(from: &mut impl Read) -> Result<Header> {
    let mut start = [0; 8];
    from.read_exact(&mut start).map_err(cut_short)?;
    ensure!(start.starts_with(MAGIC), InvalidArgument, "it is no .npy file");
    let length = match start[6] {
        1 => {
            let mut length = [0; 2];
            from.read_exact(&mut length).map_err(cut_short)?;
            usize::from(u16::from_le_bytes(length))
        }
        2 | 3 => {
            let mut length = [0; 4];
            from.read_exact(&mut length).map_err(cut_short)?;
            u32::from_le_bytes(length) as usize
        }
        other => bail!(NotImplemented, "version {other} of .npy files"),
    };
    ensure!(length <= LONGEST_HEADER, InvalidArgument, "the header of the .npy file has {length} bytes");
    let mut text = vec![0; length];
    from.read_exact(&mut text).map_err(cut_short)?;
    let text = String::from_utf8_lossy(&text);
    parse_header(&text).ok_or_else(|| error!(InvalidArgument, "the header of the .npy file is not understood: {}", text.trim()))
}

fn cut_short(e: io::Error) -> base::Error {
    error!(InvalidArgument, "the .npy file is cut short: {e}")
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in any order.
fn parse_header(text: &str) -> Option<Header> {
    let value = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
    let descr = value("descr")?.strip_prefix('\'')?.split_once('\'')?.0.to_owned();
    let fortran = value("fortran_order")?.starts_with("True");
    let sizes = value("shape")?.strip_prefix('(')?.split_once(')')?.0;
    let sizes = sizes.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape = sizes.map(|s| s.parse().ok()).collect::<Option<Shape>>()?;
    Some(Header { descr, fortran, shape })
}

fn read_data(from: impl Read, bytes: Option<usize>) -> Result<Vec<u8>> {
    let Some(bytes) = bytes else { bail!(InvalidArgument, "the array is too large") };
    // What a header claims is not set aside before it is there.
    let mut data = Vec::new();
    from.take(bytes as u64).read_to_end(&mut data).map_err(cut_short)?;
    ensure!(data.len() == bytes, InvalidArgument, "the .npy file has {} bytes of data, {bytes} are needed", data.len());
    Ok(data)
}

fn text(data: &[u8], len: usize, width: usize, wide: bool, big: bool) -> Result<Strings> {
    let bad = || error!(InvalidArgument, "a text of the .npy file is not Unicode");
    let one = |i: usize| -> Result<String> {
        let bytes = &data[i * width..(i + 1) * width];
        if !wide {
            let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
            return String::from_utf8(bytes[..end].to_vec()).map_err(|_| bad());
        }
        let code = |c: &[u8]| {
            let bytes = [c[0], c[1], c[2], c[3]];
            if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        let text: Option<String> = bytes.chunks_exact(4).map(|c| char::from_u32(code(c))).collect();
        Ok(text.ok_or_else(bad)?.trim_end_matches('\0').to_owned())
    };
    let strings: Result<Vec<String>> = (0..len).map(one).collect();
    Ok(strings?.iter().collect())
}

/// The element type that NumPy calls `kind`; `wanted` for bytes without a meaning that are as wide.
fn dtype_of(kind: &str, wanted: Option<DType>) -> Option<DType> {
    let plain = DType::all().find(|d| numpy_kind(*d).is_some_and(|k| k == kind));
    let raw = || wanted.filter(|d| numpy_kind(*d).is_none() && kind == format!("V{}", d.size().unwrap_or(1)));
    plain.or_else(raw)
}

/// What NumPy calls the type, if it has it.
fn numpy_kind(dtype: DType) -> Option<String> {
    let letter = match dtype {
        DType::F16 | DType::F32 | DType::F64 => 'f',
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => 'i',
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => 'u',
        DType::Bool => 'b',
        DType::C64 | DType::C128 => 'c',
        _ => return None,
    };
    Some(format!("{letter}{}", dtype.size()?))
}

/// The array whose elements lie with the first axis innermost.
fn from_fortran(dtype: DType, shape: Shape, data: &[u8]) -> Result<Tensor> {
    let mut strides = Strides::new();
    let mut step = 1isize;
    for size in shape.iter() {
        strides.push(step);
        step = step.saturating_mul(*size as isize);
    }
    let tensor = Tensor::from_bytes(dtype, [data.len() / dtype.size().unwrap_or(1)], data)?;
    let buffer: Arc<Buffer> = tensor.buffer().clone();
    Tensor::copy_of(Tensor::new(dtype, shape, Layout::Strided(strides), buffer, 0)?.as_ref())
}

/// Writes a dense tensor.
///
/// # Errors
/// `Fail` when it is not dense or not the host's; the inner error when writing fails.
pub(crate) fn write(to: &mut impl Write, tensor: &Tensor) -> Result<io::Result<()>> {
    let dtype = tensor.dtype();
    let (descr, data) = match tensor.as_ref().strings() {
        Ok(strings) => {
            let width = strings.iter().map(|s| s.chars().count()).max().unwrap_or(0).max(1);
            let wide =
                |s: &str| s.chars().map(u32::from).chain(std::iter::repeat(0)).take(width).flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
            (format!("<U{width}"), strings.iter().flat_map(wide).collect())
        }
        Err(_) if dtype.is_packed() => {
            let mut codes = vec![0; tensor.len()];
            packed::unpack(dtype, tensor.as_ref().bytes()?, 0, &mut codes)?;
            ("|V1".to_owned(), codes)
        }
        Err(_) => {
            let width = dtype.size().unwrap_or(1);
            let kind = numpy_kind(dtype).unwrap_or_else(|| format!("V{width}"));
            (format!("{}{kind}", if width == 1 { '|' } else { '<' }), tensor.as_ref().bytes()?.to_vec())
        }
    };
    Ok(to.write_all(&header(&descr, tensor.shape())).and_then(|()| to.write_all(&data)).and_then(|()| to.flush()))
}

/// The bytes before the data, which begins at a multiple of 64.
fn header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|d| format!("{d},")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let before = MAGIC.len() + 2 + 4;
    let pad = (before + text.len() + 1).next_multiple_of(64) - (before + text.len() + 1);
    text += &" ".repeat(pad);
    text.push('\n');
    [MAGIC, &[2, 0], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(tensor: &Tensor) -> Tensor {
        let mut file = Vec::new();
        write(&mut file, tensor).unwrap().unwrap();
        read(&file[..], Some(tensor.dtype())).unwrap_or_else(|e| panic!("{tensor:?}: {e}"))
    }

    #[test]
    fn every_type_is_kept() {
        for dtype in DType::all().filter(|d| *d != DType::String) {
            let bytes: Vec<u8> = (0..dtype.bytes_of(6).unwrap())
                .map(|i| if dtype == DType::Bool { i as u8 % 2 } else { (i as u8).wrapping_mul(37) })
                .collect();
            for shape in [vec![6], vec![2, 3], vec![0, 4], vec![]] {
                let count = shape.iter().product();
                let tensor = Tensor::from_bytes(dtype, shape, &bytes[..dtype.bytes_of(count).unwrap()]).unwrap();
                let back = there_and_back(&tensor);
                assert_eq!(back.shape(), tensor.shape(), "{dtype}");
                let codes = |t: &Tensor| (0..t.len()).map(|i| packed::get(dtype, t.as_ref().bytes().unwrap(), i)).collect::<Vec<_>>();
                match dtype.is_packed() {
                    true => assert_eq!(codes(&back), codes(&tensor), "{dtype}"),
                    false => assert_eq!(back.as_ref().bytes().unwrap(), tensor.as_ref().bytes().unwrap(), "{dtype}"),
                }
            }
        }
        let words = Tensor::from_strings([3], ["", "ä€", "word"].into_iter().collect()).unwrap();
        assert_eq!(there_and_back(&words).as_ref().strings().unwrap(), words.as_ref().strings().unwrap());
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn orders_of_bytes_and_axes_are_understood() {
        let big = file("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", &[0, 1, 1, 0]);
        assert_eq!(read(&big[..], None).unwrap().slice::<i16>().unwrap(), [1, 256]);
        let fortran = file("{'shape': (2, 3), 'fortran_order': True, 'descr': '|u1'}", &[1, 2, 3, 4, 5, 6]);
        assert_eq!(read(&fortran[..], None).unwrap().slice::<u8>().unwrap(), [1, 3, 5, 2, 4, 6]);
    }

    #[test]
    fn what_is_no_array_is_an_error() {
        let detail = |file: &[u8]| read(file, None).unwrap_err().detail().to_owned();
        assert!(detail(b"").contains("cut short"));
        assert!(detail(b"PK\x03\x04....").contains("no .npy file"));
        assert!(detail(&file("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", &[])).contains("'|O'"));
        assert!(detail(&file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", &[])).contains("not understood"));
        assert!(detail(&file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", &[])).contains("not understood"));
        assert!(detail(&file("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999,), }", &[0; 8])).contains("8 bytes of data"));
        let huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }";
        assert!(detail(&file(huge, &[])).contains("too large"));
        assert!(detail(&file("{'descr': '|b1', 'fortran_order': False, 'shape': (1,), }", &[7])).contains("neither 0 nor 1"));
    }
}
