//! Opens a CLIP: the text encoder and the image encoder that were trained together.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, FloatDType, Tensor};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::component_files::{ComponentFiles, TRANSFORMERS};
use super::key_map::{self, KeyMap};
use super::load::{ComponentSource, LoadPlan, Target};
use super::tokenizer_files;
use super::weight_file::WeightFile;
use super::{ModelSource, OpenError, OpenedModel};
use crate::models::{ClipText, ClipTextConfig, ClipVision, ClipVisionConfig, Linear};
use crate::tokenizer::{END, Tokenizer};

/// A CLIP, with what its pictures are normalised by.
pub struct ClipModel {
    pub image_encoder: ClipVision,
    text_encoder: ClipText,
    text_projection: Linear,
    tokenizer: Arc<Tokenizer>,
    /// Of red, green and blue in 0..1.
    pub image_mean: [f32; 3],
    pub image_std: [f32; 3],
}

impl ClipModel {
    /// The embedding of a text, of length 1. A text of more than one chunk is cut.
    ///
    /// # Shapes
    /// - output: `[1, width]`
    pub fn text_embedding(&self, text: &str) -> Tensor<2> {
        let tokens = self.tokenizer.pieces(text).into_iter().map(|(id, _)| id);
        let ids = self.tokenizer.chunk_ids(tokens.take(self.tokenizer.capacity()));
        let end = self.tokenizer.id(END);
        let at = ids.iter().skip(1).position(|id| Some(*id) == end).map_or(ids.len() - 1, |at| at + 1);
        let encoded = self.text_encoder.forward(self.text_encoder.token_embeddings(&[&ids]));
        let projected = self.text_projection.forward(encoded.narrow(1, at, 1));
        let [_, _, width] = projected.dims();
        of_length_1(projected.reshape([1, width]))
    }

    /// The embedding of a picture, of length 1.
    ///
    /// # Shapes
    /// - pixels: `[batch, 3, image_size, image_size]`, normalised
    /// - output: `[batch, width]`
    pub fn picture_embedding(&self, pixels: Tensor<4>) -> Tensor<2> {
        of_length_1(self.image_encoder.forward(pixels))
    }
}

fn of_length_1(x: Tensor<2>) -> Tensor<2> {
    let length = x.clone().square().sum_dim(1).sqrt();
    x / length
}

/// `config.json` of a `CLIPModel`.
#[derive(Deserialize)]
struct ClipConfig {
    text_config: ClipTextConfig,
    vision_config: ClipVisionConfig,
    projection_dim: usize,
}

/// `preprocessor_config.json`. The default is that of OpenAI's CLIP.
#[derive(Deserialize)]
#[serde(default)]
struct Preprocessor {
    image_mean: [f32; 3],
    image_std: [f32; 3],
}

impl Default for Preprocessor {
    fn default() -> Self {
        Self {
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        }
    }
}

/// Opens a folder as transformers saves a `CLIPModel` and its tokenizer.
pub fn open_clip(folder: &Path, device: &Device) -> Result<ClipModel, OpenError> {
    let source = ModelSource::Folder(folder.to_owned());
    let files = ComponentFiles::flat(&source);
    let config: ClipConfig = read_json(&files, "config.json")?;
    let vision = ClipVisionConfig { projection_dim: config.projection_dim, ..config.vision_config };
    let unsupported = |what| OpenError::Unsupported(what, files.path("config.json"));
    config.text_config.check().and_then(|()| vision.check()).map_err(unsupported)?;
    let tokenizer = tokenizer_files::read(&files, config.text_config.max_position_embeddings)?;
    if tokenizer.vocabulary_len() > config.text_config.vocab_size {
        let what = format!(
            "a vocabulary of {} tokens where the text encoder has {}",
            tokenizer.vocabulary_len(),
            config.text_config.vocab_size
        );
        return Err(OpenError::BadConfig(what, files.path("config.json")));
    }
    let file = files.weights("", TRANSFORMERS)?;
    let projection = Linear::without_bias(config.text_config.hidden_size, config.projection_dim, device);
    let Preprocessor { image_mean, image_std } = preprocessor(&files, "preprocessor_config.json");
    Ok(ClipModel {
        image_encoder: load(vision.init(device), &file, KeyMap::default(), device)?,
        text_encoder: load(config.text_config.init(device), &file, key_map::clip(), device)?,
        text_projection: load(projection, &file, key_map::text_projection(), device)?,
        tokenizer: Arc::new(tokenizer),
        image_mean,
        image_std,
    })
}

