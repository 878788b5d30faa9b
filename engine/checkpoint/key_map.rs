//! How files name the weights that our modules name by their path.
//!
//! A row says: where our path has `ours` (as whole segments), a file may have `theirs`, or a share of
//! it. The first spelling that the file knows is taken.

use crate::models::{ClipTextConfig, UnetConfig, VaeConfig};

/// The names of one network in files of one layout.
#[derive(Clone, Debug, Default)]
pub struct KeyMap {
    rows: Vec<KeyMapping>,
    /// Names that may be in a file and are in no network, or beginnings of such, which end in a dot.
    ignored_keys: Vec<String>,
}

/// One way in which a file's names differ from our paths.
#[derive(Clone, Debug)]
struct KeyMapping {
    ours: String,
    theirs: Vec<String>,
    share: TensorSlice,
}

/// Which of so many equal parts, along the first axis: a fused tensor holds several weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorSlice {
    pub index: usize,
    pub of: usize,
}

impl TensorSlice {
    pub const WHOLE: Self = Self { index: 0, of: 1 };
}

/// A name that a file may have for our path, and how much of its tensor is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCandidate {
    pub name: String,
    pub share: TensorSlice,
}

fn row(ours: impl Into<String>, theirs: &[&str]) -> KeyMapping {
    let theirs = theirs.iter().map(|&name| name.into()).collect();
    KeyMapping { ours: ours.into(), theirs, share: TensorSlice::WHOLE }
}

fn to(ours: String, theirs: String) -> KeyMapping {
    KeyMapping { ours, theirs: vec![theirs], share: TensorSlice::WHOLE }
}

fn share(ours: &str, theirs: &str, index: usize, of: usize) -> KeyMapping {
    KeyMapping { share: TensorSlice { index, of }, ..row(ours, &[theirs]) }
}

impl KeyMap {
    fn new(rows: Vec<KeyMapping>, ignored_keys: &[&str]) -> Self {
        Self { rows, ignored_keys: ignored_keys.iter().map(|&name| name.into()).collect() }
    }

    /// Every name that a file may have for our path, best first.
    pub fn candidates(&self, path: &str) -> Vec<KeyCandidate> {
        let mut candidates = vec![KeyCandidate { name: path.to_owned(), share: TensorSlice::WHOLE }];
        for row in &self.rows {
            let respell = |spelling: KeyCandidate| match find_segments(&spelling.name, &row.ours) {
                None => vec![spelling],
                Some(at) => row.respell(&spelling, at),
            };
            candidates = candidates.into_iter().flat_map(respell).collect();
        }
        candidates
    }

    /// True for what may be left in the file; `name` is without the prefix of the part.
    pub fn is_ignored(&self, name: &str) -> bool {
        self.ignored_keys.iter().any(|ignored_keys| {
            ignored_keys == name || ignored_keys.ends_with('.') && name.starts_with(ignored_keys)
        })
    }
}

