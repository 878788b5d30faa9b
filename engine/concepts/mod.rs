//! Concepts (textual inversion): words that a model was taught, each one or more vectors in place of a
//! token's embedding.
//!
//! Programs store them in different ways: `{"<token>": vector}` (diffusers), `string_to_param` (A1111),
//! `emb_params`, or a single tensor. [`read`] detects them by keys and shapes, whatever the file is called,
//! and tells what other files are. A [`ConceptSet`] has the loaded ones; [`prompt`](crate::prompt) finds
//! them in a prompt.

pub(crate) mod set;

mod folders;
mod save;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use folders::concept_files_in;
pub use save::{SaveConceptError, save};
pub use set::ConceptSet;

use crate::checkpoint::detect::MAX_VECTORS;
use crate::checkpoint::weight_file::A1111_CONCEPT_KEY;
use crate::checkpoint::{OpenError, WeightFile, WeightKind, kind_of};
use crate::files::FileSignature;
use crate::format::{first_few, hex};

/// Concepts of the built-in model: file names and contents.
pub const BUILT_IN: [(&str, &[u8]); 2] = [
    ("cyanotype.bin", include_bytes!("../../assets/demo/concepts/cyanotype/learned_embeds.bin")),
    ("raccoon.bin", include_bytes!("../../assets/demo/concepts/raccoon/learned_embeds.bin")),
];

/// Twice the widest text encoder in use.
const MAX_WIDTH: usize = 4096;

/// A word that a model was taught.
#[derive(Clone, Debug, PartialEq)]
pub struct Concept {
    /// The word that stands for it in a prompt: the token in the file (`<birb-style>`), or the file's name.
    pub token: String,
    /// Numbers per vector: 768 for SD 1.x.
    pub width: usize,
    /// The vectors, concatenated.
    pub vectors: Vec<f32>,
    pub source: PathBuf,
    /// The hash of the file, 64 hexadecimal digits.
    pub sha256: String,
}

/// A concept as it is stored in pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConceptRef {
    /// The file's name, by which A1111 knows it.
    pub name: String,
    /// Empty if unknown.
    pub token: String,
    /// The first 12 hexadecimal digits of the SHA-256 of its file; empty if unknown.
    pub sha256: String,
}

/// Why a file is not a usable concept: what, why, what to do, path last.
#[derive(Debug, thiserror::Error)]
pub enum ConceptError {
    #[error("The concept cannot be read ({0}). Check that the file exists and that you may read it: {1}")]
    Unreadable(io::Error, PathBuf),
    #[error("This is not a concept: {0}. Download the file of the concept: {1}")]
    NotAConcept(String, PathBuf),
    #[error("This is {0}, not a concept. Open it as a model: {1}")]
    Model(WeightKind, PathBuf),
    #[error("This is {0}, not a concept. Choose a small file with one or a few vectors: {1}")]
    OtherKind(WeightKind, PathBuf),
    #[error(
        "This concept is for SDXL, which has two text encoders. Choose one for a model with one text encoder, such as Stable Diffusion 1.x: {0}"
    )]
    Sdxl(PathBuf),
    #[error("This file has {0} concepts ({1}). Tidepool reads one per file: save them separately: {2}")]
    Several(usize, String, PathBuf),
    #[error("The concept has {count} vectors, and a prompt has room for 75. Choose one with fewer: {path}")]
    TooMany { count: usize, path: PathBuf },
    #[error(
        "The numbers of the concept have the shape {0:?}, which is not a list of vectors. Download it again: {1}"
    )]
    Misshapen(Vec<usize>, PathBuf),
    #[error("The concept has numbers that are not finite, so it is damaged. Download it again: {0}")]
    NotFinite(PathBuf),
    #[error(transparent)]
    Open(OpenError),
    #[error("The concept is damaged ({0}). Download it again from where it came from: {1}")]
    Damaged(String, PathBuf),
    #[error(
        "This concept is {width} wide ({family}), and the model reads embeddings {model_width} wide. Choose a concept made for this model: {path}"
    )]
    Width { width: usize, family: &'static str, model_width: usize, path: PathBuf },
}

impl Concept {
    /// How many tokens it takes in a prompt.
    pub fn count(&self) -> usize {
        self.vectors.len() / self.width
    }

    /// The name of the file without its extension, by which A1111 knows it.
    pub fn name(&self) -> String {
        stem(&self.source)
    }

