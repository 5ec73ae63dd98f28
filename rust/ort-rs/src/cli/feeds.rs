//! What a run is fed: values from files, others at random.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use base::{DType, Result, Strings, Tensor, Type, Value, bail, ensure, error};
use fastrand::Rng;
use proto::{Message, TensorData, TensorProto};

use super::arguments::{self, FeedArguments};
use super::npz::Npz;
use super::{npy, random};
use crate::{Inputs, Port, PortDim, Session};

/// A value for each input of `session`: what `arguments` name, the rest at random.
pub(crate) fn feeds<'s>(session: &'s Session, arguments: &FeedArguments) -> Result<Inputs<'s>> {
    let mut given: Vec<Option<Tensor>> = vec![None; session.inputs().len() + session.overridable_initializers().len()];
    let ports: Vec<&Port> = session.inputs().iter().chain(session.overridable_initializers()).collect();
    let place = |name: &str| {
        let found = ports.iter().position(|p| p.name == name);
        let names = || ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| error!(InvalidArgument, "the model has no input '{name}', only {}", names()))
    };
    for text in &arguments.input {
        let (name, path) = arguments::input(text)?;
        let in_file = |e: base::Error| error!(InvalidArgument, "{}: {}", path.display(), e.detail()).with_kind(e.kind());
        match name {
            Some(name) => {
                let place = place(name)?;
                given[place] = Some(one(&path, ports[place]).map_err(in_file)?);
            }
            None => several(&path, &ports, &mut given).map_err(in_file)?,
        }
    }
    for (name, _) in &arguments.shape {
        ensure!(given[place(name)?].is_none(), InvalidArgument, "--shape {name}: the value of that input comes from a file");
    }
    let mut rng = Rng::with_seed(arguments.seed);
    let mut inputs = Inputs::new();
    for (i, port) in ports.iter().enumerate() {
        let shape = arguments.shape.iter().find(|(name, _)| *name == port.name).map(|(_, shape)| shape);
        let value = match given[i].take() {
            Some(tensor) => tensor,
            None if i >= session.inputs().len() && shape.is_none() => continue,
            None => at_random(&mut rng, port, shape)?,
        };
        inputs = inputs.with(&port.name, value);
    }
    Ok(inputs)
}

/// A value at random for each of `ports`; dimensions that may have any size have 1.
///
/// # Errors
/// `NotImplemented` for what is no tensor, `InvalidArgument` for a tensor of unknown rank.
pub fn random(ports: &[Port]) -> Result<Vec<(&str, Value)>> {
    let mut rng = Rng::with_seed(0);
    ports.iter().map(|port| Ok((port.name.as_str(), at_random(&mut rng, port, None)?.into()))).collect()
}

fn at_random(rng: &mut Rng, port: &Port, shape: Option<&Vec<usize>>) -> Result<Tensor> {
    let name = &port.name;
    let Type::Tensor(dtype) = port.ty else {
        bail!(NotImplemented, "input '{name}' is {}, which is not made at random", port.ty);
    };
    let size = |d: &PortDim| match d {
        PortDim::Known(n) => usize::try_from(*n).map_err(|_| error!(InvalidGraph, "input '{name}' has a dimension of {n}")),
        PortDim::Named(_) | PortDim::Unknown => Ok(1),
    };
    let shape = match (shape, &port.shape) {
        (Some(shape), _) => shape.clone(),
        (None, Some(dims)) => dims.iter().map(size).collect::<Result<_>>()?,
        (None, None) => bail!(InvalidArgument, "the model does not say which shape input '{name}' has: say --shape {name}=2x3"),
    };
    random::tensor(rng, dtype, &shape)
}

/// Opens a file.
pub(crate) fn open(path: &Path) -> Result<File> {
    let kind = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    File::open(path).map_err(|e| {
        if kind(&e) {
            error!(NoSuchFile, "there is no file {}", path.display())
        } else {
            error!(Fail, "cannot open {}: {e}", path.display())
        }
    })
}

/// What the name of a file says that it holds.
enum Format {
    Npy,
    Npz,
    Proto,
}

fn format(path: &Path) -> Result<Format> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => Ok(Format::Npy),
        Some("npz") => Ok(Format::Npz),
        Some("pb") => Ok(Format::Proto),
        _ => bail!(InvalidArgument, "an input comes from a file that ends in .npy, .npz or .pb"),
    }
}

/// The value for `port` in the file at `path`; of an `.npz` file the array of that name, or the only one.
fn one(path: &Path, port: &Port) -> Result<Tensor> {
    let wanted = dtype(port);
    match format(path)? {
        Format::Npy => npy::read(BufReader::new(open(path)?), wanted),
        Format::Proto => Ok(read_proto(path)?.1),
        Format::Npz => {
            let mut file = Npz::open(path)?;
            let name = match &file.names[..] {
                [only] => only.clone(),
                names if names.contains(&port.name) => port.name.clone(),
                names => bail!(InvalidArgument, "there is no array '{}', only {}", port.name, names.join(", ")),
            };
            file.read(&name, wanted)
        }
    }
}

/// The values in the file at `path`, for the inputs that they are called after.
fn several(path: &Path, ports: &[&Port], given: &mut [Option<Tensor>]) -> Result<()> {
    let place = |name: &str| ports.iter().position(|p| p.name == name);
    match format(path)? {
        Format::Npz => {
            let mut file = Npz::open(path)?;
            let names: Vec<(usize, String)> = file.names.iter().filter_map(|n| Some((place(n)?, n.clone()))).collect();
            ensure!(!names.is_empty(), InvalidArgument, "no input is called like an array there: {}", file.names.join(", "));
            for (place, name) in names {
                given[place] = Some(file.read(&name, dtype(ports[place]))?);
            }
        }
        Format::Proto => {
            let (name, tensor) = read_proto(path)?;
            let place = place(&name).or((ports.len() == 1).then_some(0));
            let place = place.ok_or_else(|| error!(InvalidArgument, "no input is called '{name}': say --input NAME=FILE"))?;
            given[place] = Some(tensor);
        }
        Format::Npy => {
            ensure!(ports.len() == 1, InvalidArgument, "the model has several inputs: say --input NAME=FILE");
            given[0] = Some(one(path, ports[0])?);
        }
    }
    Ok(())
}

fn dtype(port: &Port) -> Option<DType> {
    match port.ty {
        Type::Tensor(dtype) => Some(dtype),
        _ => None,
    }
}

/// The `TensorProto` in the file at `path`, and its name.
fn read_proto(path: &Path) -> Result<(String, Tensor)> {
    let file = base::file::open(path, false)?;
    let proto = TensorProto::decode(file.bytes().unwrap_or_default())?;
    let (dtype, shape) = (proto.dtype()?, proto.shape()?);
    let tensor = match proto.data()? {
        TensorData::Bytes(bytes) => Tensor::from_bytes(dtype, shape, &bytes)?,
        TensorData::Strings(strings) => {
            let text = |s: &std::borrow::Cow<'_, [u8]>| String::from_utf8(s.to_vec());
            let strings: Vec<String> = strings.iter().map(text).collect::<Result<_, _>>().map_err(|e| error!(Fail, "{e}"))?;
            Tensor::from_strings(shape, strings.iter().collect::<Strings>())?
        }
        TensorData::External(_) => bail!(NotImplemented, "a tensor whose data lies in another file"),
    };
    Ok((proto.name.to_string(), tensor))
}
