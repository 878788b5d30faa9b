//! Which files of a repository are needed: a whole model in diffusers layout, or one checkpoint.
//!
//! Repositories hold the same weights in up to a dozen forms. Of each network one is taken:
//! safetensors before pickles, half precision before full unless the full is wished for.

use std::path::Path;

use engine::files::{MODEL_EXTENSIONS, has_extension};
use serde::{Deserialize, Serialize};

use super::listing::{Listed, Listing};
use super::{FetchError, Licence, Repository};

/// All that is to be fetched, and what a person should know before it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub repository: Repository,
    /// Every file is taken from this commit, whatever happens to the branch meanwhile.
    pub commit: String,
    pub licence: Licence,
    pub form: Layout,
    /// In a few words: the layout and the precision.
    pub what: String,
    pub files: Vec<PlannedFile>,
}

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// A folder in diffusers layout.
    Folder,
    /// A folder with one checkpoint in it.
    File,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// In the repository, and below the model's folder.
    pub path: String,
    pub bytes: u64,
    pub digest: Checksum,
}

/// What the contents must come down to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksum {
    Sha256(String),
    /// SHA-1 of `blob LENGTH`, a zero and the contents: git's name for a file.
    GitBlob(String),
    /// The mirror does not tell: the length alone is checked.
    Unknown,
}

/// What of a repository is wished for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownloadRequest {
    /// Full precision where there is a choice: twice the size.
    pub full: bool,
    /// One file in particular.
    pub file: Option<String>,
}

/// The networks and what their weights are called, as safetensors and as pickles.
const NETWORKS: [(&str, &str, &str); 3] = [
    ("unet", "diffusion_pytorch_model", "diffusion_pytorch_model"),
    ("vae", "diffusion_pytorch_model", "diffusion_pytorch_model"),
    ("text_encoder", "model", "pytorch_model"),
];
const NEEDED: [&str; 7] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "vae/config.json",
];
/// Not read here, but other programs that open the folder want them.
const OPTIONAL_FILES: [&str; 2] = ["tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json"];
/// Parts that other families of models have.
const OTHER_FAMILIES: [(&str, &str); 4] = [
    ("text_encoder_2/", "an SDXL model"),
    ("transformer/", "a transformer model, such as SD 3 or FLUX"),
    ("prior/", "a model of two stages"),
    ("image_encoder/", "a model that starts from pictures"),
];
/// In the names of checkpoints that are no whole model.
const NOT_WHOLE_MODELS: [&str; 5] = ["vae", "lora", "inpaint", "embed", "controlnet"];

impl Plan {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// No file would land outside of the folder, or among the notes that are kept there.
    pub(crate) fn is_sound(&self) -> bool {
        let names =
            |file: &PlannedFile| file.path.split('/').all(is_file_name) && !file.path.ends_with(".part");
        !self.files.is_empty() && self.files.iter().all(names)
    }
}

/// A file of a listing whose size may still be unknown.
pub(crate) type PlannedLayout = (Layout, String, Vec<Listed>);

/// Chooses among the files of a repository.
pub(crate) fn choose(
    listing: &Listing,
    repository: &Repository,
    command: &DownloadRequest,
) -> Result<PlannedLayout, FetchError> {
    let not_a_model = |why: &str| FetchError::NotAModel { why: why.to_owned(), name: repository.to_string() };
    if let Some(name) = &command.file {
        let file = listing.find(name).ok_or_else(|| FetchError::NotFound(format!("{repository}: {name}")))?;
        if !is_file_name(name) || !has_extension(Path::new(name), &MODEL_EXTENSIONS) {
            return Err(not_a_model("the file is no checkpoint"));
        }
        return Ok((Layout::File, "One checkpoint".into(), vec![file.clone()]));
    }
    if listing.find("model_index.json").is_some() {
        for (part, family) in OTHER_FAMILIES {
            if listing.files.iter().any(|file| file.path.starts_with(part)) {
                return Err(not_a_model(&format!("it is {family}")));
            }
        }
        if let Some(chosen) = folder(listing, command) {
            return Ok(chosen);
        }
    }
    match checkpoint(listing, command) {
        Some(file) => Ok((Layout::File, "One checkpoint".into(), vec![file.clone()])),
        None => Err(not_a_model("it holds neither all parts of a model nor a checkpoint")),
    }
}

