//! Models written to files, with large weights in a file of their own if the caller likes.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{DType, Error, ErrorKind, Result, ensure, error};

use crate::external::check_relative;
use crate::graph::GraphProto;
use crate::message::Message;
use crate::model::{ModelProto, StringStringEntryProto};
use crate::tensor::{DataLocation, TensorProto};
use crate::tensor_data::TensorData;
use crate::wire::Sink;

/// Alignment of weights in a file of their own: fits every element type and cache line.
const ALIGNMENT: u64 = 64;
/// Alignment of weights of at least [`LARGE`] bytes: a page, so that they can be mapped by themselves.
const PAGE: u64 = 4096;
const LARGE: usize = 1 << 20;
/// The bytes of the longest message that readers of protobuf take.
const LONGEST: u64 = i32::MAX as u64;

/// Where [`write_model`] puts the weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExternalPolicy {
    /// All in the model file, which protobuf then keeps below 2 GiB.
    #[default]
    Inline,
    /// Initializers of at least `threshold` bytes go to the file `name` beside the model. Strings and sparse tensors stay.
    File {
        /// Path relative to the model's folder, without `..`.
        name: String,
        /// Bytes from which on an initializer leaves the model file.
        threshold: usize,
    },
}

/// Writes `model` to `path`, its weights as `policy` says. Initializers with external data stay references, unread.
///
/// Data is streamed, and the files appear under their names only when they are complete: a model may be written over the file that
/// it is still borrowed from.
///
/// # Errors
/// `InvalidArgument` for a name that leads out of the model's folder or is the model's own; `Fail` if a file cannot be written, an
/// initializer is no valid tensor, or what stays in the model file is longer than protobuf allows.
pub fn write_model(mut model: ModelProto<'_>, path: &Path, policy: &ExternalPolicy) -> Result<()> {
    let mut weights = None;
    if let (ExternalPolicy::File { name, threshold }, Some(graph)) = (policy, &mut model.graph) {
        let beside = beside(path, name)?;
        externalize(graph, &mut |tensor| {
            if !leaves(tensor, *threshold)? {
                return Ok(());
            }
            let file = match &mut weights {
                Some(file) => file,
                None => weights.insert(FileSink::create(&beside)?),
            };
            move_data(tensor, name, file)
        })?;
    }
    let stays = model.fields_size();
    ensure!(
        stays <= LONGEST,
        Fail,
        "cannot write '{}': the model file would have {stays} bytes, but protobuf allows {LONGEST}; more initializers must go to a file of \
         their own",
        path.display()
    );
    let mut file = FileSink::create(path)?;
    model.write_fields(&mut file);
    let file = file.complete()?;
    if let Some(weights) = weights {
        weights.complete()?.publish()?;
    }
    file.publish()
}

/// Writes `bytes` to `path`; the file appears under its name only when it is complete.
///
/// # Errors
/// `Fail` if the file cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = FileSink::create(path)?;
    file.put(bytes);
    file.complete()?.publish()
}

/// The path of the file `name` in the folder of the model at `path`.
fn beside(path: &Path, name: &str) -> Result<PathBuf> {
    check_relative(name).map_err(|what| error!(InvalidArgument, "file of external initializers '{name}' {what}"))?;
    let inside = Path::new(name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    ensure!(inside, InvalidArgument, "file of external initializers '{name}' leads out of the model folder");
    let file = path.parent().unwrap_or(Path::new("")).join(name);
    ensure!(file != path, InvalidArgument, "file of external initializers '{name}' is the model file itself");
    Ok(file)
}

/// Hands each initializer of `graph` and of the graphs within it to `visit`.
fn externalize<'a>(graph: &mut GraphProto<'a>, visit: &mut dyn FnMut(&mut TensorProto<'a>) -> Result<()>) -> Result<()> {
    graph.initializer.iter_mut().try_for_each(&mut *visit)?;
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        for nested in attribute.g.as_deref_mut().into_iter().chain(&mut attribute.graphs) {
            externalize(nested, visit)?;
        }
    }
    Ok(())
}

/// Whether the data of `tensor` is to leave the model file.
fn leaves(tensor: &TensorProto<'_>, threshold: usize) -> Result<bool> {
    let fixed = tensor.location()? == DataLocation::Default && tensor.dtype()? != DType::String;
    Ok(fixed && tensor.byte_size()?.checked_sub(threshold).is_some())
}

/// Moves the data of `tensor` to the end of `file`, which the model knows as `name`.
fn move_data<'a>(tensor: &mut TensorProto<'a>, name: &str, file: &mut FileSink) -> Result<()> {
    let (offset, length) = match tensor.data()? {
        TensorData::Bytes(bytes) => {
            file.align(if bytes.len() >= LARGE { PAGE } else { ALIGNMENT });
            let offset = file.written;
            file.put(&bytes);
            (offset, bytes.len())
        }
        TensorData::Strings(_) | TensorData::External(_) => return Ok(()),
    };
    tensor.refer_to(name.to_owned(), offset, length as u64);
    Ok(())
}

