//! Chooses the files to download: a whole model in diffusers layout, or one checkpoint.
//!
//! Repositories contain the same weights in up to a dozen variants. One is chosen for each network:
//! safetensors before pickles, and half precision before full precision unless full is requested.

use std::path::Path;

use engine::checkpoint::{FileStems, NETWORK_FILES, WEIGHT_VARIANTS};
use engine::files::{MAX_NAME_BYTES, MODEL_EXTENSIONS, has_extension, is_shard};
use serde::{Deserialize, Serialize};

use super::listing::{ListedFile, Listing};
use super::{FetchError, Licence, Repository};

/// What a download will fetch, and what the user should know before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub repository: Repository,
    /// Every file comes from this commit, even if the branch moves on.
    pub commit: String,
    pub licence: Licence,
    #[serde(alias = "form")]
    pub layout: Layout,
    /// In a few words: the layout and the precision.
    #[serde(alias = "what")]
    pub description: String,
    pub files: Vec<PlannedFile>,
}

/// What the download creates.
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
    /// Relative to the repository, and to the model's folder.
    pub path: String,
    pub bytes: u64,
    #[serde(alias = "digest")]
    pub checksum: Checksum,
}

/// The expected checksum of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksum {
    Sha256(String),
    /// Git's object id: the SHA-1 of `blob LENGTH`, a zero byte and the contents.
    GitBlob(String),
    /// The mirror sends none: only the length is checked.
    Unknown,
}

/// Which of a repository's variants to download.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownloadRequest {
    /// Full precision if there is a choice, at twice the size.
    pub full: bool,
    /// Only this file.
    pub file: Option<String>,
}

const REQUIRED_FILES: [&str; 5] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "unet/config.json",
    "vae/config.json",
];
/// A tokenizer is one of these: transformers 5 saves the second.
const TOKENIZERS: [&[&str]; 2] =
    [&["tokenizer/merges.txt", "tokenizer/vocab.json"], &["tokenizer/tokenizer.json"]];
/// Added tokens and further settings of the tokenizer.
const OPTIONAL_FILES: [&str; 4] = [
    "tokenizer/added_tokens.json",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
];
/// Words in the names of checkpoints that are not a whole model.
const NOT_WHOLE_MODELS: [&str; 14] = [
    "vae",
    "lora",
    "locon",
    "lycoris",
    "inpaint",
    "inpainting",
    "embed",
    "embedding",
    "embeddings",
    "control",
    "controlnet",
    "hypernetwork",
    "adapter",
    "unet",
];
const HALF_PRECISION: [&str; 4] = ["fp16", "f16", "bf16", "half"];
/// In full precision and with the averages of its training, a model takes less than this many times the bytes
/// that it takes without. What is smaller still is a LoRA or another addition to it.
const MAX_SIZE_RATIO: u64 = 4;

impl Plan {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// True if every file stays inside the folder and does not clash with the download's own files.
    pub(crate) fn is_valid(&self) -> bool {
        let has_valid_path =
            |file: &PlannedFile| file.path.split('/').all(is_file_name) && !file.path.ends_with(".part");
        !self.files.is_empty() && self.files.iter().all(has_valid_path)
    }
}

/// Layout, description, and files, whose sizes may still be unknown.
pub(crate) type PlannedLayout = (Layout, String, Vec<ListedFile>);

/// Chooses among the files of a repository.
pub(crate) fn choose(
    listing: &Listing,
    repository: &Repository,
    request: &DownloadRequest,
) -> Result<PlannedLayout, FetchError> {
    let not_a_model = |why: &str| FetchError::NotAModel { why: why.to_owned(), name: repository.to_string() };
    if let Some(name) = &request.file {
        let file = listing.find(name).ok_or_else(|| FetchError::NotFound(format!("{repository}: {name}")))?;
        if !name.split('/').all(is_file_name) || !has_extension(Path::new(name), &MODEL_EXTENSIONS) {
            return Err(not_a_model("the file is not a checkpoint"));
        }
        return Ok((Layout::File, "One checkpoint".into(), vec![file.clone()]));
    }
    if listing.find("model_index.json").is_some()
        && let Some(chosen) = folder(listing, request)
    {
        return Ok(chosen);
    }
    match checkpoint(listing, request) {
        Some(file) => Ok((Layout::File, "One checkpoint".into(), vec![file.clone()])),
        None => Err(not_a_model(
            "it contains neither a complete model nor a file that is surely one (`tidepool get --file` downloads \
             any file of weights)",
        )),
    }
}

