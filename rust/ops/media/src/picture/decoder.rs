//! ImageDecoder: pixels of encoded pictures.
//!
//! What is no picture, or a damaged one, gives no pixels, as the standard asks; one that is too large is an error.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use base::threads::{checkpoint, paced};
use base::{DType, Result, ensure, error};
use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageReader, Limits, RgbImage};
use ir::Dim;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

const BYTES: TypeSet = TypeSet::tensors(&[DType::U8]);

/// ImageDecoder of `ai.onnx`, for BMP, JPEG, JPEG 2000, PNG, PNM, TIFF and WebP.
pub static IMAGE_DECODER: OpDef = OpDef {
    name: "ImageDecoder",
    versions: &[since(20, "encoded_stream:T1 -> image:T2", &[("T1", BYTES), ("T2", BYTES)])],
    load: |a| {
        let formats = [PixelFormat::Rgb, PixelFormat::Bgr, PixelFormat::Grayscale];
        Ok(Box::new(ImageDecoder { format: formats[a.choice("pixel_format", &["RGB", "BGR", "Grayscale"], "RGB")?] }))
    },
    kernels: Kernels::NONE.stateless::<ImageDecoder>(),
    ..OpDef::ONNX
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PixelFormat {
    Rgb,
    Bgr,
    Grayscale,
}

#[derive(Clone, Debug)]
struct ImageDecoder {
    format: PixelFormat,
}

impl PixelFormat {
    fn channels(self) -> usize {
        if self == Self::Grayscale { 1 } else { 3 }
    }
}

/// The most pixels along an axis.
const MOST_WIDE: u32 = 1 << 16;
/// The most pixels of a picture: their decoding takes some gigabyte.
const MOST_PIXELS: u64 = 1 << 27;
/// The most memory that a decoder of the `image` crate may ask for.
const MOST_BYTES: u64 = 1 << 30;

/// Refuses pictures whose pixels would take all memory.
fn check_size(width: u32, height: u32) -> Result<()> {
    let fits = width <= MOST_WIDE && height <= MOST_WIDE && u64::from(width) * u64::from(height) <= MOST_PIXELS;
    ensure!(fits, InvalidArgument, "a picture of {width} by {height} pixels is too large");
    Ok(())
}

impl Op for ImageDecoder {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(dims) = cx.dims(0)? {
            ensure!(dims.len() == 1, InvalidGraph, "an encoded picture is a vector of bytes, not of shape {dims:?}");
        }
        let [height, width] = [cx.fresh(), cx.fresh()];
        cx.tensor(0, DType::U8, Some([height, width, Dim::from(self.format.channels())].into_iter().collect()));
        Ok(())
    }
}

/// Whether `data` is JPEG 2000: a file, or just its stream.
fn is_jpeg2000(data: &[u8]) -> bool {
    data.starts_with(b"\x00\x00\x00\x0CjP  ") || data.starts_with(b"\xFF\x4F\xFF\x51")
}

/// The bytes of a picture, with a checkpoint wherever a decoder takes some.
struct Watched<'a>(Cursor<&'a [u8]>);

impl Read for Watched<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        checkpoint();
        self.0.read(to)
    }
}

impl BufRead for Watched<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        checkpoint();
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

/// The pixels of `data`; `None` if it is no picture.
fn decode(data: &[u8]) -> Result<Option<RgbImage>> {
    if is_jpeg2000(data) {
        return jpeg2000(data);
    }
    let Ok(reader) = ImageReader::new(Watched(Cursor::new(data))).with_guessed_format() else { return Ok(None) };
    let decoder = match reader.into_decoder() {
        Ok(decoder) => decoder,
        Err(e) => return refused(&e),
    };
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let mut decoder = decoder;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    if let Err(e) = decoder.set_limits(limits) {
        return refused(&e);
    }
    match DynamicImage::from_decoder(decoder) {
        Ok(image) => Ok(Some(image.into_rgb8())),
        Err(e) => refused(&e),
    }
}

/// No pixels for what is damaged or unknown; an error for what asks for too much.
fn refused(e: &ImageError) -> Result<Option<RgbImage>> {
    match e {
        ImageError::Limits(e) => Err(error!(InvalidArgument, "the picture is too large: {e}")),
        _ => Ok(None),
    }
}