impl TensorProto<'_> {
    /// Lets the data lie in a file of its own: `length` bytes from `offset` on of the file at `location`.
    pub fn refer_to(&mut self, location: String, offset: u64, length: u64) {
        *self = TensorProto {
            external_data: vec![
                StringStringEntryProto::new("location", location),
                StringStringEntryProto::new("offset", offset.to_string()),
                StringStringEntryProto::new("length", length.to_string()),
            ],
            data_location: Some(DataLocation::External as i32),
            dims: std::mem::take(&mut self.dims),
            data_type: self.data_type,
            name: std::mem::take(&mut self.name),
            doc_string: std::mem::take(&mut self.doc_string),
            metadata_props: std::mem::take(&mut self.metadata_props),
            ..Default::default()
        };
    }
}

/// A file being written under another name, which is removed unless the file is published.
struct FileSink {
    path: PathBuf,
    /// `None` if `path` is no regular file (a pipe, a device), which is written as it is.
    temporary: Option<PathBuf>,
    out: BufWriter<File>,
    written: u64,
    failure: Option<io::Error>,
}

/// A file that is complete, but not yet under its name.
struct Complete(FileSink);

impl FileSink {
    fn create(path: &Path) -> Result<Self> {
        // Through a link, so that the link stays one.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let fail = |e| cannot_write(&path, &e);
        if path.metadata().is_ok_and(|m| !m.is_file()) {
            let out = OpenOptions::new().write(true).open(&path).map_err(fail)?;
            return Ok(Self::new(path, None, out));
        }
        let temporary = temporary_name(&path)?;
        let out = OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(fail)?;
        Ok(Self::new(path, Some(temporary), out))
    }

    fn new(path: PathBuf, temporary: Option<PathBuf>, out: File) -> Self {
        Self { path, temporary, out: BufWriter::with_capacity(1 << 16, out), written: 0, failure: None }
    }

    /// Pads with zeros up to a multiple of `alignment`.
    fn align(&mut self, alignment: u64) {
        let padding = self.written.next_multiple_of(alignment) - self.written;
        self.put(&[0; PAGE as usize][..padding as usize]);
    }

    /// Ends writing, and reports what failed meanwhile.
    fn complete(mut self) -> Result<Complete> {
        let flushed = match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.out.flush(),
        };
        flushed.map_err(|e| cannot_write(&self.path, &e))?;
        Ok(Complete(self))
    }
}

impl Complete {
    /// Puts the file under its name.
    fn publish(mut self) -> Result<()> {
        if let Some(temporary) = &self.0.temporary {
            std::fs::rename(temporary, &self.0.path).map_err(|e| cannot_write(&self.0.path, &e))?;
        }
        self.0.temporary = None;
        Ok(())
    }
}

impl Sink for FileSink {
    fn put(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.out.write_all(bytes).err();
            self.written += bytes.len() as u64;
        }
    }
}

impl Drop for FileSink {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // The failure that led here is reported already, and a file left over harms nobody.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

/// `InvalidArgument` where there is no such folder, else `Fail`.
fn cannot_write(path: &Path, e: &io::Error) -> Error {
    let kind = if e.kind() == io::ErrorKind::NotFound { ErrorKind::InvalidArgument } else { ErrorKind::Fail };
    Error::new(kind, format!("cannot write '{}': {e}", path.display()))
}

/// A name beside `path` that no other writer uses.
fn temporary_name(path: &Path) -> Result<PathBuf> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = path.file_name().ok_or_else(|| error!(Fail, "cannot write '{}': it names no file", path.display()))?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(path.with_file_name(format!(".{}.{}.{count}.tmp", name.to_string_lossy(), std::process::id())))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fs;

    use super::*;
    use crate::{AttributeProto, ModelFolder, NodeProto};

    fn bytes(name: &'static str, len: usize) -> TensorProto<'static> {
        let data = (0..len).map(|i| i as u8).collect();
        TensorProto {
            name: name.into(),
            data_type: Some(2),
            dims: vec![len as i64],
            raw_data: Some(Cow::Owned(data)),
            doc_string: "kept".into(),
            ..Default::default()
        }
    }

    /// Initializers `small`, `edge`, `big` and `text`, and `inner` in a graph of a node.
    fn model() -> ModelProto<'static> {
        let inner = GraphProto { initializer: vec![bytes("inner", 33)], ..Default::default() };
        let branch = AttributeProto { name: "body".into(), g: Some(Box::new(inner)), ..Default::default() };
        let text = TensorProto {
            name: "text".into(),
            data_type: Some(8),
            dims: vec![1],
            string_data: vec![Cow::Owned(vec![b'x'; 99])],
            ..Default::default()
        };
        let typed = TensorProto { raw_data: None, int32_data: (0..40).collect::<Vec<_>>().into(), ..bytes("edge", 40) };
        let graph = GraphProto {
            node: vec![NodeProto { attribute: vec![branch], ..Default::default() }],
            initializer: vec![bytes("small", 31), typed, bytes("big", LARGE), text],
            ..Default::default()
        };
        ModelProto { ir_version: Some(10), graph: Some(Box::new(graph)), ..Default::default() }
    }

