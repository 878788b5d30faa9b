//! Maps the paths of our modules to the keys of weights in files.
//!
//! A row says: where our path has `ours` (as whole segments), a file may have `theirs`, or a slice of it.
//! The first candidate key that the file has is used.

use crate::models::{ClipTextConfig, UnetConfig, VaeConfig};

/// The keys of one network in files of one layout.
#[derive(Clone, Debug, Default)]
pub struct KeyMap {
    rows: Vec<KeyMapping>,
    /// Keys that a file may have and no network uses, or prefixes of such keys, which end in a dot.
    ignored_keys: Vec<String>,
}

/// One difference between a file's keys and our paths.
#[derive(Clone, Debug)]
struct KeyMapping {
    ours: String,
    theirs: Vec<String>,
    slice: TensorSlice,
}

/// One of several equal slices along the first axis: a fused tensor holds several weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorSlice {
    pub index: usize,
    pub parts: usize,
}

impl TensorSlice {
    pub const WHOLE: Self = Self { index: 0, parts: 1 };
}

/// A key that a file may have for our path, and the slice of its tensor that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCandidate {
    pub name: String,
    pub slice: TensorSlice,
}

fn row(ours: impl Into<String>, theirs: &[&str]) -> KeyMapping {
    let theirs = theirs.iter().map(|&name| name.into()).collect();
    KeyMapping { ours: ours.into(), theirs, slice: TensorSlice::WHOLE }
}

fn owned_row(ours: String, theirs: String) -> KeyMapping {
    KeyMapping { ours, theirs: vec![theirs], slice: TensorSlice::WHOLE }
}

fn slice(ours: &str, theirs: &str, index: usize, parts: usize) -> KeyMapping {
    KeyMapping { slice: TensorSlice { index, parts }, ..row(ours, &[theirs]) }
}

impl KeyMap {
    fn new(rows: Vec<KeyMapping>, ignored_keys: &[&str]) -> Self {
        Self { rows, ignored_keys: ignored_keys.iter().map(|&name| name.into()).collect() }
    }

    /// Every key that a file may have for our path, best first.
    pub fn candidates(&self, path: &str) -> Vec<KeyCandidate> {
        let mut candidates = vec![KeyCandidate { name: path.to_owned(), slice: TensorSlice::WHOLE }];
        for row in &self.rows {
            let apply = |candidate: KeyCandidate| match find_segments(&candidate.name, &row.ours) {
                None => vec![candidate],
                Some(at) => row.apply(&candidate, at),
            };
            candidates = candidates.into_iter().flat_map(apply).collect();
        }
        candidates
    }

    /// True for a key that may remain unused; `name` is the key without the prefix of the component.
    pub fn is_ignored(&self, name: &str) -> bool {
        is_listed(&self.ignored_keys, name)
    }
}

impl KeyMapping {
    fn apply(&self, KeyCandidate { name, slice }: &KeyCandidate, at: usize) -> Vec<KeyCandidate> {
        let slice = if self.slice == TensorSlice::WHOLE { *slice } else { self.slice };
        let (before, after) = (&name[..at], &name[at + self.ours.len()..]);
        self.theirs
            .iter()
            .map(|theirs| KeyCandidate { name: format!("{before}{theirs}{after}"), slice })
            .collect()
    }
}

/// diffusers' UNet.
pub fn unet() -> KeyMap {
    KeyMap::new(unet_rows(), &[])
}

fn unet_rows() -> Vec<KeyMapping> {
    vec![row("to_out", &["to_out.0"]), row("ff.proj", &["ff.net.0.proj"]), row("ff.out", &["ff.net.2"])]
}

/// diffusers' VAE, including the keys of its attention before version 0.18.
pub fn vae() -> KeyMap {
    let rows = vec![
        row("to_q", &["to_q", "query"]),
        row("to_k", &["to_k", "key"]),
        row("to_v", &["to_v", "value"]),
        row("to_out", &["to_out.0", "proj_attn"]),
    ];
    KeyMap::new(rows, &[])
}

/// transformers' CLIP text model, whose outer name newer files omit.
pub fn clip() -> KeyMap {
    KeyMap::new(vec![row("", &["text_model.", ""])], &CLIP_IGNORED)
}

/// The projection beside transformers' CLIP text model.
pub fn text_projection() -> KeyMap {
    KeyMap::new(vec![row("", &["text_projection."])], &[])
}

/// A buffer that can be computed, and a projection for comparing texts with pictures.
const CLIP_IGNORED: [&str; 3] =
    ["text_model.embeddings.position_ids", "embeddings.position_ids", "text_projection.weight"];

