//! The memory mode of a run: everything at once, or in smaller pieces.

use crate::memory::estimate::MemoryEstimate;
use crate::recipe::Recipe;

/// How much memory a run uses. Low-memory mode takes longer and makes the same picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryMode {
    /// The whole batch and the whole picture at once.
    #[default]
    Full,
    /// One picture at a time, with the autoencoder tiled.
    LowMemory,
}

impl MemoryMode {
    /// Decides how to make the pictures of a recipe in `free` bytes.
    ///
    /// # Errors
    /// The bytes that they need in low-memory mode, if that does not fit either.
    pub fn choose(estimate: &MemoryEstimate, recipe: &Recipe, free: u64) -> Result<Self, u64> {
        let fits = |&mode: &Self| estimate.bytes(recipe, mode) <= free;
        let fitting = [Self::Full, Self::LowMemory].into_iter().find(fits);
        fitting.ok_or_else(|| estimate.bytes(recipe, Self::LowMemory))
    }
}