/// The pixels of a JPEG 2000 picture; `None` for one that is damaged or in a space of colours other than gray and RGB.
fn jpeg2000(data: &[u8]) -> Result<Option<RgbImage>> {
    let Ok(image) = Image::new(data, &DecodeSettings::default()) else { return Ok(None) };
    let (width, height) = (image.width(), image.height());
    check_size(width, height)?;
    let colors = match image.color_space() {
        ColorSpace::Gray => 1,
        ColorSpace::RGB => 3,
        other => usize::from(other.num_channels()),
    };
    let channels = colors + usize::from(image.has_alpha());
    let mut context = DecoderContext::default();
    let Ok(decoded) = image.decode(&mut context) else { return Ok(None) };
    let samples = decoded.data_u8();
    if channels == 0 || samples.len() / channels != width as usize * height as usize || !matches!(colors, 1 | 3) {
        return Ok(None);
    }
    let pixel = |p: &[u8]| if colors == 1 { [p[0]; 3] } else { [p[0], p[1], p[2]] };
    Ok(RgbImage::from_raw(width, height, samples.chunks_exact(channels).flat_map(pixel).collect()))
}

/// How bright a pixel is, by the weights of ITU-R 601, rounded.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    // 0.299, 0.587 and 0.114 in parts of 65536.
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 0x8000) >> 16) as u8
}

impl Stateless for ImageDecoder {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let channels = self.format.channels();
        let data = cx.input(0)?.slice::<u8>()?;
        // A decoder that panics has met a damaged picture; it must not take the run with it.
        let picture = std::panic::catch_unwind(|| decode(data)).unwrap_or(Ok(None))?;
        // What left the decoder may have been a checkpoint: the next one leaves the kernel.
        checkpoint();
        let (width, height) = picture.as_ref().map_or((0, 0), RgbImage::dimensions);
        cx.allocate(0, DType::U8, [height as usize, width as usize, channels])?;
        let out = cx.output(0)?.slice::<u8>()?;
        let Some(picture) = picture else { return Ok(()) };
        for (out, pixel) in paced(out.chunks_exact_mut(channels).zip(picture.pixels()), 2) {
            let [r, g, b] = pixel.0;
            match self.format {
                PixelFormat::Rgb => out.copy_from_slice(&[r, g, b]),
                PixelFormat::Bgr => out.copy_from_slice(&[b, g, r]),
                PixelFormat::Grayscale => out[0] = luma([r, g, b]),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, single};

    use super::*;

    /// A picture of two pixels, red and gray, as text.
    const PPM: &[u8] = b"P3\n2 1\n255\n255 0 0  10 10 10\n";

    fn decoder(format: &str) -> Single {
        single(&IMAGE_DECODER, 20).attr("pixel_format", format)
    }

    fn pixels(s: Single, data: &[u8]) -> (Vec<usize>, Vec<u8>) {
        let t = s.input([data.len()], data).tensor().unwrap();
        (t.shape().to_vec(), t.slice::<u8>().unwrap().to_vec())
    }

    #[test]
    fn pixel_formats() {
        assert_eq!(pixels(decoder("RGB"), PPM), (vec![1, 2, 3], vec![255, 0, 0, 10, 10, 10]));
        assert_eq!(pixels(decoder("BGR"), PPM), (vec![1, 2, 3], vec![0, 0, 255, 10, 10, 10]));
        assert_eq!(pixels(decoder("Grayscale"), PPM), (vec![1, 2, 1], vec![76, 10]));
        assert!(decoder("CMYK").input([PPM.len()], PPM).tensor().is_err());
    }

    #[test]
    fn what_the_image_crate_writes() {
        let picture = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8 * 50, y as u8 * 80, 7]));
        for format in [image::ImageFormat::Png, image::ImageFormat::Bmp, image::ImageFormat::Tiff, image::ImageFormat::WebP] {
            let mut data = Cursor::new(Vec::new());
            picture.write_to(&mut data, format).unwrap();
            assert_eq!(pixels(decoder("RGB"), data.get_ref()), (vec![3, 5, 3], picture.as_raw().clone()), "{format:?}");
        }
    }

    #[test]
    fn damaged_pictures_have_no_pixels() {
        for data in [
            &b""[..],
            b"hello",
            &PPM[..12],
            b"\x89PNG\r\n\x1a\n\0\0\0",
            b"\xFF\xD8\xFF\xE0",
            b"\xFF\x4F\xFF\x51\0",
            b"\x00\x00\x00\x0CjP  \r\n\x87\n",
        ] {
            assert_eq!(pixels(decoder("RGB"), data), (vec![0, 0, 3], vec![]));
        }
    }

    #[test]
    fn large_pictures_are_refused() {
        let e = |data: &[u8]| decoder("RGB").input([data.len()], data).tensor().unwrap_err();
        assert!(e(b"P6\n70000 1\n255\n").detail().contains("too large"));
        assert!(e(b"P6\n60000 60000\n255\n").detail().contains("too large"));
        assert!(decoder("RGB").input([1, 1], &[0u8]).tensor().is_err());
    }
}
