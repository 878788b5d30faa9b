//! Detects what a weight file holds from the keys and shapes of its tensors.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::weight_file::WeightFile;

/// What a weight file holds.
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
    /// True for complete models that make pictures, whether Tidepool supports them or not.
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

    /// Each kind with its label in lists and its description in sentences.
    const TABLE: [(Self, &str, &str); 19] = [
        (Self::StableDiffusion1, "SD 1.x", "a Stable Diffusion 1.x model"),
        (Self::StableDiffusion2, "SD 2.x", "a Stable Diffusion 2.x model"),
        (Self::Inpainting, "Inpainting", "an inpainting model"),
        (Self::Depth, "Depth", "a depth-to-image model"),
        (Self::InstructPix2Pix, "InstructPix2Pix", "an InstructPix2Pix model"),
        (Self::Sdxl, "SDXL", "an SDXL model"),
        (Self::SdxlRefiner, "SDXL refiner", "an SDXL refiner"),
        (Self::StableDiffusion3, "SD 3", "a Stable Diffusion 3 model"),
        (Self::Flux, "FLUX", "a FLUX model"),
        (Self::ControlNet, "ControlNet", "a ControlNet"),
        (Self::Lora, "LoRA", "a LoRA"),
        (Self::Hypernetwork, "Hypernetwork", "a hypernetwork"),
        (Self::Vae, "VAE", "an autoencoder (VAE) alone"),
        (Self::Unet, "UNet", "a UNet alone"),
        (Self::TextEncoder, "Text encoder", "a text encoder alone"),
        (Self::Concept, "Concept", "a concept (textual inversion)"),
        (Self::Upscaler, "Upscaler", "an upscaler"),
        (Self::Trace, "Trace", "a Tidepool trace: the numbers of every step"),
        (Self::Unknown, "Unknown", "a file of unknown tensors"),
    ];

    fn row(self) -> &'static (Self, &'static str, &'static str) {
        Self::TABLE.iter().find(|(kind, ..)| *kind == self).expect("every kind has its row")
    }

    /// A short name for lists, such as "SD 1.x".
    pub fn label(self) -> &'static str {
        self.row().1
    }
}

impl fmt::Display for WeightKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

/// The first row whose text occurs in a key of the file decides, so the more specific rows come first.
const BY_KEY: [(&str, WeightKind); 24] = [
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

/// Detects what a file holds.
pub fn kind_of(file: &WeightFile) -> WeightKind {
    let by_key = BY_KEY.iter().find(|(part, _)| file.names().any(|name| name.contains(part)));
    let kind = by_key.map_or_else(
        || if is_single_concept(file) { WeightKind::Concept } else { WeightKind::Unknown },
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

/// Widths of the text encoders in use, including the built-in model's.
const TEXT_WIDTHS: [usize; 4] = [128, 768, 1024, 1280];

/// True for a file with one tensor, such as `{"<token>": [768]}`.
fn is_single_concept(file: &WeightFile) -> bool {
    let mut names = file.names();
    let (Some(name), None) = (names.next(), names.next()) else { return false };
    matches!(file.shape(name), Some([width] | [_, width]) if TEXT_WIDTHS.contains(width))
}
