//! The settings of diffusers and transformers that change a network or the noise that it was trained on, and that
//! are alike in all of Stable Diffusion 1.x and 2.x: this program has them in one form, and refuses another by name.
//!
//! Other settings are read into the configuration, or have no effect here: those of training (dropout), of diffusers'
//! own samplers (the user picks one), and those that diffusers ignores in these networks.

use serde_json::{Value, json};

use crate::diffusion::{BetaSchedule, Prediction};

/// Longer values are not quoted: a list of betas has a thousand numbers.
const MAX_QUOTED_BYTES: usize = 60;

/// The part of a model that a configuration file belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Component {
    Unet,
    Vae,
    TextEncoder,
    Scheduler,
}

impl Component {
    /// The first setting that this program does not have, in words.
    pub fn unsupported(self, config: &Value) -> Option<String> {
        let name = match self {
            Self::Unet => "UNet",
            Self::Vae => "VAE",
            Self::TextEncoder => "text encoder",
            Self::Scheduler => "scheduler",
        };
        let fixed = self.fixed_settings();
        let mut settings = fixed.as_object().into_iter().flatten();
        let (key, value) = settings.find_map(|(key, allowed)| {
            let value = config.get(key)?;
            (!is_one_of(value, allowed)).then_some((key, value))
        })?;
        Some(match value.to_string() {
            long if long.len() > MAX_QUOTED_BYTES => format!("a {name} with {key}"),
            value => format!("a {name} with {key} {value}"),
        })
    }

    /// Each setting with the values that it may have.
    fn fixed_settings(self) -> Value {
        match self {
            Self::Unet => json!({
                "act_fn": ["silu", "swish"],
                "addition_embed_type": [null],
                "attention_type": ["default"],
                "center_input_sample": [false, null],
                "class_embed_type": [null],
                "class_embeddings_concat": [false, null],
                "conv_in_kernel": [3],
                "conv_out_kernel": [3],
                "downsample_padding": [1],
                "dual_cross_attention": [false, null],
                "encoder_hid_dim": [null],
                "encoder_hid_dim_type": [null],
                "mid_block_scale_factor": [1],
                "mid_block_type": ["UNetMidBlock2DCrossAttn", "UNetMidBlock2D", null],
                "num_attention_heads": [null],
                "num_class_embeds": [null],
                "only_cross_attention": [false],
                "resnet_time_scale_shift": ["default"],
                "reverse_transformer_layers_per_block": [null],
                "time_cond_proj_dim": [null],
                "time_embedding_act_fn": [null],
                "time_embedding_type": ["positional"],
                "timestep_post_act": [null],
            }),
            Self::Vae => json!({
                "act_fn": ["silu", "swish"],
                "down_block_types": ["DownEncoderBlock2D"],
                "in_channels": [3],
                "latents_mean": [null],
                "latents_std": [null],
                "mid_block_add_attention": [true],
                "out_channels": [3],
                "shift_factor": [null],
                "up_block_types": ["UpDecoderBlock2D"],
                "use_post_quant_conv": [true],
                "use_quant_conv": [true],
            }),
            Self::TextEncoder => json!({ "hidden_act": ["quick_gelu", "gelu"] }),
            Self::Scheduler => json!({
                "beta_schedule": BetaSchedule::ALL,
                "prediction_type": Prediction::ALL.map(Prediction::name),
                "timestep_type": ["discrete"],
                "trained_betas": [null],
                "use_flow_sigmas": [false],
            }),
        }
    }
}

/// Whether a value, or each item of a list, is one of those allowed. 1 and 1.0 are one number.
fn is_one_of(value: &Value, allowed: &Value) -> bool {
    let is_same = |a: &Value, b: &Value| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    };
    let is_allowed = |value: &Value| allowed.as_array().into_iter().flatten().any(|one| is_same(value, one));
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().all(is_allowed),
        value => is_allowed(value),
    }
}