/// A model in diffusers layout, if it is complete.
fn folder(listing: &Listing, request: &DownloadRequest) -> Option<PlannedLayout> {
    let all =
        |paths: &[&str]| paths.iter().map(|path| listing.find(path).cloned()).collect::<Option<Vec<_>>>();
    let mut files = all(&REQUIRED_FILES)?;
    files.extend(TOKENIZERS.into_iter().find_map(all)?);
    let optional = OPTIONAL_FILES.into_iter().filter_map(|path| listing.find(path));
    files.extend(optional.filter(|file| !files.contains(file)).cloned().collect::<Vec<_>>());
    let mut is_half = false;
    for (part, stems) in NETWORK_FILES {
        let (weights, variant) = weights(listing, part, stems, request)?;
        is_half |= part == "unet" && variant == ".fp16";
        files.extend(weights.into_iter().cloned());
    }
    let description = format!(
        "A model in diffusers layout, {}",
        if is_half { "16-bit weights" } else { "weights as published" }
    );
    Some((Layout::Folder, description, files))
}

/// The preferred variant of a network's weights.
fn weights<'a>(
    listing: &'a Listing,
    part: &str,
    stems: FileStems,
    request: &DownloadRequest,
) -> Option<(Vec<&'a ListedFile>, &'static str)> {
    let mut variants = WEIGHT_VARIANTS;
    if !request.full {
        variants.sort_by_key(|variant| *variant != ".fp16");
    }
    stems.with_extensions().into_iter().find_map(|(stem, ending)| {
        variants.into_iter().find_map(|variant| {
            let whole = listing.find(&format!("{part}/{stem}{variant}.{ending}")).map(|file| vec![file]);
            Some((whole.or_else(|| shards(listing, part, stem, variant, ending))?, variant))
        })
    })
}

/// Sharded weights with their index, if complete.
fn shards<'a>(
    listing: &'a Listing,
    part: &str,
    stem: &str,
    variant: &str,
    ending: &str,
) -> Option<Vec<&'a ListedFile>> {
    let index = listing
        .find(&format!("{part}/{stem}.{ending}.index{variant}.json"))
        .or_else(|| listing.find(&format!("{part}/{stem}{variant}.{ending}.index.json")))?;
    // The variant is before or after the number, depending on the version of diffusers or transformers.
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

/// The preferred checkpoint: safetensors, half precision, small, but not so small that it is an addition to
/// the model.
fn checkpoint<'a>(listing: &'a Listing, request: &DownloadRequest) -> Option<&'a ListedFile> {
    let may_be_whole = |file: &&ListedFile| {
        is_file_name(&file.path)
            && has_extension(Path::new(&file.path), &["safetensors", "ckpt", "pt"])
            && !is_shard(Path::new(&file.path))
            && !has_word(&file.path, &NOT_WHOLE_MODELS)
    };
    let files: Vec<_> = listing.files.iter().filter(may_be_whole).collect();
    let largest = files.iter().filter_map(|file| file.bytes).max().unwrap_or(0);
    let is_whole =
        |file: &&ListedFile| file.bytes.is_none_or(|bytes| bytes.saturating_mul(MAX_SIZE_RATIO) > largest);
    files.into_iter().filter(is_whole).min_by_key(|file| {
        let is_pickle = !has_extension(Path::new(&file.path), &["safetensors"]);
        let is_half = has_word(&file.path, &HALF_PRECISION);
        (is_pickle, is_half == request.full, file.bytes.unwrap_or(u64::MAX), &file.path)
    })
}

/// True if one of these words, which are in lower case, is a word of `name` in any case: not a part of
/// another one, as in "explora". Words end at signs, at digits and before capital letters.
fn has_word(name: &str, words: &[&str]) -> bool {
    let lower = name.to_ascii_lowercase();
    let continues = |left: Option<char>, right: Option<char>| match (left, right) {
        (Some(left), Some(right)) if left.is_lowercase() => right.is_lowercase(),
        (Some(left), Some(right)) if left.is_uppercase() => right.is_alphabetic(),
        (Some(left), Some(right)) => left.is_ascii_digit() && right.is_ascii_digit(),
        _ => false,
    };
    words.iter().any(|word| {
        lower.match_indices(word).any(|(start, _)| {
            let (before, rest) = name.split_at(start);
            let (word, after) = rest.split_at(word.len());
            !continues(before.chars().last(), word.chars().next())
                && !continues(word.chars().last(), after.chars().next())
        })
    })
}

/// A single file name that is valid on every system.
fn is_file_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || "\\/:*?\"<>|".contains(c);
    !name.is_empty()
        && name.len() + ".part".len() <= MAX_NAME_BYTES
        && !name.starts_with('.')
        && !name.ends_with(['.', ' '])
        && !name.contains(odd)
}