/// What training leaves in a one-file checkpoint beside its networks: averages, and the schedule in many forms
/// (latent-diffusion's `register_schedule`).
const TRAINING_STATE: [&str; 17] = [
    "model_ema.",
    "betas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "lvlb_weights",
    "logvar",
    "scale_factor",
    "denoiser.sigmas",
];

/// True for a key of [`TRAINING_STATE`].
pub fn is_training_state(name: &str) -> bool {
    is_listed(&TRAINING_STATE, name)
}

/// True for a key of the list, or one that starts with an entry that ends in a dot.
fn is_listed(keys: &[impl AsRef<str>], name: &str) -> bool {
    let mut keys = keys.iter().map(AsRef::as_ref);
    keys.any(|key| key == name || key.ends_with('.') && name.starts_with(key))
}

/// A residual block of the LDM UNet, our name first.
const RESNET: [(&str, &str); 6] = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
];

/// The UNet of one-file checkpoints, whose blocks are numbered consecutively, or as though each level had two
/// layers: then the numbers have holes, and the attention of the lowest level has diffusers' name.
pub fn ldm_unet(config: &UnetConfig, has_holes: bool) -> KeyMap {
    let mut rows = unet_rows();
    let resnet = |ours: String, theirs: String| {
        RESNET.map(|(mine, yours)| owned_row(format!("{ours}.{mine}"), format!("{theirs}.{yours}")))
    };
    let levels = config.block_out_channels.len();
    let has_attention =
        |up: usize| config.up_block_types[up].starts_with("CrossAttn") && !(has_holes && up == 0);
    let skipped = usize::from(has_holes);

    // Block 0 is the first convolution.
    let mut block = 1;
    for level in 0..levels {
        for layer in 0..config.layers_per_block.at(level) {
            let ours = format!("down_blocks.{level}");
            rows.extend(resnet(format!("{ours}.resnets.{layer}"), format!("input_blocks.{block}.0")));
            rows.push(owned_row(format!("{ours}.attentions.{layer}"), format!("input_blocks.{block}.1")));
            block += 1;
        }
        block += skipped;
        if level + 1 < levels {
            let ours = format!("down_blocks.{level}.downsamplers.0.conv");
            rows.push(owned_row(ours, format!("input_blocks.{block}.0.op")));
            block += 1;
        }
    }
    rows.extend(resnet("mid_block.resnets.0".into(), "middle_block.0".into()));
    rows.push(row("mid_block.attentions.0", &["middle_block.1"]));
    rows.extend(resnet("mid_block.resnets.1".into(), "middle_block.2".into()));
    let mut block = 0;
    for up in 0..levels {
        for layer in 0..=config.layers_per_block.at(levels - 1 - up) {
            let ours = format!("up_blocks.{up}");
            rows.extend(resnet(format!("{ours}.resnets.{layer}"), format!("output_blocks.{block}.0")));
            if has_attention(up) {
                rows.push(owned_row(
                    format!("{ours}.attentions.{layer}"),
                    format!("output_blocks.{block}.1"),
                ));
            }
            block += 1;
        }
        block += skipped;
        let index = if has_attention(up) { 2 } else { 1 };
        let ours = format!("up_blocks.{up}.upsamplers.0.conv");
        rows.push(owned_row(ours, format!("output_blocks.{}.{index}.conv", block - 1)));
    }
    rows.extend([
        row("time_embedding.linear_1", &["time_embed.0"]),
        row("time_embedding.linear_2", &["time_embed.2"]),
        row("conv_in", &["input_blocks.0.0"]),
        row("conv_norm_out", &["out.0"]),
        row("conv_out", &["out.2"]),
        row("", &[UNET_PREFIX]),
    ]);
    KeyMap::new(rows, &[])
}

/// The VAE of one-file checkpoints.
///
/// `prefix` is the prefix of its keys: [`VAE_PREFIX`], or empty in a separate VAE file.
pub fn ldm_vae(config: &VaeConfig, prefix: &str) -> KeyMap {
    let mut rows = vec![
        row("to_q", &["q"]),
        row("to_k", &["k"]),
        row("to_v", &["v"]),
        row("to_out", &["proj_out"]),
        row("group_norm", &["norm"]),
        row("conv_shortcut", &["nin_shortcut"]),
        row("conv_norm_out", &["norm_out"]),
        row("mid_block.resnets.0", &["mid.block_1"]),
        row("mid_block.attentions.0", &["mid.attn_1"]),
        row("mid_block.resnets.1", &["mid.block_2"]),
    ];
    let levels = config.block_out_channels.len();
    for level in 0..levels {
        // We number the blocks in the order of the decoder, they by level.
        let (down, up) = (format!("down_blocks.{level}"), format!("up_blocks.{}", levels - 1 - level));
        for layer in 0..=config.layers_per_block {
            rows.push(owned_row(format!("{down}.resnets.{layer}"), format!("down.{level}.block.{layer}")));
            rows.push(owned_row(format!("{up}.resnets.{layer}"), format!("up.{level}.block.{layer}")));
        }
        rows.push(owned_row(format!("{down}.downsamplers.0"), format!("down.{level}.downsample")));
        rows.push(owned_row(format!("{up}.upsamplers.0"), format!("up.{level}.upsample")));
    }
    rows.push(row("", &[prefix]));
    // The discriminator that it was trained with, and averaged weights.
    KeyMap::new(rows, &["loss.", "model_ema."])
}

