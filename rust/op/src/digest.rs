//! What tells constants apart: a digest of their content.

use base::{Result, Tensor, threads};
use blake3::{Hash, Hasher};

/// Bytes that one thread hashes at a time.
const PART: usize = 1 << 20;

/// A digest of `format` and of the types, shapes and elements of `sources`, wherever they lie.
///
/// Sessions of models that do not trust each other find each other's packed weights by it, so nobody may be able to make other weights with
/// the digest of somebody's: a fast hash, even one with a secret seed, promises nothing of the kind. BLAKE3 does, and
/// reads memory several times as fast as weights are packed.
///
/// # Errors
/// `Fail` for elements that are not the host's, or when the run that asks is cancelled.
pub(crate) fn digest(sources: &[Option<&Tensor>], format: &str) -> Result<Hash> {
    let mut hasher = Hasher::new();
    // Each list begins with its length, so that no two sequences of lists are the same bytes.
    update_list(&mut hasher, format.as_bytes());
    for source in sources {
        let Some(source) = source else {
            update_list(&mut hasher, &[]);
            continue;
        };
        update_list(&mut hasher, source.dtype().to_string().as_bytes());
        number(&mut hasher, source.shape().len());
        source.shape().iter().for_each(|&d| number(&mut hasher, d));
        hasher.update(elements(source)?.as_bytes());
    }
    Ok(hasher.finalize())
}

fn number(hasher: &mut Hasher, n: usize) {
    hasher.update(&(n as u64).to_le_bytes());
}

fn update_list(hasher: &mut Hasher, bytes: &[u8]) {
    number(hasher, bytes.len());
    hasher.update(bytes);
}

/// The digest of the elements of `source` in the order of its axes: that of the digests of their parts.
fn elements(source: &Tensor) -> Result<Hash> {
    let dense;
    let bytes = if source.layout().is_dense(source.shape()) {
        source.unaligned_bytes()?
    } else {
        dense = Tensor::copy_of(source.as_ref())?;
        dense.unaligned_bytes()?
    };
    let mut parts = vec![[0; blake3::OUT_LEN]; bytes.len().div_ceil(PART)];
    threads::parallel_chunks_mut(&mut parts, 1, &|i, part| {
        part[0] = *blake3::hash(&bytes[i * PART..bytes.len().min((i + 1) * PART)]).as_bytes();
    });
    threads::check()?;
    Ok(blake3::hash(parts.as_flattened()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::{Buffer, DType, Layout};

    use super::*;

    fn of(source: &Tensor) -> Hash {
        digest(&[Some(source)], "plain").unwrap()
    }

    #[test]
    fn content_type_shape_and_format_tell_apart() {
        let t = Tensor::from_slice([2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let digests = [
            of(&t),
            of(&t.reshaped([3, 2]).unwrap()),
            of(&t.reshaped([6]).unwrap()),
            of(&Tensor::from_bytes(DType::I32, [2, 3], t.as_ref().bytes().unwrap()).unwrap()),
            of(&Tensor::from_slice([2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 7.0]).unwrap()),
            digest(&[Some(&t)], "other").unwrap(),
            digest(&[Some(&t), None], "plain").unwrap(),
            digest(&[None, Some(&t)], "plain").unwrap(),
            digest(&[Some(&t), Some(&t)], "plain").unwrap(),
        ];
        for (i, a) in digests.iter().enumerate() {
            assert!(digests[..i].iter().all(|b| a != b), "{i}");
        }
        assert_eq!(of(&t), of(&Tensor::copy_of(t.as_ref()).unwrap()));
    }

    #[test]
    fn every_part_counts() {
        let mut bytes = vec![7u8; 2 * PART + 5];
        let before = of(&Tensor::from_slice([bytes.len()], &bytes).unwrap());
        for at in [0, PART - 1, PART, 2 * PART, 2 * PART + 4] {
            bytes[at] = 8;
            assert_ne!(of(&Tensor::from_slice([bytes.len()], &bytes).unwrap()), before, "{at}");
            bytes[at] = 7;
        }
    }

    #[test]
    fn it_does_not_matter_where_elements_lie() {
        let dense = Tensor::from_slice([2, 2], &[1f32, 3.0, 2.0, 4.0]).unwrap();
        let whole = Arc::new(Buffer::copy_of(&[1f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat()).unwrap());
        let columns = Tensor::new(DType::F32, [2, 2].into(), Layout::Strided([1, 2].into_iter().collect()), whole, 0).unwrap();
        assert_eq!(of(&columns), of(&dense));
        let odd: Vec<u8> = std::iter::once(0).chain(dense.as_ref().bytes().unwrap().iter().copied()).collect();
        let stored = Arc::new(Buffer::stored(Arc::new(Buffer::copy_of(&odd).unwrap()), 1..17).unwrap());
        assert_eq!(of(&Tensor::new(DType::F32, [2, 2].into(), Layout::Dense, stored, 0).unwrap()), of(&dense));
    }

    #[test]
    fn a_cancelled_run_has_no_digest() {
        let cancel = threads::Cancel::new();
        cancel.cancel();
        let t = Tensor::zeros(DType::F32, [4]).unwrap();
        assert!(threads::under(&cancel, || digest(&[Some(&t)], "plain")).is_err());
    }
}
