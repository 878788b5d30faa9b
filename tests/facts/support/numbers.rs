//! Reference numbers of `tests/golden/data`, and comparisons with them.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

/// A file of named f32 tensors.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(name: &str) -> Self {
        let path = golden_folder().join("data").join(name);
        Self(std::fs::read(&path).unwrap_or_else(|error| panic!("{error}: {}", path.display())))
    }

    /// The data were made when the linspace schedule was called "lesson".
    pub fn get(&self, name: &str) -> Vec<f32> {
        let name = &name.replace("linspace", "lesson");
        let file = SafeTensors::deserialize(&self.0).expect("golden data is whole");
        let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (values, rest) = tensor.data().as_chunks();
        assert!(rest.is_empty(), "{name} is f32");
        values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

/// The notes beside a file of tensors: how each was made.
pub fn notes(name: &str) -> serde_json::Value {
    let path = golden_folder().join("data").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{error}: {}", path.display()));
    serde_json::from_slice(&text).expect("golden notes are JSON")
}

pub fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Compares every `stride`-th value with the reference, within `tolerance` times the largest reference value.
#[track_caller]
pub fn assert_near(what: &str, ours: &[f32], theirs: &[f32], stride: usize, tolerance: f32) {
    let ours: Vec<f32> = ours.iter().copied().step_by(stride).collect();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let apart = ours.iter().zip(theirs).fold(0.0f32, |apart, (a, b)| apart.max((a - b).abs()));
    assert!(apart <= tolerance * largest, "{what}: {apart} apart, where the largest is {largest}");
    assert!(ours.iter().all(|value| value.is_finite()), "{what} is finite");
}

#[track_caller]
pub fn assert_close(what: &str, ours: &[f32], theirs: &[f32], relative: f32, absolute: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let tolerance = relative * theirs.abs() + absolute;
        assert!((ours - theirs).abs() <= tolerance, "{what}[{i}]: {ours} is not {theirs}");
    }
}