    fn to_file(name: &str, threshold: usize) -> ExternalPolicy {
        ExternalPolicy::File { name: name.into(), threshold }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn inline_models_are_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        write_model(model(), &path, &ExternalPolicy::Inline).unwrap();
        assert_eq!(fs::read(&path).unwrap(), model().encode());
        assert_eq!(names(folder.path()), ["m.onnx"]);
    }

    #[test]
    fn models_longer_than_protobuf_allows_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        // A hole in a file takes no room on the disk, and a mapping of it none in memory.
        let hole = folder.path().join("hole");
        fs::File::create(&hole).unwrap().set_len(LONGEST).unwrap();
        let mapped = base::file::open(&hole, true).unwrap();
        let zeros = TensorProto { raw_data: Some(Cow::Borrowed(mapped.bytes().unwrap())), dims: vec![LONGEST as i64], ..bytes("w", 0) };
        let graph = GraphProto { initializer: vec![zeros], ..Default::default() };
        let long = ModelProto { graph: Some(Box::new(graph)), ..Default::default() };
        let e = write_model(long, &folder.path().join("m.onnx"), &ExternalPolicy::Inline).unwrap_err();
        assert!(e.message().contains("protobuf allows 2147483647; more initializers must go to a file of their own"), "{e}");
        assert_eq!(names(folder.path()), ["hole"]);
    }

    #[test]
    fn large_initializers_leave_aligned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        write_model(model(), &path, &to_file("w.bin", 33)).unwrap();
        assert_eq!(names(folder.path()), ["m.onnx", "w.bin"]);
        let written = fs::read(&path).unwrap();
        let read = ModelProto::decode(&written).unwrap();
        let (graph, original) = (read.graph.unwrap(), model().graph.unwrap());
        assert_eq!(graph.initializer[0], original.initializer[0]);
        assert_eq!(graph.initializer[3], original.initializer[3]);
        let inner = |g: &GraphProto<'static>| g.node[0].attribute[0].g.clone().unwrap().initializer[0].clone();
        let moved = graph.initializer[1..3].iter().chain(&graph.node[0].attribute[0].g.as_ref().unwrap().initializer);
        let expected = [original.initializer[1].clone(), original.initializer[2].clone(), inner(&original)];
        let weights = fs::read(folder.path().join("w.bin")).unwrap();
        let place = ModelFolder::of_model(&path).unwrap();
        for ((moved, expected), alignment) in moved.zip(&expected).zip([ALIGNMENT, PAGE, ALIGNMENT]) {
            assert_eq!((&moved.name, &moved.dims, &*moved.doc_string), (&expected.name, &expected.dims, "kept"));
            let range = place.locate(moved).unwrap();
            assert_eq!(range.offset % alignment, 0);
            let (start, end) = (range.offset as usize, (range.offset + range.length) as usize);
            assert_eq!(TensorData::Bytes(Cow::Borrowed(&weights[start..end])), expected.data().unwrap());
        }
    }

    #[test]
    fn no_file_appears_without_weights_for_it() {
        let folder = tempfile::tempdir().unwrap();
        write_model(model(), &folder.path().join("m.onnx"), &to_file("w.bin", LARGE + 1)).unwrap();
        assert_eq!(names(folder.path()), ["m.onnx"]);
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        for name in ["", "/w.bin", "../w.bin", "a/../../w.bin", "m.onnx", "C:w.bin", "."] {
            let error = write_model(model(), &path, &to_file(name, 0)).unwrap_err();
            assert_eq!(error.kind(), base::ErrorKind::InvalidArgument, "{name}");
        }
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        fs::write(&path, "old").unwrap();
        let mut broken = model();
        broken.graph.as_mut().unwrap().initializer[2].dims = vec![7, LARGE as i64];
        assert!(write_model(broken, &path, &to_file("w.bin", 0)).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["m.onnx"]);
        assert!(write_model(model(), &folder.path().join("none/m.onnx"), &ExternalPolicy::Inline).is_err());
        assert!(write_model(model(), folder.path(), &ExternalPolicy::Inline).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.onnx"), folder.path().join("m.onnx"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write_model(model(), &link, &ExternalPolicy::Inline).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&real).unwrap(), model().encode());
        write_model(model(), Path::new("/dev/null"), &ExternalPolicy::Inline).unwrap();
    }
}
