//! What the settings by name say, which [`Options::config`](crate::Options) keeps.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::threads::{Affinities, Settings};
use base::{Result, error};
use proto::ModelFolder;

use crate::Options;

/// The file that takes initializers of a saved model, and from how many bytes on they go there.
const APART: &str = "session.optimized_model_external_initializers_file_name";
const APART_FROM: &str = "session.optimized_model_external_initializers_min_size_in_bytes";
/// From how many bytes on if nobody says.
const APART_DEFAULT: usize = 1024;
/// Where external data of a model in memory lies.
const EXTERNAL_FOLDER: &str = "session.model_external_initializers_file_folder_path";
/// Whether no node may run on the CPU beside another provider.
const NO_FALLBACK: &str = "session.disable_cpu_ep_fallback";
/// Optimizers that are left out, one from the other by semicolons.
const DISABLED: &str = "optimization.disable_specified_optimizers";
/// How many bytes a result that is computed ahead may have; 0 for as many as is sensible.
const FOLD_LIMIT: &str = "optimization.constant_folding_max_output_size_in_bytes";
/// Whether shapes that a model states must be those that are inferred.
const STRICT: &str = "session.strict_shape_type_inference";
/// How many nodes may come of taking functions apart.
const FUNCTION_NODES: &str = "session.function_expansion_node_limit";
const FUNCTION_NODES_DEFAULT: usize = 500_000;
/// Whether numbers too small for full precision count as zero.
const FLUSH: &str = "session.set_denormal_as_zero";
/// Whether threads that wait look out for work awake, and for how many microseconds.
const SPINNING: &str = "session.intra_op.allow_spinning";
const SPIN: &str = "session.intra_op.spin_duration_us";

impl Options {
    fn setting(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        self.setting(name) == Some("1")
    }

    /// Where the initializers of the model that is saved at `path` go, and from how many bytes on, if the settings say so.
    ///
    /// # Errors
    /// `InvalidArgument` when the number is none.
    pub(crate) fn external_file(&self, path: &Path) -> Result<Option<(String, usize)>> {
        let Some(name) = self.setting(APART) else { return Ok(None) };
        let from = self.config.get(APART_FROM).map_or(Ok(APART_DEFAULT), |text| text.parse());
        let from = from.map_err(|_| error!(InvalidArgument, "{APART_FROM} is no number of bytes, saving {}", path.display()))?;
        Ok(Some((name.to_owned(), from)))
    }

    /// The folder where external data of a model in memory lies, if there is one.
    ///
    /// # Errors
    /// Those of [`ModelFolder::new`].
    pub(crate) fn external_folder(&self) -> Result<Option<ModelFolder>> {
        self.config.get(EXTERNAL_FOLDER).map(|path| ModelFolder::new(Path::new(path))).transpose()
    }

    pub(crate) fn forbids_fallback(&self) -> bool {
        self.is_on(NO_FALLBACK)
    }

    /// The passes that are left out, by the names they have here or in ONNX Runtime.
    pub(crate) fn disabled(&self) -> impl Iterator<Item = String> {
        let listed = self.setting(DISABLED).unwrap_or_default().split(';').filter(|name| !name.is_empty());
        self.disabled_passes.iter().cloned().chain(listed.map(str::to_owned))
    }

    /// How many bytes a result that is computed ahead may have, if the settings say so.
    pub(crate) fn fold_limit(&self) -> Option<usize> {
        self.setting(FOLD_LIMIT)?.parse().ok().filter(|limit| *limit > 0)
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.is_on(STRICT)
    }

    /// How many nodes may come of taking functions apart.
    ///
    /// # Errors
    /// `InvalidArgument` when the setting is no positive number.
    pub(crate) fn function_nodes(&self) -> Result<usize> {
        let Some(text) = self.config.get(FUNCTION_NODES) else { return Ok(FUNCTION_NODES_DEFAULT) };
        let limit = text.parse().ok().filter(|limit| *limit > 0);
        limit
            .ok_or_else(|| error!(InvalidArgument, "Invalid positive integer value '{text}' for session configuration '{FUNCTION_NODES}'."))
    }

    /// How the threads of runs work, if the settings or the affinities say so.
    pub(crate) fn threads(&self) -> Option<Arc<Settings>> {
        let affinities = (!self.affinities.is_empty()).then(|| Affinities::new(&self.affinities));
        let awake = self.setting(SPIN).and_then(|text| text.parse().ok()).map(Duration::from_micros);
        let spin = if self.setting(SPINNING) == Some("0") { Some(Duration::ZERO) } else { awake };
        let settings = Settings { affinities, spin, flush_denormals: self.is_on(FLUSH) };
        let plain = settings.affinities.is_none() && settings.spin.is_none() && !settings.flush_denormals;
        (!plain).then(|| Arc::new(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, text: &str) -> Options {
        Options { config: [(name.to_owned(), text.to_owned())].into(), ..Options::default() }
    }

    #[test]
    fn threads_are_as_others_unless_something_is_said() {
        assert!(Options::default().threads().is_none());
        assert!(options(SPIN, "soon").threads().is_none());
        assert_eq!(options(SPIN, "7").threads().unwrap().spin, Some(Duration::from_micros(7)));
        assert_eq!(options(SPINNING, "0").threads().unwrap().spin, Some(Duration::ZERO));
        assert!(options(FLUSH, "1").threads().unwrap().flush_denormals);
        assert!(Options { affinities: vec![vec![0]], ..Options::default() }.threads().unwrap().affinities.is_some());
    }

    #[test]
    fn limits() {
        assert_eq!(options(FOLD_LIMIT, "0").fold_limit(), None);
        assert_eq!(options(FOLD_LIMIT, "12").fold_limit(), Some(12));
        assert_eq!(options(FUNCTION_NODES, "9").function_nodes().unwrap(), 9);
        assert!(options(FUNCTION_NODES, "0").function_nodes().is_err());
        assert_eq!(Options::default().function_nodes().unwrap(), FUNCTION_NODES_DEFAULT);
        assert_eq!(options(DISABLED, "Cast;;Fold").disabled().collect::<Vec<_>>(), ["Cast", "Fold"]);
    }
}
