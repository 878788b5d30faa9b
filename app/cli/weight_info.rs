//! What a weight file or a model folder contains, read from its headers alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use engine::checkpoint::{
    MissingNetwork, ModelSource, OpenError, PipelineClass, TensorDtype, WeightFile, WeightKind,
    component_weights, kind_of,
};
use engine::concepts::{self, Concept};
use serde::Serialize;

use crate::library::FolderMetadata;

/// A weight file, without the weights.
#[derive(Debug, Serialize)]
pub struct Weights {
    /// "safetensors" or "pickle".
    pub kind: &'static str,
    /// "a Stable Diffusion 1.x model".
    pub holds: String,
    pub tensors: usize,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Number of tensors by type.
    pub dtypes: BTreeMap<String, usize>,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concept: Option<ConceptInfo>,
    /// Sentences: which network a model lacks, or why it cannot be used as a concept although it looks like one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub shapes: Vec<TensorRow>,
}

/// A concept (textual inversion).
#[derive(Debug, Serialize)]
pub struct ConceptInfo {
    /// The word that names it in a prompt.
    pub token: String,
    /// The file's name, which names it in a prompt too.
    pub name: String,
    pub vectors: usize,
    /// Numbers per vector.
    pub width: usize,
    /// "Stable Diffusion 1.x".
    pub family: &'static str,
    /// The norm of each vector.
    pub norms: Vec<f32>,
    pub sha256: String,
}

/// A tensor as its header describes it.
#[derive(Debug, Serialize)]
pub struct TensorRow {
    pub name: String,
    pub shape: Vec<usize>,
    /// "F16"; "other" for types that Tidepool does not read.
    pub dtype: String,
}

/// A folder in diffusers layout.
#[derive(Debug, Serialize)]
pub struct ModelFolder {
    /// The pipeline's class, "StableDiffusionPipeline".
    pub class: String,
    /// "a Stable Diffusion 1.x model".
    pub holds: String,
    /// A sentence: why it cannot be opened, or what it needs to be.
    #[serde(rename = "hindrance")]
    pub note: Option<String>,
    pub parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
pub struct Part {
    pub name: String,
    /// "UNet2DConditionModel".
    pub class: String,
    /// Size of all files in the part's folder.
    pub bytes: u64,
    /// False if the pipeline names the part but its folder is missing.
    pub found: bool,
    /// `None` for a part without weights.
    pub weights: Option<Weights>,
}

impl ConceptInfo {
    fn of(concept: Concept) -> Self {
        Self {
            name: concept.name(),
            vectors: concept.count(),
            width: concept.width,
            family: concept.family(),
            norms: concept.norms(),
            token: concept.token,
            sha256: concept.sha256,
        }
    }
}

/// Opens a weight file of any format and counts what is in it.
pub fn read_weights(path: &Path) -> Result<Weights, OpenError> {
    let file = WeightFile::open(path)?;
    let row = |name: &str| TensorRow {
        name: name.to_owned(),
        shape: file.shape(name).unwrap_or_default().to_vec(),
        dtype: file.dtype(name).map_or("other", TensorDtype::name).to_owned(),
    };
    let shapes: Vec<_> = file.names().map(row).collect();
    let mut dtypes = BTreeMap::new();
    for row in &shapes {
        *dtypes.entry(row.dtype.clone()).or_default() += 1;
    }
    let numbers = |row: &TensorRow| row.shape.iter().map(|&side| side as u64).product::<u64>();
    let bytes = file.files().into_iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len());
    let kind = kind_of(&file);
    let source = ModelSource::File(path.to_owned());
    let lack = MissingNetwork::in_file(&file).map(|network| network.error(&source).to_string());
    let (concept, notes) = match (kind == WeightKind::Concept).then(|| concepts::read(path)) {
        Some(Ok(concept)) => (Some(ConceptInfo::of(concept)), Vec::new()),
        Some(Err(error)) => (None, vec![error.to_string()]),
        None => (None, lack.into_iter().collect()),
    };
    Ok(Weights {
        kind: if file.is_pickle() { "pickle" } else { "safetensors" },
        holds: kind.to_string(),
        tensors: shapes.len(),
        parameters: shapes.iter().map(numbers).sum(),
        dtypes,
        bytes: bytes.sum(),
        concept,
        notes,
        shapes,
    })
}

/// Reads the index of a model folder. The error is a sentence with the path.
pub fn read_model_folder(folder: &Path) -> Result<ModelFolder, String> {
    let metadata = FolderMetadata::read(folder);
    let holds = metadata.kind().to_string();
    let note = metadata.refusal.or(metadata.remark);
    let Some(PipelineClass { name: class, components, .. }) = metadata.class else {
        return Err(note.expect("a folder without a class is refused"));
    };
    let parts = components.into_iter().map(|(name, class)| {
        let part_folder = folder.join(&name);
        let weights = component_weights(folder, &name).and_then(|path| read_weights(&path).ok());
        Part { class, bytes: bytes_in(&part_folder), found: part_folder.is_dir(), weights, name }
    });
    Ok(ModelFolder { class, holds, note, parts: parts.collect() })
}

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_folder_lists_its_parts() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
        let found = read_model_folder(&demo).expect("the built-in model");
        assert_eq!(found.class, "StableDiffusionPipeline");
        let names: Vec<_> = found.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["image_encoder", "scheduler", "text_encoder", "tokenizer", "unet", "vae"]);
        assert!(found.parts.iter().all(|part| part.found && part.bytes > 0));
    }
}
