//! Saves vectors as a concept in a form that A1111, ComfyUI and diffusers all read: one f32 tensor of
//! `[vectors, width]` under the concept's word.

use std::collections::HashMap;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::MAX_VECTORS;
use crate::files::{IfExists, SaveError, write_atomically};

/// Why a concept was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveConceptError {
    #[error("{0:?} cannot be the word of a concept: choose a short one without spaces, such as <my-style>")]
    Token(String),
    #[error("A concept cannot have {0} vectors: choose 1 to 75")]
    Count(usize),
    #[error("The embedding contains NaN or infinity, so it was not saved: undo its last edit")]
    NotFinite,
    #[error("A concept is saved as .safetensors, .bin or .pt: choose one of these extensions: {}", .0.display())]
    Extension(PathBuf),
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// Writes a concept to a `.safetensors` file, or to a `.bin` or `.pt` as PyTorch does. An existing file of
/// this name is replaced.
pub fn save(path: &Path, token: &str, vectors: &[Vec<f32>]) -> Result<(), SaveConceptError> {
    if token.is_empty() || token.len() > 256 || token.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err(SaveConceptError::Token(token.to_owned()));
    }
    if vectors.is_empty() || vectors.len() > MAX_VECTORS {
        return Err(SaveConceptError::Count(vectors.len()));
    }
    if vectors.iter().flatten().any(|value| !value.is_finite()) {
        return Err(SaveConceptError::NotFinite);
    }
    let extension = path.extension().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    let bytes = match extension.as_str() {
        "safetensors" => to_safetensors(token, vectors),
        "bin" | "pt" => to_torch(token, vectors),
        _ => return Err(SaveConceptError::Extension(path.to_owned())),
    };
    let failed = |source| SaveError::Write { source, path: path.to_owned() };
    let bytes = bytes.map_err(failed)?;
    Ok(write_atomically(path, IfExists::Replace, |out| out.write_all(&bytes))?)
}

fn little_endian(vectors: &[Vec<f32>]) -> Vec<u8> {
    vectors.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

fn to_safetensors(token: &str, vectors: &[Vec<f32>]) -> io::Result<Vec<u8>> {
    let (shape, bytes) = (vec![vectors.len(), vectors[0].len()], little_endian(vectors));
    let view = TensorView::new(Dtype::F32, shape, &bytes).map_err(io::Error::other)?;
    // PyTorch programs write this, and some require it.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize([(token, view)], Some(metadata)).map_err(io::Error::other)
}

/// The archive that `torch.save` writes for `{token: tensor}`.
fn to_torch(token: &str, vectors: &[Vec<f32>]) -> io::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let entries = [
        ("concept/data.pkl", pickle(token, vectors.len(), vectors[0].len())),
        ("concept/byteorder", b"little".to_vec()),
        ("concept/data/0", little_endian(vectors)),
        ("concept/version", b"3\n".to_vec()),
    ];
    for (name, bytes) in entries {
        archive.start_file(name, stored).map_err(io::Error::other)?;
        archive.write_all(&bytes)?;
    }
    Ok(archive.finish().map_err(io::Error::other)?.into_inner())
}

/// `{token: tensor of [vectors, width]}` in protocol 2; the numbers are in the storage "0".
fn pickle(token: &str, vectors: usize, width: usize) -> Vec<u8> {
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let int = |value: usize| [b"J", &(value as i32).to_le_bytes()[..]].concat();
    let storage =
        [text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text("0"), text("cpu"), int(vectors * width)];
    [
        b"\x80\x02}".to_vec(),
        text(token),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        storage.concat(),
        b"tQ".to_vec(),
        // Its offset in the storage, its shape, its strides.
        [int(0), int(vectors), int(width), b"\x86".to_vec(), int(width), int(1), b"\x86".to_vec()].concat(),
        // It requires no gradient and has no hooks.
        b"\x89ccollections\nOrderedDict\n)RtRs.".to_vec(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concepts::read;

    #[test]
    fn a_saved_concept_is_read_back_bit_for_bit() {
        let folder = tempfile::tempdir().expect("a folder");
        let vectors = vec![vec![0.5, -1.25e-30, 3.0], vec![f32::MIN_POSITIVE, -0.0, 7.5]];
        for extension in ["safetensors", "bin", "pt"] {
            let path = folder.path().join("mine").with_extension(extension);
            save(&path, "<mine>", &vectors).expect("it is saved");
            let concept = read(&path).expect("it is a concept");
            assert_eq!((concept.token.as_str(), concept.width), ("<mine>", 3), "{extension}");
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&concept.vectors), bits(&vectors.concat()), "{extension}");
        }
    }

    #[test]
    fn invalid_concepts_are_not_saved() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mine.bin");
        let refused = |path: &Path, token: &str, vectors: &[Vec<f32>]| {
            save(path, token, vectors).expect_err("it is not a concept")
        };
        let one = [vec![1.0; 4]];
        for token in ["two words", ""] {
            assert!(matches!(refused(&path, token, &one), SaveConceptError::Token(_)));
        }
        assert!(matches!(refused(&path, "<mine>", &[]), SaveConceptError::Count(0)));
        assert!(matches!(refused(&path, "<mine>", &[vec![f32::NAN]]), SaveConceptError::NotFinite));
        let png = path.with_extension("png");
        assert!(matches!(refused(&png, "<mine>", &one), SaveConceptError::Extension(_)));
        assert!(!path.exists());
    }
}
