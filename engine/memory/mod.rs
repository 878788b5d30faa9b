//! How much memory a run needs, and how it copes with less.

pub mod estimate;
pub mod low_memory;
pub mod mode;
