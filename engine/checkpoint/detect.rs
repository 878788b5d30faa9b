//! Detects what a weight file holds from the shapes and keys of its tensors.
//!
//! Shapes come first, because a concept may have any word as its key. A whole model is one whatever else lies
//! in its file. Otherwise the first row of [`BY_KEY`] decides; keys are compared by whole components, since
//! their parts occur in other words.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::key_map::{CLIP_PREFIX, OPEN_CLIP_PREFIX, UNET_PREFIX, VAE_PREFIX, find_segments};
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
    Unclip,
    Sdxl,
    SdxlRefiner,
    StableDiffusion3,
    Flux,
    ControlNet,
    ControlLora,
    T2iAdapter,
    IpAdapter,
    Gligen,
    MotionModule,
    Lora,
    Loha,
    Lokr,
    Oft,
    Ia3,
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
                | Self::Unclip
                | Self::Sdxl
                | Self::SdxlRefiner
                | Self::StableDiffusion3
                | Self::Flux
        )
    }

    /// Each kind with its label in lists and its description in sentences.
    const TABLE: [(Self, &str, &str); 29] = [
        (Self::StableDiffusion1, "SD 1.x", "a Stable Diffusion 1.x model"),
        (Self::StableDiffusion2, "SD 2.x", "a Stable Diffusion 2.x model"),
        (Self::Inpainting, "Inpainting", "an inpainting model"),
        (Self::Depth, "Depth", "a depth-to-image model"),
        (Self::InstructPix2Pix, "InstructPix2Pix", "an InstructPix2Pix model"),
        (Self::Unclip, "unCLIP", "an unCLIP model, which varies pictures"),
        (Self::Sdxl, "SDXL", "an SDXL model"),
        (Self::SdxlRefiner, "SDXL refiner", "an SDXL refiner"),
        (Self::StableDiffusion3, "SD 3", "a Stable Diffusion 3 model"),
        (Self::Flux, "FLUX", "a FLUX model"),
        (Self::ControlNet, "ControlNet", "a ControlNet"),
        (Self::ControlLora, "ControlNet LoRA", "a ControlNet LoRA"),
        (Self::T2iAdapter, "T2I-Adapter", "a T2I-Adapter"),
        (Self::IpAdapter, "IP-Adapter", "an IP-Adapter"),
        (Self::Gligen, "GLIGEN", "a GLIGEN model"),
        (Self::MotionModule, "Motion module", "a motion module (AnimateDiff)"),
        (Self::Lora, "LoRA", "a LoRA"),
        (Self::Loha, "LoHa", "a LoHa (LyCORIS)"),
        (Self::Lokr, "LoKr", "a LoKr (LyCORIS)"),
        (Self::Oft, "OFT", "an OFT network"),
        (Self::Ia3, "IA3", "an IA3 network"),
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

/// Where a key has a text.
#[derive(Clone, Copy)]
enum Key {
    /// It is the whole key.
    Is(&'static str),
    Starts(&'static str),
    Ends(&'static str),
    /// As whole components: `lora` is in `q.lora.up`, and not in `flora.up`.
    Has(&'static str),
}

impl Key {
    fn matches(self, name: &str) -> bool {
        match self {
            Self::Is(text) => name == text,
            Self::Starts(text) => name.starts_with(text),
            Self::Ends(text) => name.ends_with(text),
            Self::Has(components) => find_segments(name, components).is_some(),
        }
    }
}

/// The first row that matches a key of the file decides. So what only one kind has comes first, then networks,
/// which may have stray keys of what was merged into them, then what is added to networks, then parts of
/// networks.
const BY_KEY: [(Key, WeightKind); 60] = [
    (Key::Starts("denoised."), WeightKind::Trace),
    (Key::Starts("string_to_param."), WeightKind::Concept),
    (Key::Is("emb_params"), WeightKind::Concept),
    (Key::Is("clip_l"), WeightKind::Concept),
    (Key::Is("clip_g"), WeightKind::Concept),
    (Key::Is("lora_controlnet"), WeightKind::ControlLora),
    (Key::Starts("control_model."), WeightKind::ControlNet),
    (Key::Starts("controlnet_cond_embedding."), WeightKind::ControlNet),
    (Key::Starts("input_hint_block."), WeightKind::ControlNet),
    (Key::Starts("lllite_"), WeightKind::ControlNet),
    (Key::Starts("adapter.body."), WeightKind::T2iAdapter),
    (Key::Starts("body.0.block1."), WeightKind::T2iAdapter),
    (Key::Starts("body.0.in_conv."), WeightKind::T2iAdapter),
    (Key::Starts("ip_adapter."), WeightKind::IpAdapter),
    (Key::Has("position_net"), WeightKind::Gligen),
    (Key::Has("fuser"), WeightKind::Gligen),
    (Key::Has("motion_modules"), WeightKind::MotionModule),
    (Key::Is("time_embedding.linear_1.weight"), WeightKind::Unet),
    (Key::Is("input_blocks.0.0.weight"), WeightKind::Unet),
    (Key::Is("diffusion_model.input_blocks.0.0.weight"), WeightKind::Unet),
    (Key::Is("decoder.conv_in.weight"), WeightKind::Vae),
    (Key::Is("first_stage_model.decoder.conv_in.weight"), WeightKind::Vae),
    (Key::Is("text_model.embeddings.token_embedding.weight"), WeightKind::TextEncoder),
    (Key::Ends(".hada_w1_a"), WeightKind::Loha),
    (Key::Ends(".lokr_w1"), WeightKind::Lokr),
    (Key::Ends(".lokr_w1_a"), WeightKind::Lokr),
    (Key::Ends(".oft_blocks"), WeightKind::Oft),
    (Key::Ends(".oft_diag"), WeightKind::Oft),
    (Key::Has("oft_r"), WeightKind::Oft),
    (Key::Has("oft_R"), WeightKind::Oft),
    (Key::Ends(".on_input"), WeightKind::Ia3),
    (Key::Has("ia3_l"), WeightKind::Ia3),
    (Key::Has("lora_up"), WeightKind::Lora),
    (Key::Has("lora_down"), WeightKind::Lora),
    (Key::Has("lora_A"), WeightKind::Lora),
    (Key::Has("lora_B"), WeightKind::Lora),
    (Key::Has("lora"), WeightKind::Lora),
    (Key::Has("lora_linear_layer"), WeightKind::Lora),
    (Key::Ends("_lora.up.weight"), WeightKind::Lora),
    (Key::Ends("_lora.down.weight"), WeightKind::Lora),
    (Key::Starts("lora_unet_"), WeightKind::Lora),
    (Key::Starts("lora_te_"), WeightKind::Lora),
    (Key::Starts("lora_te1_"), WeightKind::Lora),
    (Key::Starts("lora_te2_"), WeightKind::Lora),
    (Key::Starts("lycoris_"), WeightKind::Lora),
    (Key::Starts("unet:0:"), WeightKind::Lora),
    (Key::Starts("320.0.linear"), WeightKind::Hypernetwork),
    (Key::Starts("768.0.linear"), WeightKind::Hypernetwork),
    (Key::Starts("1024.0.linear"), WeightKind::Hypernetwork),
    (Key::Has("joint_blocks"), WeightKind::StableDiffusion3),
    (Key::Has("double_blocks"), WeightKind::Flux),
    (Key::Has("single_transformer_blocks"), WeightKind::Flux),
    (Key::Starts("conditioner.embedders.1."), WeightKind::Sdxl),
    (Key::Starts("conditioner.embedders.0.model."), WeightKind::SdxlRefiner),
    (Key::Starts("cond_stage_model.model."), WeightKind::TextEncoder),
    (Key::Has("decoder.conv_in"), WeightKind::Vae),
    (Key::Has("text_model"), WeightKind::TextEncoder),
    (Key::Has("token_embedding"), WeightKind::TextEncoder),
    (Key::Has("body.0.rdb1"), WeightKind::Upscaler),
    (Key::Has("model.1.sub.0.RDB1"), WeightKind::Upscaler),
];

/// Detects what a file holds.
pub fn kind_of(file: &WeightFile) -> WeightKind {
    if is_single_concept(file) {
        return WeightKind::Concept;
    }
    let by_key = || BY_KEY.iter().find(|(key, _)| file.names().any(|name| key.matches(name)));
    whole_model(file).unwrap_or_else(|| by_key().map_or(WeightKind::Unknown, |(_, kind)| *kind))
}

/// The kind of a model in one file, by its UNet and its text encoder; `None` if it has no UNet of that
/// layout.
fn whole_model(file: &WeightFile) -> Option<WeightKind> {
    let unet =
        |name: &str| file.shape(&format!("{UNET_PREFIX}{name}")).and_then(|shape| shape.get(1)).copied();
    let has = |prefix: &str| file.has_prefix(prefix);
    let inputs = match file.shape("model.diffusion_model.input_blocks.0.0.weight") {
        Some(&[_, inputs, _, _]) => inputs,
        // One that lacks only this is still a model.
        _ if has("model.diffusion_model.input_blocks.") => 4,
        _ => return None,
    };
    let (is_clip, is_open_clip) = (has(CLIP_PREFIX), has(OPEN_CLIP_PREFIX));
    let has_text = has_text_encoder(file);
    let has_classes = has("model.diffusion_model.label_emb.");
    let width = unet("middle_block.1.transformer_blocks.0.attn2.to_k.weight");
    let table_width = |name: &str| file.shape(name).and_then(|shape| shape.get(1)).copied();
    let is_sd2 = match (is_clip, is_open_clip) {
        // One of them is a remainder of a merge.
        (true, true) => {
            let table = "cond_stage_model.model.token_embedding.weight";
            let others = ["text_model.", ""]
                .map(|inner| table_width(&format!("{CLIP_PREFIX}{inner}embeddings.token_embedding.weight")));
            table_width(table) == width && !others.contains(&width)
        }
        (false, false) => width == Some(OPEN_CLIP_WIDTH),
        (_, is_open_clip) => is_open_clip,
    };
    Some(match (is_sd2, kind_by_inputs(inputs)) {
        _ if !has_text && has("conditioner.embedders.1.") => WeightKind::Sdxl,
        _ if !has_text && has("conditioner.embedders.0.model.") => WeightKind::SdxlRefiner,
        _ if !has_text && has_classes => WeightKind::Sdxl,
        _ if !has_text && !has(VAE_PREFIX) => WeightKind::Unet,
        (_, Some(WeightKind::Upscaler)) => WeightKind::Upscaler,
        _ if has_classes => WeightKind::Unclip,
        (_, Some(kind)) => kind,
        (true, None) => WeightKind::StableDiffusion2,
        (false, None) => WeightKind::StableDiffusion1,
    })
}

/// True for a checkpoint in one file with a text encoder of SD 1.x or 2.x.
pub fn has_text_encoder(file: &WeightFile) -> bool {
    file.has_prefix(CLIP_PREFIX) || file.has_prefix(OPEN_CLIP_PREFIX)
}

/// Models of other kinds with the networks of Stable Diffusion, by the channels that their UNets read: beside
/// the four of the latents a mask and a masked picture, a picture, depth, or a small picture.
const KIND_BY_INPUTS: [(usize, WeightKind); 4] = [
    (9, WeightKind::Inpainting),
    (8, WeightKind::InstructPix2Pix),
    (5, WeightKind::Depth),
    (7, WeightKind::Upscaler),
];

/// What a UNet that reads so many channels makes of a model with the networks of Stable Diffusion; `None` if it is an
/// ordinary one.
pub fn kind_by_inputs(channels: usize) -> Option<WeightKind> {
    KIND_BY_INPUTS.into_iter().find(|(inputs, _)| *inputs == channels).map(|(_, kind)| kind)
}

/// Width of the text embeddings of SD 2.x, which distinguishes it from SD 1.x.
pub const OPEN_CLIP_WIDTH: usize = 1024;
/// Widths of the text encoders in use, including those of the built-in model and of the one before it.
const TEXT_WIDTHS: [usize; 5] = [128, 192, 768, OPEN_CLIP_WIDTH, 1280];
/// Vectors that a concept may have: a prompt has no room for more.
pub const MAX_VECTORS: usize = 75;

/// True for a file with one tensor, such as `{"<token>": [768]}`.
fn is_single_concept(file: &WeightFile) -> bool {
    let mut names = file.names();
    let (Some(name), None) = (names.next(), names.next()) else { return false };
    match file.shape(name) {
        Some([width]) => TEXT_WIDTHS.contains(width),
        Some([count, width]) => *count <= MAX_VECTORS && TEXT_WIDTHS.contains(width),
        _ => false,
    }
}
