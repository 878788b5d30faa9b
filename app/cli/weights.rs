//! What a weight file or a model folder holds, read off its headers alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use safetensors::tensor::Metadata;
use serde::Serialize;
use serde_json::Value;

/// A safetensors file, without its numbers.
#[derive(Debug, Serialize)]
pub struct WeightFile {
    /// A guess by the names of the tensors.
    pub holds: &'static str,
    pub tensors: usize,
    /// Numbers in all tensors together.
    pub parameters: u64,
    /// How many tensors are of each type.
    pub dtypes: BTreeMap<String, usize>,
    pub bytes: u64,
    /// What its maker wrote into it.
    pub notes: BTreeMap<String, String>,
}

/// A folder in diffusers layout.
#[derive(Debug, Serialize)]
pub struct ModelFolder {
    /// The pipeline's class, "StableDiffusionPipeline".
    pub class: String,
    pub parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
pub struct Part {
    pub name: String,
    /// "UNet2DConditionModel".
    pub class: String,
    /// Of all files in the part's folder.
    pub bytes: u64,
    /// False when the pipeline names the part and its folder is not there.
    pub found: bool,
}

/// Headers beyond this are no model's: a gigabyte of names is an attack.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Reads the header of a safetensors file; `Err` is a sentence without the path.
pub fn read_weight_file(path: &Path) -> Result<WeightFile, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    let mut len = [0; 8];
    file.read_exact(&mut len).map_err(|_| "It is cut short: it has no header".to_owned())?;
    let header_len = u64::from_le_bytes(len);
    if header_len > MAX_HEADER_BYTES {
        return Err(format!("Its header claims {header_len} bytes: it is broken"));
    }
    let mut header = Vec::new();
    file.take(header_len).read_to_end(&mut header).map_err(|error| error.to_string())?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|error| format!("Its header makes no sense ({error})"))?;
    let expected = (header.data_len() as u64).saturating_add(8 + header_len);
    if expected != bytes {
        return Err(format!("It has {bytes} bytes and its header promises {expected}: fetch it again"));
    }

    let mut dtypes = BTreeMap::new();
    let mut parameters = 0;
    for info in header.tensors().values() {
        *dtypes.entry(format!("{:?}", info.dtype)).or_default() += 1;
        parameters += info.shape.iter().map(|&side| side as u64).product::<u64>();
    }
    let names = header.offset_keys();
    let notes = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(WeightFile { holds: holds(&names), tensors: names.len(), parameters, dtypes, bytes, notes })
}

/// The first row with a tensor of that name, or name's beginning, says what a file is.
const KINDS: [(&str, &str); 9] = [
    ("denoised.", "a Tidepool trace: the numbers of every step"),
    ("model.diffusion_model.", "a whole Stable Diffusion checkpoint"),
    ("emb_params", "a textual-inversion concept"),
    ("clip_l", "a textual-inversion concept for SDXL"),
    ("lora_", "a LoRA"),
    ("time_embedding.", "a UNet in diffusers layout"),
    ("decoder.conv_in.", "an autoencoder (VAE)"),
    ("text_model.", "a CLIP text encoder"),
    ("embeddings.token_embedding.", "a CLIP text encoder"),
];

fn holds(names: &[String]) -> &'static str {
    KINDS
        .iter()
        .find(|(start, _)| names.iter().any(|name| name.starts_with(start)))
        .map_or("tensors of a kind unknown to Tidepool", |(_, kind)| kind)
}

/// Reads the index of a model folder; `Err` is a sentence without the path.
pub fn read_model_folder(folder: &Path) -> Result<ModelFolder, String> {
    let json = fs::read(folder.join("model_index.json")).map_err(|_| {
        "This folder has no model_index.json, so it is no model in diffusers layout".to_owned()
    })?;
    let index: BTreeMap<String, Value> = serde_json::from_slice(&json)
        .map_err(|error| format!("Its model_index.json makes no sense ({error})"))?;
    let class = index.get("_class_name").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    // A part is `"unet": ["diffusers", "UNet2DConditionModel"]`, or two nulls where it has none.
    let parts = index.iter().filter_map(|(name, value)| {
        let class = value.get(1)?.as_str()?.to_owned();
        let place = folder.join(name);
        Some(Part { name: name.clone(), class, bytes: bytes_in(&place), found: place.is_dir() })
    });
    Ok(ModelFolder { class, parts: parts.collect() })
}

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<WeightFile, String> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("some.safetensors");
        fs::write(&path, bytes).expect("writes");
        read_weight_file(&path)
    }

    fn file(header: &str, data_len: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data_len]);
        bytes
    }

    const CONCEPT: &str =
        r#"{"__metadata__":{"by":"me"},"emb_params":{"dtype":"F16","shape":[2,8],"data_offsets":[0,32]}}"#;

    #[test]
    fn a_header_tells_what_a_file_holds() {
        let found = read(&file(CONCEPT, 32)).expect("a sound file");
        assert_eq!((found.holds, found.tensors), ("a textual-inversion concept", 1));
        assert_eq!((found.parameters, found.dtypes["F16"]), (16, 1));
        assert_eq!(found.notes["by"], "me");
    }

    #[test]
    fn a_broken_header_is_a_sentence() {
        let whole = file(CONCEPT, 32);
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut to {cut} bytes");
        }
        assert!(read(&file(CONCEPT, 33)).is_err_and(|it| it.contains("promises")));
        assert!(read(&u64::MAX.to_le_bytes()).is_err_and(|it| it.contains("claims")));
    }

    #[test]
    fn a_folder_tells_its_parts() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo");
        let found = read_model_folder(&demo).expect("the built-in model");
        assert_eq!(found.class, "StableDiffusionPipeline");
        let names: Vec<_> = found.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]);
        assert!(found.parts.iter().all(|part| part.found && part.bytes > 0));
    }
}
