//! Initializers whose data lies in files beside a model that is saved, where the caller says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base::{Result, Tensor};
use ir::Graph;
use proto::ModelProto;

/// Where the data of an initializer lies in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The path of the file, relative to the model's folder.
    pub location: String,
    /// The first byte of the data.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}

/// Where the data of the initializers of a model lies, by their names.
pub(crate) type Places = BTreeMap<String, External>;

/// Says where the data of an initializer goes, from its name, its value, and where it came from if it lay in a file of its own: to a
/// file that the caller writes, or into the model.
type Locate = dyn Fn(&str, &Tensor, Option<&External>) -> Result<Option<External>> + Send + Sync;

/// Says where the data of each initializer of a saved model goes.
#[derive(Clone)]
pub struct Locator(Arc<Locate>);

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locator")
    }
}

impl Locator {
    /// One that asks `locate`.
    pub fn new(locate: impl Fn(&str, &Tensor, Option<&External>) -> Result<Option<External>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(locate))
    }

    /// Asks for each initializer of `model`, which `graph` was made into, and lets those refer to files that are to.
    ///
    /// # Errors
    /// What is answered.
    pub(crate) fn apply(&self, model: &mut ModelProto<'_>, graph: &Graph, places: &Places) -> Result<()> {
        let values: BTreeMap<&str, &Tensor> =
            graph.values().filter_map(|(_, v)| Some((&*v.name, v.constant.as_ref()?.tensor().ok()?))).collect();
        for proto in model.graph.iter_mut().flat_map(|g| &mut g.initializer) {
            let name = proto.name.to_string();
            let Some(value) = values.get(name.as_str()) else { continue };
            if let Some(External { location, offset, length }) = (self.0)(&name, value, places.get(&name))? {
                proto.refer_to(location, offset, length);
            }
        }
        Ok(())
    }
}
