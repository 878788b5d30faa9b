//! How files name the weights that our modules name by their path.
//!
//! A row says: where our path has `ours` (as whole segments), a file may have `theirs`. The first
//! spelling that the file knows is taken.

use crate::models::{UnetConfig, VaeConfig};

/// One way in which a file's names differ from our paths.
#[derive(Clone, Debug)]
pub struct Row {
    pub ours: String,
    pub theirs: Vec<String>,
}

fn row(ours: impl Into<String>, theirs: &[&str]) -> Row {
    Row { ours: ours.into(), theirs: theirs.iter().map(|&name| name.into()).collect() }
}

fn to(ours: String, theirs: String) -> Row {
    Row { ours, theirs: vec![theirs] }
}

/// diffusers' UNet.
pub fn unet() -> Vec<Row> {
    vec![row("to_out", &["to_out.0"]), row("ff.proj", &["ff.net.0.proj"]), row("ff.out", &["ff.net.2"])]
}

/// diffusers' VAE, with the names that its attention had before version 0.18.
pub fn vae() -> Vec<Row> {
    vec![
        row("to_q", &["to_q", "query"]),
        row("to_k", &["to_k", "key"]),
        row("to_v", &["to_v", "value"]),
        row("to_out", &["to_out.0", "proj_attn"]),
    ]
}

/// transformers' CLIP text model, which newer files write without its outer name.
pub fn clip() -> Vec<Row> {
    vec![row("", &["text_model.", ""])]
}

/// Names that may be in a file and are in no model: buffers that can be computed.
pub const SPARE: &[&str] = &["text_model.embeddings.position_ids", "embeddings.position_ids"];

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
pub fn original_unet(config: &UnetConfig) -> Vec<Row> {
    let mut rows = unet();
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
    rows
}

/// The VAE of one-file checkpoints.
pub fn original_vae(config: &VaeConfig) -> Vec<Row> {
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
    rows.push(row("", &[VAE_PREFIX]));
    rows
}

/// The text encoder of one-file checkpoints of SD 1.x.
pub fn original_clip() -> Vec<Row> {
    vec![row("", &["cond_stage_model.transformer.text_model.", CLIP_PREFIX])]
}

/// What the names of a part begin with in one-file checkpoints.
pub const UNET_PREFIX: &str = "model.diffusion_model.";
pub const VAE_PREFIX: &str = "first_stage_model.";
pub const CLIP_PREFIX: &str = "cond_stage_model.transformer.";

/// Every name that a file may have for our path, best first.
pub fn spellings(path: &str, table: &[Row]) -> Vec<String> {
    let mut names = vec![path.to_owned()];
    for row in table {
        if names.iter().any(|name| find_segments(name, &row.ours).is_some()) {
            names = names
                .iter()
                .flat_map(|name| {
                    row.theirs.iter().map(move |theirs| replace_segments(name, &row.ours, theirs))
                })
                .collect();
        }
    }
    names
}

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

fn replace_segments(name: &str, ours: &str, theirs: &str) -> String {
    match find_segments(name, ours) {
        Some(at) => format!("{}{theirs}{}", &name[..at], &name[at + ours.len()..]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_spelled_as_files_spell_it() {
        let path = "mid_block.attentions.0.to_out.weight";
        assert_eq!(
            spellings(path, &vae()),
            ["mid_block.attentions.0.to_out.0.weight", "mid_block.attentions.0.proj_attn.weight"],
        );
        assert_eq!(spellings("ff.proj.bias", &unet()), ["ff.net.0.proj.bias"]);
        assert_eq!(spellings("conv_in.bias", &unet()), ["conv_in.bias"]);
        assert_eq!(
            spellings("final_layer_norm.bias", &clip()),
            ["text_model.final_layer_norm.bias", "final_layer_norm.bias"],
        );
    }
}
