//! What the pipeline of a diffusers folder is, told by `model_index.json` and the UNet's configuration alone:
//! the library, downloads and opening all answer from here.
//!
//! A pipeline opens, whatever its class, if it has the networks of Stable Diffusion 1.x or 2.x: then it is run
//! as text to image, and what it has beside them (a ControlNet, a safety checker) is left aside. A class
//! is looked up only to say what another model is.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::component_files::ComponentFiles;
use super::detect::{OPEN_CLIP_WIDTH, WeightKind, kind_by_inputs};
use super::{ModelSource, OpenError};

/// The pipeline of a model in diffusers layout.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineClass {
    /// "StableDiffusionPipeline".
    pub name: String,
    pub kind: WeightKind,
    /// What it is instead of a model that Tidepool opens: "an SDXL model (StableDiffusionXLPipeline)".
    pub refusal: Option<String>,
    /// The components that it has, with their classes.
    pub components: BTreeMap<String, String>,
}

/// The networks of Stable Diffusion 1.x and 2.x, and their classes.
const NETWORKS: [(&str, &str); 3] =
    [("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL"), ("text_encoder", "CLIPTextModel")];

/// A further one of these changes what the networks above compute or are given.
const OTHER_NETWORKS: [&str; 5] =
    ["text_encoder_2", "transformer", "motion_adapter", "image_normalizer", "prior"];

/// Models of other kinds. The longest beginning of a class decides.
const KIND_BY_CLASS: [(&str, WeightKind); 9] = [
    ("Flux", WeightKind::Flux),
    ("StableDiffusion3", WeightKind::StableDiffusion3),
    ("StableDiffusionDepth2Img", WeightKind::Depth),
    ("StableDiffusionInstructPix2Pix", WeightKind::InstructPix2Pix),
    ("StableDiffusionLatentUpscale", WeightKind::Upscaler),
    ("StableDiffusionUpscale", WeightKind::Upscaler),
    ("StableDiffusionXL", WeightKind::Sdxl),
    ("StableDiffusionXLImg2Img", WeightKind::SdxlRefiner),
    ("StableDiffusionXLInstructPix2Pix", WeightKind::InstructPix2Pix),
];

/// Models of further kinds, by the beginning of their class.
const NAME_BY_CLASS: [(&str, &str); 20] = [
    ("AltDiffusion", "an AltDiffusion model"),
    ("AnimateDiff", "a video model"),
    ("Flax", "a model in Flax's format"),
    ("HunyuanDiT", "a Hunyuan-DiT model"),
    ("IF", "a DeepFloyd IF model"),
    ("Kandinsky", "a Kandinsky model"),
    ("Kolors", "a Kolors model"),
    ("Marigold", "a Marigold model, which reads pictures"),
    ("ORTStableDiffusion", "a model in ONNX format"),
    ("OVStableDiffusion", "a model in OpenVINO's format"),
    ("OnnxStableDiffusion", "a model in ONNX format"),
    ("PIA", "a video model"),
    ("PixArt", "a PixArt model"),
    ("StableCascade", "a Stable Cascade model"),
    ("StableDiffusionGLIGEN", "a GLIGEN model"),
    ("StableDiffusionImageVariation", "an image-variation model"),
    ("StableDiffusionLDM3D", "an LDM3D model"),
    ("StableUnCLIP", "an unCLIP model"),
    ("StableVideoDiffusion", "a video model"),
    ("Wuerstchen", "a Würstchen model"),
];

/// `model_index.json`: the class of the pipeline, and library and class of each component.
#[derive(Deserialize)]
struct ModelIndex {
    #[serde(default, rename = "_class_name")]
    class: Value,
    #[serde(flatten)]
    components: BTreeMap<String, Value>,
}

impl ModelIndex {
    /// The name of the class. diffusers writes a custom one as a list of its module and its name.
    fn class(&self) -> String {
        let name = self.class.as_str().or_else(|| self.class.as_array()?.last()?.as_str());
        name.unwrap_or("no class name").to_owned()
    }