/// Opens the CLIP of a model that has an `image_encoder` beside its text encoder, and in the latter a projection.
pub fn open_own_clip(model: &OpenedModel, device: &Device) -> Result<ClipModel, OpenError> {
    let files = ComponentFiles::new(&model.source);
    let root = || files.root();
    let config: ClipVisionConfig =
        read_json(&files, "image_encoder/config.json").map_err(|error| match error {
            OpenError::Unreadable(..) | OpenError::Missing(..) => OpenError::NoImageEncoder(root()),
            other => other,
        })?;
    config.check().map_err(|what| OpenError::Unsupported(what, files.path("image_encoder/config.json")))?;
    let text_file = files.weights("text_encoder", TRANSFORMERS)?;
    let text_width = model.config.text_encoder.hidden_size;
    match text_file.shape("text_projection.weight") {
        Some(shape) if shape == [config.projection_dim, text_width] => {}
        Some(shape) => {
            let what = format!(
                "a text projection of {shape:?} where its encoders need {:?}",
                [config.projection_dim, text_width]
            );
            return Err(OpenError::BadConfig(what, root()));
        }
        None => return Err(OpenError::NoImageEncoder(root())),
    }
    let image_file = files.weights("image_encoder", TRANSFORMERS)?;
    let projection = Linear::without_bias(text_width, config.projection_dim, device);
    let Preprocessor { image_mean, image_std } =
        preprocessor(&files, "feature_extractor/preprocessor_config.json");
    Ok(ClipModel {
        image_encoder: load(config.init(device), &image_file, KeyMap::default(), device)?,
        text_encoder: model.text_encoder.clone(),
        text_projection: load(projection, &text_file, key_map::text_projection(), device)?,
        tokenizer: model.tokenizer.clone(),
        image_mean,
        image_std,
    })
}

/// In f32, since the embeddings are compared.
fn load<M: Module>(network: M, file: &WeightFile, key_map: KeyMap, device: &Device) -> Result<M, OpenError> {
    let source = ComponentSource { file, prefix: "", key_map };
    let target = Target { device, dtype: FloatDType::F32 };
    LoadPlan::new(&network, &source, &target)?.fill(network, &mut |_| true)
}

fn read_json<T: DeserializeOwned>(files: &ComponentFiles<'_>, name: &str) -> Result<T, OpenError> {
    let path: PathBuf = files.path(name);
    serde_json::from_slice(&files.read(name)?).map_err(|error| OpenError::BadConfig(error.to_string(), path))
}

/// The defaults if there is no such file, or it says nothing of colours.
fn preprocessor(files: &ComponentFiles<'_>, name: &str) -> Preprocessor {
    read_json(files, name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use safetensors::SafeTensors;

    use super::*;
    use crate::diffusion::TorchGenerator;

    fn golden_folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
    }

    fn golden(name: &str) -> Vec<f32> {
        let file =
            std::fs::read(golden_folder().join("data/loss_gradients.safetensors")).expect("golden data");
        let file = SafeTensors::deserialize(&file).expect("safetensors");
        let bytes = file.tensor(name).expect(name).data().as_chunks().0.to_vec();
        bytes.into_iter().map(f32::from_le_bytes).collect()
    }

    #[track_caller]
    fn assert_near<const D: usize>(what: &str, ours: Tensor<D>) {
        let (ours, theirs): (Vec<f32>, _) = (ours.into_data().try_into_vec().expect("f32"), golden(what));
        let largest = theirs.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        assert_eq!(ours.len(), theirs.len(), "{what}");
        let apart = ours.iter().zip(&theirs).fold(0.0f32, |apart, (a, b)| apart.max((a - b).abs()));
        assert!(apart <= 1e-4 * largest, "{what}: {apart} apart, where the largest is {largest}");
    }

    /// The text as `loss_gradients.py` has it.
    #[test]
    fn embeddings_of_texts_and_pictures_and_their_gradient_are_those_of_transformers() {
        let clip = open_clip(&golden_folder().join("models/clip"), &Device::flex()).expect("a CLIP");
        let text = clip.text_embedding("a red fox, at night");
        assert_near("clip.text", text.clone());
        let side = clip.image_encoder.image_size();
        let numbers = TorchGenerator::new(7).randn(3 * side * side);
        let pixels = Tensor::<4>::from_data(TensorData::new(numbers, [1, 3, side, side]), &Device::flex());
        assert_near("clip.picture", clip.picture_embedding(pixels.clone()));
        let pixels = pixels.autodiff().require_grad();
        let gradients = (clip.picture_embedding(pixels.clone()) * text).sum().backward();
        assert_near("clip.grad", pixels.grad(&gradients).expect("it depends on the pixels"));
    }

    #[test]
    fn a_clip_whose_weights_are_of_another_width_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in std::fs::read_dir(golden_folder().join("models/clip")).expect("a folder") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
        }
        let config = folder.path().join("config.json");
        let text = std::fs::read_to_string(&config).expect("JSON");
        std::fs::write(&config, text.replace("\"projection_dim\": 24", "\"projection_dim\": 25"))
            .expect("written");
        let error = open_clip(folder.path(), &Device::flex()).err().expect("it is refused");
        assert!(matches!(error, OpenError::Misshapen { .. }), "{error}");
    }
}