    /// Checks that it fits a text encoder with embeddings of this width.
    pub fn check_width(&self, model_width: usize) -> Result<(), ConceptError> {
        if self.width == model_width {
            return Ok(());
        }
        let (width, family, path) = (self.width, self.family(), self.source.clone());
        Err(ConceptError::Width { width, family, model_width, path })
    }

    /// The model family that it was made for, by its width.
    pub fn family(&self) -> &'static str {
        match self.width {
            128 => "the first built-in model",
            192 => "the built-in model",
            768 => "Stable Diffusion 1.x",
            1024 => "Stable Diffusion 2.x",
            1280 => "SDXL",
            _ => "of an unknown model family",
        }
    }

    /// The norm of each vector. The embeddings of SD 1.x have norms of about 0.4.
    pub fn norms(&self) -> Vec<f32> {
        let norm = |vector: &[f32]| vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        self.vectors.chunks_exact(self.width).map(norm).collect()
    }

    /// The reference that is stored in pictures.
    pub fn reference(&self) -> ConceptRef {
        let sha256 = self.sha256.get(..12).unwrap_or_default().to_owned();
        ConceptRef { name: self.name(), token: self.token.clone(), sha256 }
    }
}

/// Reads a concept.
///
/// # Errors
/// What the file is, if it is something else, or what is wrong with it.
pub fn read(path: &Path) -> Result<Concept, ConceptError> {
    let owned = || path.to_owned();
    let signature = FileSignature::read(path).map_err(|error| ConceptError::Unreadable(error, owned()))?;
    if let Some(reason) = signature.unreadable_reason() {
        return Err(ConceptError::NotAConcept(reason.into(), owned()));
    }
    if signature == FileSignature::Unknown {
        return Err(ConceptError::NotAConcept("it is another kind of file".into(), owned()));
    }
    let file = WeightFile::open(path).map_err(from_open)?;
    let name = vectors_key(&file, path)?;
    let shape = file.shape(&name).unwrap_or_default().to_vec();
    let (count, width) = match shape[..] {
        [width] => (1, width),
        [count, width] => (count, width),
        _ => return Err(ConceptError::Misshapen(shape, owned())),
    };
    if count == 0 || !(1..=MAX_WIDTH).contains(&width) {
        return Err(ConceptError::Misshapen(shape, owned()));
    }
    if count > MAX_VECTORS {
        return Err(ConceptError::TooMany { count, path: owned() });
    }
    let (vectors, _) = file.read(&name).map_err(from_open)?;
    if !vectors.iter().all(|value| value.is_finite()) {
        return Err(ConceptError::NotFinite(owned()));
    }
    let has_token = !WORDLESS_KEYS.contains(&name.as_str()) && !name.starts_with(A1111_CONCEPT_KEY);
    let token = if has_token { name } else { stem(path) };
    let sha256 = sha256_of(path).map_err(|error| ConceptError::Unreadable(error, owned()))?;
    Ok(Concept { token, width, vectors, source: owned(), sha256 })
}

const EMB_PARAMS: &str = "emb_params";
/// Keys under which programs keep the vectors of any concept, so that its word is the name of the file:
/// kohya-ss's for one text encoder and for the first of two, none, and the character that A1111 trains with.
const WORDLESS_KEYS: [&str; 4] = [EMB_PARAMS, "clip_l", "", "*"];

/// The key of the vectors in the file.
fn vectors_key(file: &WeightFile, path: &Path) -> Result<String, ConceptError> {
    let owned = || path.to_owned();
    let names: Vec<&str> = file.names().collect();
    if names.contains(&"clip_g") {
        return Err(ConceptError::Sdxl(owned()));
    }
    match kind_of(file) {
        WeightKind::Concept | WeightKind::Unknown => {}
        kind if kind.is_model() => return Err(ConceptError::Model(kind, owned())),
        kind => return Err(ConceptError::OtherKind(kind, owned())),
    }
    match names[..] {
        [name] => Ok(name.to_owned()),
        _ if names.contains(&EMB_PARAMS) => Ok(EMB_PARAMS.to_owned()),
        [] => Err(ConceptError::NotAConcept("it has no vectors".into(), owned())),
        _ => Err(ConceptError::Several(names.len(), first_few(&names), owned())),
    }
}

fn from_open(error: OpenError) -> ConceptError {
    match error {
        OpenError::Unreadable(error, path) => ConceptError::Unreadable(error, path),
        OpenError::BadWeights(what, path) => ConceptError::Damaged(what, path),
        other => ConceptError::Open(other),
    }
}

fn sha256_of(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hex(&hasher.finalize()))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
