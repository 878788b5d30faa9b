//! The built-in model, the models of `tests/golden/models`, and made-up concepts.

use std::path::Path;
use std::sync::Arc;

use engine::checkpoint::{ModelSource, SchedulerConfig};
use engine::concepts::Concept;
use engine::device::{DeviceChoice, DeviceInfo, DeviceSelector, Precision};
use engine::memory::estimate::MemoryEstimate;
use engine::pipeline::{ModelInfo, OpenOptions, Pipeline};
use engine::tokenizer::Tokenizer;

use super::numbers::golden_folder;

/// With the built-in model's own tokenizer, so that token counts are real.
pub fn model_info() -> ModelInfo {
    let vocab = include_bytes!("../../../assets/demo/tokenizer/vocab.json");
    let merges = include_bytes!("../../../assets/demo/tokenizer/merges.txt");
    ModelInfo {
        name: "Built-in".into(),
        kind: "Stable Diffusion 1.x".into(),
        vae: None,
        file_bytes: 30_000_000,
        parameters: 15_000_000,
        native_side: 128,
        vae_factor: 8,
        notes: Vec::new(),
        device: DeviceInfo {
            name: "CPU, 2 threads".into(),
            driver: String::new(),
            is_gpu: false,
            precision: Precision::F32,
            why: "This machine has no GPU".into(),
        },
        tokenizer: Arc::new(Tokenizer::from_vocabulary(vocab, merges, 77).expect("a vocabulary")),
        text_width: text_width(),
        scheduler: SchedulerConfig::default(),
        memory: MemoryEstimate::default(),
    }
}

/// The width of the built-in model's text embeddings.
pub fn text_width() -> usize {
    let config = include_bytes!("../../../assets/demo/text_encoder/config.json");
    let config: serde_json::Value = serde_json::from_slice(config).expect("JSON");
    config["hidden_size"].as_u64().expect("a width") as usize
}

/// A concept of the built-in model's width.
pub fn concept(file: &str, token: &str, count: usize) -> Concept {
    Concept {
        token: token.into(),
        width: text_width(),
        vectors: vec![0.5; text_width() * count],
        source: Path::new("/concepts").join(file),
        sha256: "0123456789ab".repeat(6)[..64].into(),
    }
}

/// The built-in model and three of other shapes, with random weights; the last one predicts v.
pub const MODELS: [&str; 4] = ["demo", "narrow", "wide", "velocity"];

/// One of [`MODELS`], on the CPU.
pub fn pipeline(model: &str) -> Pipeline {
    let source = match model {
        "demo" => ModelSource::BuiltIn,
        _ => ModelSource::Folder(golden_folder().join("models").join(model)),
    };
    let cpu = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    Pipeline::open(&source, cpu, &mut |_| true).unwrap_or_else(|error| panic!("{model}: {error}"))
}

/// A model from anywhere on the disk, on the CPU.
pub fn open(path: &Path) -> Result<Pipeline, String> {
    open_with_vae(path, None)
}

/// The same with another VAE in place of its own.
pub fn open_with_vae(path: &Path, vae: Option<&Path>) -> Result<Pipeline, String> {
    let device = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    let options = OpenOptions { device, vae, make_room: None };
    Pipeline::open(&ModelSource::at(path.to_owned()), options, &mut |_| true)
        .map_err(|error| error.to_string())
}
