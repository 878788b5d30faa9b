//! How files name the weights that our modules name by their path.
//!
//! A row says: where our path has `ours` (as whole segments), a file may have `theirs`. The first
//! spelling that the file knows is taken.

/// One way in which a file's names differ from our paths.
pub struct Row {
    pub ours: &'static str,
    pub theirs: &'static [&'static str],
}

/// diffusers' UNet.
pub const UNET: &[Row] = &[
    Row { ours: "to_out", theirs: &["to_out.0"] },
    Row { ours: "ff.proj", theirs: &["ff.net.0.proj"] },
    Row { ours: "ff.out", theirs: &["ff.net.2"] },
];

/// diffusers' VAE, with the names that its attention had before version 0.18.
pub const VAE: &[Row] = &[
    Row { ours: "to_q", theirs: &["to_q", "query"] },
    Row { ours: "to_k", theirs: &["to_k", "key"] },
    Row { ours: "to_v", theirs: &["to_v", "value"] },
    Row { ours: "to_out", theirs: &["to_out.0", "proj_attn"] },
];

/// transformers' CLIP text model, which newer files write without its outer name.
pub const CLIP: &[Row] = &[Row { ours: "", theirs: &["text_model.", ""] }];

/// Names that may be in a file and are in no model: buffers that can be computed.
pub const SPARE: &[&str] = &["text_model.embeddings.position_ids", "embeddings.position_ids"];

/// Every name that a file may have for our path, best first.
pub fn spellings(path: &str, table: &[Row]) -> Vec<String> {
    let mut names = vec![path.to_owned()];
    for row in table {
        if names.iter().any(|name| find_segments(name, row.ours).is_some()) {
            names = names
                .iter()
                .flat_map(|name| {
                    row.theirs.iter().map(move |theirs| replace_segments(name, row.ours, theirs))
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
            spellings(path, VAE),
            ["mid_block.attentions.0.to_out.0.weight", "mid_block.attentions.0.proj_attn.weight"],
        );
        assert_eq!(spellings("ff.proj.bias", UNET), ["ff.net.0.proj.bias"]);
        assert_eq!(spellings("conv_in.bias", UNET), ["conv_in.bias"]);
        assert_eq!(
            spellings("final_layer_norm.bias", CLIP),
            ["text_model.final_layer_norm.bias", "final_layer_norm.bias"],
        );
    }
}
