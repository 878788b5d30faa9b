//! What a weight file or a model folder is, read from headers and configuration files alone.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use engine::checkpoint::{OpenError, TensorDtype, WeightFile, WeightKind, component_weights, kind_of};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longer than any configuration file.
const MAX_CONFIG: u64 = 1 << 20;

/// A weight file, as its header describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileMetadata {
    pub kind: WeightKind,
    /// The type of most of its bytes.
    pub precision: Option<TensorDtype>,
    pub is_pickle: bool,
    /// If it is an index: the files beside it that contain the weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<String>,
}

impl FileMetadata {
    /// Reads the header.
    pub fn read(path: &Path) -> Result<Self, OpenError> {
        let file = WeightFile::open(path)?;
        let bytes_of = |precision| -> u64 {
            let names = file.names().filter(|name| file.dtype(name) == precision);
            names.map(|name| file.byte_len(name)).sum()
        };
        let known = [None, Some(TensorDtype::F16), Some(TensorDtype::BF16), Some(TensorDtype::F32)];
        let shards = file.files().into_iter().filter(|shard| *shard != path);
        Ok(Self {
            kind: kind_of(&file),
            precision: known.into_iter().max_by_key(|&precision| bytes_of(precision)).flatten(),
            is_pickle: file.is_pickle(),
            shards: shards.filter_map(|shard| Some(shard.file_name()?.to_str()?.to_owned())).collect(),
        })
    }

    /// The files that contain the weights, where `path` is the file that this describes.
    pub fn weight_files(&self, path: &Path) -> Vec<PathBuf> {
        match self.shards.as_slice() {
            [] => vec![path.to_owned()],
            shards => shards.iter().map(|shard| path.with_file_name(shard)).collect(),
        }
    }
}

/// A model folder in diffusers layout.
#[derive(Clone, Debug, PartialEq)]
pub struct FolderMetadata {
    pub kind: WeightKind,
    /// The UNet's weights: a file, or the index of several.
    pub unet: Option<PathBuf>,
    /// Size of all its files.
    pub bytes: u64,
    /// Why it cannot be opened, as the end of a sentence that starts with "This" or "it".
    pub unreadable_reason: Option<String>,
}

/// Pipeline classes of diffusers whose name tells the kind of model.
const KIND_BY_CLASS: [(&str, WeightKind); 12] = [
    ("StableDiffusionPipeline", WeightKind::StableDiffusion1),
    ("StableDiffusionImg2ImgPipeline", WeightKind::StableDiffusion1),
    ("StableDiffusionInpaintPipeline", WeightKind::Inpainting),
    ("StableDiffusionInstructPix2PixPipeline", WeightKind::InstructPix2Pix),
    ("StableDiffusionDepth2ImgPipeline", WeightKind::Depth),
    ("StableDiffusionXLPipeline", WeightKind::Sdxl),
    ("StableDiffusionXLInpaintPipeline", WeightKind::Sdxl),
    ("StableDiffusionXLImg2ImgPipeline", WeightKind::SdxlRefiner),
    ("StableDiffusion3Pipeline", WeightKind::StableDiffusion3),
    ("FluxPipeline", WeightKind::Flux),
    ("StableDiffusionUpscalePipeline", WeightKind::Upscaler),
    ("StableDiffusionLatentUpscalePipeline", WeightKind::Upscaler),
];

/// Width of the text encoder that distinguishes SD 2.x from SD 1.x.
const OPEN_CLIP_WIDTH: u64 = 1024;

impl FolderMetadata {
    pub fn read(folder: &Path) -> Self {
        let class = config(&folder.join("model_index.json"))
            .and_then(|index| Some(index.get("_class_name")?.as_str()?.to_owned()))
            .unwrap_or_else(|| "model without a pipeline class".into());
        let by_class = KIND_BY_CLASS.iter().find(|(name, _)| *name == class).map(|(_, kind)| *kind);
        let unet = config(&folder.join("unet/config.json")).unwrap_or_default();
        let number = |name: &str| unet.get(name).and_then(Value::as_u64);
        let kind = match (by_class, number("in_channels")) {
            (Some(WeightKind::StableDiffusion1), Some(9)) => WeightKind::Inpainting,
            (Some(WeightKind::StableDiffusion1), _)
                if number("cross_attention_dim") == Some(OPEN_CLIP_WIDTH) =>
            {
                WeightKind::StableDiffusion2
            }
            (kind, _) => kind.unwrap_or(WeightKind::Unknown),
        };
        let missing = ["unet", "vae", "text_encoder"]
            .into_iter()
            .find(|part| component_weights(folder, part).is_none());
        let unreadable_reason = match (by_class, missing) {
            (None, _) => Some(format!("is a {class}")),
            (Some(_), Some(part)) => Some(format!("is incomplete: {part} has no weights")),
            _ => None,
        };
        Self { kind, unet: component_weights(folder, "unet"), bytes: bytes_below(folder), unreadable_reason }
    }
}

fn config(path: &Path) -> Option<Value> {
    if !path.is_file() {
        return None;
    }
    let mut json = Vec::new();
    fs::File::open(path).ok()?.take(MAX_CONFIG).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The limits are generous: a model has a few dozen files, at most two folders deep.
fn bytes_below(folder: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(folder).follow_links(true).max_depth(3).into_iter().take(10_000);
    let files = entries.flatten().filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
