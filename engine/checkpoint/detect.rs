//! What a weight file holds, told from the names and shapes of its tensors.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::weight_file::WeightFile;

/// What weights are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightKind {
    StableDiffusion1,
    StableDiffusion2,
    Inpainting,
    Depth,
    InstructPix2Pix,
    Sdxl,
    SdxlRefiner,
    StableDiffusion3,
    Flux,
    ControlNet,
    Lora,
    Hypernetwork,
    Vae,
    Unet,
    TextEncoder,
    Concept,
    Upscaler,
    Trace,
    Unknown,
}

impl WeightKind {
    /// True for what makes pictures by itself, whether Tidepool reads it or not.
    pub fn is_model(self) -> bool {
        matches!(
            self,
            Self::StableDiffusion1
                | Self::StableDiffusion2
                | Self::Inpainting
                | Self::Depth
                | Self::InstructPix2Pix
                | Self::Sdxl
                | Self::SdxlRefiner
                | Self::StableDiffusion3
                | Self::Flux
        )
    }

    /// In a list: "SD 1.x".
    pub fn label(self) -> &'static str {
        match self {
            Self::StableDiffusion1 => "SD 1.x",
            Self::StableDiffusion2 => "SD 2.x",
            Self::Inpainting => "Inpainting",
            Self::Depth => "Depth",
            Self::InstructPix2Pix => "InstructPix2Pix",
            Self::Sdxl => "SDXL",
            Self::SdxlRefiner => "SDXL refiner",
            Self::StableDiffusion3 => "SD 3",
            Self::Flux => "FLUX",
            Self::ControlNet => "ControlNet",
            Self::Lora => "LoRA",
            Self::Hypernetwork => "Hypernetwork",
            Self::Vae => "VAE",
            Self::Unet => "UNet",
            Self::TextEncoder => "Text encoder",
            Self::Concept => "Concept",
            Self::Upscaler => "Upscaler",
            Self::Trace => "Trace",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for WeightKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StableDiffusion1 => "a Stable Diffusion 1.x model",
            Self::StableDiffusion2 => "a Stable Diffusion 2.x model",
            Self::Inpainting => "an inpainting model",
            Self::Depth => "a depth-to-image model",
            Self::InstructPix2Pix => "an InstructPix2Pix model",
            Self::Sdxl => "an SDXL model",
            Self::SdxlRefiner => "an SDXL refiner",
            Self::StableDiffusion3 => "a Stable Diffusion 3 model",
            Self::Flux => "a FLUX model",
            Self::ControlNet => "a ControlNet",
            Self::Lora => "a LoRA",
            Self::Hypernetwork => "a hypernetwork",
            Self::Vae => "an autoencoder (VAE) alone",
            Self::Unet => "a UNet alone",
            Self::TextEncoder => "a text encoder alone",
            Self::Concept => "a concept (textual inversion)",
            Self::Upscaler => "an upscaler",
            Self::Trace => "a trace of Tidepool's: the numbers of every step",
            Self::Unknown => "a file of tensors unknown to Tidepool",
        })
    }
}

/// The first row of which a name in the file has the part decides; those that hold others come first.
const BY_NAME: [(&str, WeightKind); 24] = [
    ("denoised.", WeightKind::Trace),
    ("lora_", WeightKind::Lora),
    (".lora", WeightKind::Lora),
    (".hada_w1_a", WeightKind::Lora),
    ("control_model.", WeightKind::ControlNet),
    ("controlnet_cond_embedding.", WeightKind::ControlNet),
    ("input_hint_block.", WeightKind::ControlNet),
    ("joint_blocks.", WeightKind::StableDiffusion3),
    ("double_blocks.", WeightKind::Flux),
    ("single_transformer_blocks.", WeightKind::Flux),
    ("conditioner.embedders.1.", WeightKind::Sdxl),
    ("conditioner.embedders.0.model.", WeightKind::SdxlRefiner),
    ("diffusion_model.label_emb.", WeightKind::Sdxl),
    ("cond_stage_model.model.", WeightKind::StableDiffusion2),
    ("model.diffusion_model.input_blocks.", WeightKind::StableDiffusion1),
    ("string_to_param", WeightKind::Concept),
    ("emb_params", WeightKind::Concept),
    ("clip_l", WeightKind::Concept),
    ("time_embedding.linear_1.", WeightKind::Unet),
    ("decoder.conv_in.", WeightKind::Vae),
    ("text_model.", WeightKind::TextEncoder),
    ("token_embedding.", WeightKind::TextEncoder),
    ("body.0.rdb1.", WeightKind::Upscaler),
    ("model.1.sub.0.RDB1.", WeightKind::Upscaler),
];

/// Says what a file holds.
pub fn kind_of(file: &WeightFile) -> WeightKind {
    let by_name = BY_NAME.iter().find(|(part, _)| file.names().any(|name| name.contains(part)));
    let kind = by_name.map_or_else(
        || if holds_one_concept(file) { WeightKind::Concept } else { WeightKind::Unknown },
        |(_, kind)| *kind,
    );
    let inputs = file.shape("model.diffusion_model.input_blocks.0.0.weight").and_then(|shape| shape.get(1));
    match (kind, inputs) {
        (WeightKind::StableDiffusion1 | WeightKind::StableDiffusion2, Some(9)) => WeightKind::Inpainting,
        (WeightKind::StableDiffusion1, Some(8)) => WeightKind::InstructPix2Pix,
        (WeightKind::StableDiffusion2, Some(5)) => WeightKind::Depth,
        _ => kind,
    }
}

/// Widths of the text encoders in use, the built-in model's among them.
const TEXT_WIDTHS: [usize; 4] = [128, 768, 1024, 1280];

/// `{"<token>": [768]}` and nothing else.
fn holds_one_concept(file: &WeightFile) -> bool {
    let mut names = file.names();
    let (Some(name), None) = (names.next(), names.next()) else { return false };
    matches!(file.shape(name), Some([width] | [_, width]) if TEXT_WIDTHS.contains(width))
}