/// A model in diffusers layout, if all of it is there.
fn folder(listing: &Listing, command: &DownloadRequest) -> Option<PlannedLayout> {
    let mut files: Vec<Listed> =
        NEEDED.into_iter().map(|path| listing.find(path).cloned()).collect::<Option<_>>()?;
    files.extend(OPTIONAL_FILES.into_iter().filter_map(|path| listing.find(path).cloned()));
    let mut is_half = false;
    for (part, safetensors, pickle) in NETWORKS {
        let (weights, variant) =
            weights(listing, part, [(safetensors, "safetensors"), (pickle, "bin")], command)?;
        is_half |= part == "unet" && variant == ".fp16";
        files.extend(weights.into_iter().cloned());
    }
    let what = format!(
        "A model in diffusers layout, {}",
        if is_half { "16-bit weights" } else { "weights as published" }
    );
    Some((Layout::Folder, what, files))
}

/// The weights of a network in the form that is liked best.
fn weights<'a>(
    listing: &'a Listing,
    part: &str,
    stems: [(&str, &str); 2],
    command: &DownloadRequest,
) -> Option<(Vec<&'a Listed>, &'static str)> {
    let variants =
        if command.full { ["", ".fp32", ".fp16", ".bf16"] } else { [".fp16", "", ".fp32", ".bf16"] };
    stems.into_iter().find_map(|(stem, ending)| {
        variants.into_iter().find_map(|variant| {
            let whole = listing.find(&format!("{part}/{stem}{variant}.{ending}")).map(|file| vec![file]);
            Some((whole.or_else(|| shards(listing, part, stem, variant, ending))?, variant))
        })
    })
}

/// Weights in several files with an index, if none of them is missing.
fn shards<'a>(
    listing: &'a Listing,
    part: &str,
    stem: &str,
    variant: &str,
    ending: &str,
) -> Option<Vec<&'a Listed>> {
    let index = listing
        .find(&format!("{part}/{stem}.{ending}.index{variant}.json"))
        .or_else(|| listing.find(&format!("{part}/{stem}{variant}.{ending}.index.json")))?;
    // The variant stands before the number or behind it, as diffusers' and transformers' versions differ.
    let number = |path: &str| {
        let name = path.strip_prefix(part)?.strip_prefix('/')?.strip_prefix(stem)?.strip_suffix(ending)?;
        let name = name.strip_suffix('.')?;
        let name = name.strip_prefix(variant).or_else(|| name.strip_suffix(variant))?;
        let (number, count) = name.strip_prefix('-')?.split_once("-of-")?;
        Some((number.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
    };
    let mut found: Vec<_> =
        listing.files.iter().filter_map(|file| Some((number(&file.path)?, file))).collect();
    found.sort_by_key(|(number, _)| *number);
    let count = found.len();
    let is_whole = found.iter().zip(1..).all(|(((number, of), _), nth)| *number == nth && *of == count);
    let files = std::iter::once(index).chain(found.into_iter().map(|(_, file)| file));
    (is_whole && count > 0).then(|| files.collect())
}

/// The checkpoint that is liked best: safetensors, half precision, small.
fn checkpoint<'a>(listing: &'a Listing, command: &DownloadRequest) -> Option<&'a Listed> {
    let whole = |file: &&Listed| {
        let name = file.path.to_ascii_lowercase();
        is_file_name(&file.path)
            && has_extension(Path::new(&name), &["safetensors", "ckpt", "pt"])
            && !NOT_WHOLE_MODELS.iter().any(|partial| name.contains(partial))
    };
    listing.files.iter().filter(whole).min_by_key(|file| {
        let name = file.path.to_ascii_lowercase();
        let is_half = name.contains("fp16") || name.contains("f16");
        let bytes = file.bytes.unwrap_or(u64::MAX);
        (!name.ends_with(".safetensors"), is_half == command.full, bytes, name)
    })
}

/// One name, which no system reads as more than that.
fn is_file_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || "\\/:*?\"<>|".contains(c);
    !name.is_empty()
        && name.len() < 200
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name.contains(odd)
}