/// The text encoder of one-file checkpoints: OpenAI's CLIP in SD 1.x, OpenCLIP's in SD 2.x.
pub fn ldm_text(config: &ClipTextConfig) -> (&'static str, KeyMap) {
    if config.is_open_clip() {
        return (OPEN_CLIP_PREFIX, open_clip(config));
    }
    let rows = vec![row("", &["cond_stage_model.transformer.text_model.", CLIP_PREFIX])];
    (CLIP_PREFIX, KeyMap::new(rows, &CLIP_IGNORED))
}

/// OpenCLIP's text encoder, where query, key and value are one tensor.
fn open_clip(config: &ClipTextConfig) -> KeyMap {
    let rows = vec![
        slice("self_attn.q_proj.weight", "attn.in_proj_weight", 0, 3),
        slice("self_attn.k_proj.weight", "attn.in_proj_weight", 1, 3),
        slice("self_attn.v_proj.weight", "attn.in_proj_weight", 2, 3),
        slice("self_attn.q_proj.bias", "attn.in_proj_bias", 0, 3),
        slice("self_attn.k_proj.bias", "attn.in_proj_bias", 1, 3),
        slice("self_attn.v_proj.bias", "attn.in_proj_bias", 2, 3),
        row("self_attn.out_proj", &["attn.out_proj"]),
        row("layer_norm1", &["ln_1"]),
        row("layer_norm2", &["ln_2"]),
        row("mlp.fc1", &["mlp.c_fc"]),
        row("mlp.fc2", &["mlp.c_proj"]),
        row("encoder.layers", &["transformer.resblocks"]),
        row("embeddings.token_embedding", &["token_embedding"]),
        row("embeddings.position_embedding.weight", &["positional_embedding"]),
        row("final_layer_norm", &["ln_final"]),
        row("", &[OPEN_CLIP_PREFIX]),
    ];
    // SD 2.x uses the input of the last layer, and does not compare texts with pictures.
    let last = format!("transformer.resblocks.{}.", config.num_hidden_layers);
    let position_ids = "transformer.text_model.embeddings.position_ids";
    KeyMap::new(rows, &[&last, "text_projection", "logit_scale", "attn_mask", position_ids])
}

/// The prefixes of the keys of each component in one-file checkpoints.
pub const UNET_PREFIX: &str = "model.diffusion_model.";
pub const VAE_PREFIX: &str = "first_stage_model.";
pub const CLIP_PREFIX: &str = "cond_stage_model.transformer.";
pub const OPEN_CLIP_PREFIX: &str = "cond_stage_model.model.";

/// Where `segments` is in the dotted `name`, as whole segments. Empty segments are at the start.
pub fn find_segments(name: &str, segments: &str) -> Option<usize> {
    if segments.is_empty() {
        return Some(0);
    }
    name.match_indices(segments).map(|(at, _)| at).find(|&at| {
        let end = at + segments.len();
        (at == 0 || name.as_bytes()[at - 1] == b'.') && (end == name.len() || name.as_bytes()[end] == b'.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(key_map: &KeyMap, path: &str) -> Vec<String> {
        key_map.candidates(path).into_iter().map(|candidate| candidate.name).collect()
    }

    #[test]
    fn a_path_maps_to_the_keys_that_files_use() {
        let path = "mid_block.attentions.0.to_out.weight";
        assert_eq!(
            names(&vae(), path),
            ["mid_block.attentions.0.to_out.0.weight", "mid_block.attentions.0.proj_attn.weight"],
        );
        assert_eq!(names(&unet(), "ff.proj.bias"), ["ff.net.0.proj.bias"]);
        assert_eq!(names(&unet(), "conv_in.bias"), ["conv_in.bias"]);
        assert_eq!(
            names(&clip(), "final_layer_norm.bias"),
            ["text_model.final_layer_norm.bias", "final_layer_norm.bias"],
        );
    }
}