    /// The class of a component, unless it is absent.
    fn component(&self, name: &str) -> Option<&str> {
        self.components.get(name)?.get(1)?.as_str()
    }

    /// The kind of a model that Tidepool does not open, and what it is.
    fn other_model(&self, unet: &Value) -> Option<(WeightKind, String)> {
        let class = self.class();
        let kinds = KIND_BY_CLASS.iter().filter(|(start, _)| class.starts_with(start));
        let by_class = kinds.max_by_key(|(start, _)| start.len()).map(|(_, kind)| *kind);
        let by_name = || NAME_BY_CLASS.iter().find(|(start, _)| class.starts_with(start));
        let by_inputs = || kind_by_inputs(unet["in_channels"].as_u64()?.try_into().ok()?);
        let unknown = |what: String| Some((WeightKind::Unknown, what));
        if let Some(kind) = by_class {
            Some((kind, kind.to_string()))
        } else if let Some((_, name)) = by_name() {
            unknown((*name).into())
        } else if let Some(difference) = self.difference() {
            unknown(format!("a model {difference}"))
        } else if let Some(kind) = by_inputs() {
            Some((kind, kind.to_string()))
        } else if !unet["time_cond_proj_dim"].is_null() {
            unknown(
                "a latent consistency model whose UNet reads the guidance scale by time_cond_proj_dim".into(),
            )
        } else {
            None
        }
    }

    /// What is not as in Stable Diffusion, as a clause.
    fn difference(&self) -> Option<String> {
        let of_network = |&(name, expected): &(&str, &str)| match self.component(name) {
            None => Some(format!("which has no {name}")),
            Some(class) if class != expected => Some(format!("whose {name} is of the class {class}")),
            Some(_) => None,
        };
        let other = || OTHER_NETWORKS.iter().find(|name| self.component(name).is_some());
        let further = || other().map(|name| format!("with the further component {name}"));
        NETWORKS.iter().find_map(of_network).or_else(further)
    }
}

impl PipelineClass {
    /// The pipeline of a folder.
    ///
    /// # Errors
    /// If it has no `model_index.json`, or an invalid one.
    pub fn of_folder(folder: &Path) -> Result<Self, OpenError> {
        Self::of(&ComponentFiles::new(&ModelSource::Folder(folder.to_owned())))
    }

    pub(super) fn of(files: &ComponentFiles<'_>) -> Result<Self, OpenError> {
        let index = match files.read("model_index.json") {
            Err(OpenError::Unreadable(error, _)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::NotAModel("it has no model_index.json".into(), files.root()));
            }
            index => index?,
        };
        Self::read(&index, files.read("unet/config.json").ok().as_deref())
            .map_err(|error| OpenError::BadConfig(error.to_string(), files.path("model_index.json")))
    }

    /// Refuses a model that Tidepool does not open.
    pub(super) fn check(self, files: &ComponentFiles<'_>) -> Result<(), OpenError> {
        self.refusal.map_or(Ok(()), |what| Err(OpenError::OtherPipeline(what, files.root())))
    }

    /// Reads `model_index.json`, and `unet/config.json` if there is one.
    pub fn read(index: &[u8], unet: Option<&[u8]>) -> serde_json::Result<Self> {
        let index: ModelIndex = serde_json::from_slice(index)?;
        // What is wrong with it is told when the model is opened.
        let unet: Value = unet.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
        let name = index.class();
        let other = index.other_model(&unet);
        let kind = match &other {
            Some((kind, _)) => *kind,
            None if unet["cross_attention_dim"] == OPEN_CLIP_WIDTH => WeightKind::StableDiffusion2,
            None => WeightKind::StableDiffusion1,
        };
        let components = index.components.keys();
        let components =
            components.filter_map(|part| Some((part.clone(), index.component(part)?.to_owned())));
        Ok(Self {
            kind,
            refusal: other.map(|(_, what)| format!("{what} ({name})")),
            components: components.collect(),
            name,
        })
    }
}