impl KeyMapping {
    fn respell(&self, KeyCandidate { name, share }: &KeyCandidate, at: usize) -> Vec<KeyCandidate> {
        let share = if self.share == TensorSlice::WHOLE { *share } else { self.share };
        let (before, after) = (&name[..at], &name[at + self.ours.len()..]);
        self.theirs
            .iter()
            .map(|theirs| KeyCandidate { name: format!("{before}{theirs}{after}"), share })
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

/// diffusers' VAE, with the names that its attention had before version 0.18.
pub fn vae() -> KeyMap {
    let rows = vec![
        row("to_q", &["to_q", "query"]),
        row("to_k", &["to_k", "key"]),
        row("to_v", &["to_v", "value"]),
        row("to_out", &["to_out.0", "proj_attn"]),
    ];
    KeyMap::new(rows, &[])
}

/// transformers' CLIP text model, which newer files write without its outer name.
pub fn clip() -> KeyMap {
    KeyMap::new(vec![row("", &["text_model.", ""])], &CLIP_SPARE)
}

/// A buffer that can be computed, and a layer for comparing texts with pictures.
const CLIP_SPARE: [&str; 3] =
    ["text_model.embeddings.position_ids", "embeddings.position_ids", "text_projection.weight"];

/// A residual block of the original UNet, ours first.
const RESNET: [(&str, &str); 6] = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
];

/// The UNet of one-file checkpoints, whose blocks are counted through.
pub fn ldm_unet(config: &UnetConfig) -> KeyMap {
    let mut rows = unet_rows();
    let resnet = |ours: String, theirs: String| {
        RESNET.map(|(mine, yours)| to(format!("{ours}.{mine}"), format!("{theirs}.{yours}")))
    };
    let levels = config.block_out_channels.len();
    let has_attention = |kind: &str| kind.starts_with("CrossAttn");

    // Block 0 is the first convolution.
    let mut block = 1;
    for level in 0..levels {
        for layer in 0..config.layers_per_block.at(level) {
            let ours = format!("down_blocks.{level}");
            rows.extend(resnet(format!("{ours}.resnets.{layer}"), format!("input_blocks.{block}.0")));
            rows.push(to(format!("{ours}.attentions.{layer}"), format!("input_blocks.{block}.1")));
            block += 1;
        }
        if level + 1 < levels {
            let ours = format!("down_blocks.{level}.downsamplers.0.conv");
            rows.push(to(ours, format!("input_blocks.{block}.0.op")));
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
            rows.push(to(format!("{ours}.attentions.{layer}"), format!("output_blocks.{block}.1")));
            block += 1;
        }
        let place = if has_attention(&config.up_block_types[up]) { 2 } else { 1 };
        let ours = format!("up_blocks.{up}.upsamplers.0.conv");
        rows.push(to(ours, format!("output_blocks.{}.{place}.conv", block - 1)));
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
/// `prefix` is what its names begin with: [`VAE_PREFIX`], or nothing in a file of its own.
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
        // Ours count up the decoder, theirs by level.
        let (down, up) = (format!("down_blocks.{level}"), format!("up_blocks.{}", levels - 1 - level));
        for layer in 0..=config.layers_per_block {
            rows.push(to(format!("{down}.resnets.{layer}"), format!("down.{level}.block.{layer}")));
            rows.push(to(format!("{up}.resnets.{layer}"), format!("up.{level}.block.{layer}")));
        }
        rows.push(to(format!("{down}.downsamplers.0"), format!("down.{level}.downsample")));
        rows.push(to(format!("{up}.upsamplers.0"), format!("up.{level}.upsample")));
    }
    rows.push(row("", &[prefix]));
    // What it was trained against, and averages of it.
    KeyMap::new(rows, &["loss.", "model_ema."])
}

/// The text encoder of one-file checkpoints: OpenAI's CLIP in SD 1.x, OpenCLIP's in SD 2.x.
pub fn ldm_text(config: &ClipTextConfig) -> (&'static str, KeyMap) {
    if config.is_open_clip() {
        return (OPEN_CLIP_PREFIX, open_clip(config));
    }
    let rows = vec![row("", &["cond_stage_model.transformer.text_model.", CLIP_PREFIX])];
    (CLIP_PREFIX, KeyMap::new(rows, &CLIP_SPARE))
}

/// OpenCLIP's text encoder, in which query, key and value are one tensor.
fn open_clip(config: &ClipTextConfig) -> KeyMap {
    let rows = vec![
        share("self_attn.q_proj.weight", "attn.in_proj_weight", 0, 3),
        share("self_attn.k_proj.weight", "attn.in_proj_weight", 1, 3),
        share("self_attn.v_proj.weight", "attn.in_proj_weight", 2, 3),
        share("self_attn.q_proj.bias", "attn.in_proj_bias", 0, 3),
        share("self_attn.k_proj.bias", "attn.in_proj_bias", 1, 3),
        share("self_attn.v_proj.bias", "attn.in_proj_bias", 2, 3),
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
    // SD 2.x reads what goes into the last layer, and compares no texts with pictures.
    let last = format!("transformer.resblocks.{}.", config.num_hidden_layers);
    let position_ids = "transformer.text_model.embeddings.position_ids";
    KeyMap::new(rows, &[&last, "text_projection", "logit_scale", "attn_mask", position_ids])
}

/// What the names of a part begin with in one-file checkpoints.
pub const UNET_PREFIX: &str = "model.diffusion_model.";
pub const VAE_PREFIX: &str = "first_stage_model.";
pub const CLIP_PREFIX: &str = "cond_stage_model.transformer.";
pub const OPEN_CLIP_PREFIX: &str = "cond_stage_model.model.";

/// Where `segments` stands in the dotted `name`, as whole segments. An empty one stands at the start.
fn find_segments(name: &str, segments: &str) -> Option<usize> {
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

    fn names(table: &KeyMap, path: &str) -> Vec<String> {
        table.candidates(path).into_iter().map(|spelling| spelling.name).collect()
    }

    #[test]
    fn a_path_is_spelled_as_files_spell_it() {
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
