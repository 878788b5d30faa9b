//! What a file of weights may be, by its name and size alone.

use std::path::Path;

use engine::concepts::is_concept_file;

/// How the names of weight files end.
pub const MODEL_FILES: [&str; 4] = ["safetensors", "ckpt", "pt", "bin"];

/// True for names that weights have; what is inside is found out by opening it.
pub fn is_model_file(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    MODEL_FILES.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// True for names and sizes that concepts have; models are larger by far.
pub fn may_be_concept(path: &Path) -> bool {
    const MAX_CONCEPT: u64 = 16 << 20;
    let is_small = |path| std::fs::metadata(path).is_ok_and(|about| about.len() <= MAX_CONCEPT);
    is_concept_file(path) && is_small(path)
}
