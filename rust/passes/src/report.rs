//! What an optimization did.

/// What an optimization did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    applied: Vec<(&'static str, usize)>,
    /// Patches that were built but refused, with the pass and the reason: the graph stayed as it was there.
    pub refused: Vec<String>,
}

impl Report {
    /// The passes that changed anything, with the number of their rewrites, in the order of their first.
    pub fn applied(&self) -> &[(&'static str, usize)] {
        &self.applied
    }

    /// The number of rewrites by `pass`.
    pub fn of(&self, pass: &str) -> usize {
        self.applied.iter().find(|(name, _)| *name == pass).map_or(0, |(_, n)| *n)
    }

    /// The number of rewrites by all passes.
    pub fn total(&self) -> usize {
        self.applied.iter().map(|(_, n)| n).sum()
    }

    pub(crate) fn count(&mut self, pass: &'static str) {
        match self.applied.iter_mut().find(|(name, _)| *name == pass) {
            Some((_, n)) => *n += 1,
            None => self.applied.push((pass, 1)),
        }
    }
}
