//! How much memory a run needs, and what to do when there is less.

pub mod estimate;
pub mod low_memory;
