//! `tidepool inspect`: what a file is; for a picture, its recipe.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use engine::checkpoint::ModelSource;
use engine::concepts::ConceptRef;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::images::{self, FoundRecipe, RecipeOrigin};
use engine::recipe::Start;
use image::{ImageError, ImageFormat, ImageReader};
use serde_json::{Value, json};

use super::run::open;
use super::weight_info::{self, ConceptInfo, ModelFolder, Weights};
use super::{Failure, print, recipe_json};
use crate::window::tasks::is_model_file;

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A picture, a weight file or a model folder
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// List every tensor of a weight file or model with its name, shape and type
    #[arg(long)]
    pub shapes: bool,
    /// Also open the model and print a SHA-256 of all its weights as they are loaded. Models with the same
    /// weights have the same digest, whatever their file format
    #[arg(long)]
    pub digest: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What a path leads to.
enum Found {
    Picture {
        format: String,
        width: u32,
        height: u32,
        recipe: Option<Box<FoundRecipe>>,
        /// Sentences: why its recipe cannot be read, why it cannot be a start image.
        notes: Vec<String>,
    },
    Weights(Weights),
    Model(ModelFolder),
    /// A file that Tidepool recognises and cannot use; a sentence.
    Other(&'static str),
}

pub fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let found = classify(&args.file)?;
    let digest = if args.digest { Some(digest_of(&args.file)?) } else { None };
    if args.json {
        let mut json = to_json(&found);
        if let Some(digest) = digest {
            json["digest"] = digest.into();
        }
        return print(json);
    }
    let digest = digest.map_or_else(String::new, |digest| format!("Digest of the weights: {digest}\n"));
    print((to_text(&found, args.shapes) + &digest).trim_end())
}

/// Loaded on the CPU, where every weight is f32.
fn digest_of(model: &Path) -> Result<String, Failure> {
    let cpu = DeviceChoice { place: DeviceSelector::Cpu, ..DeviceChoice::default() };
    let pipeline = open(&ModelSource::at(model.to_owned()), None, cpu)?;
    pipeline.digest().map_err(Failure::failed)
}

fn classify(path: &Path) -> Result<Found, Failure> {
    let refused = |cause: String| Failure::failed(format!("{cause}: {}", path.display()));
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => refused("There is no such file: check the spelling".to_owned()),
        _ => refused(format!("This cannot be read ({error}): check its permissions")),
    })?;
    if metadata.is_dir() {
        return weight_info::read_model_folder(path).map(Found::Model).map_err(refused);
    }
    if !metadata.is_file() {
        return Err(refused("This is a pipe or a device: save its contents as a file first".to_owned()));
    }
    if metadata.len() == 0 {
        return Err(refused("The file is empty: download it or save it again".to_owned()));
    }
    let start = first_bytes(path)
        .map_err(|error| refused(format!("This file cannot be read ({error}): check its permissions")))?;
    if let Ok(format) = image::guess_format(&start) {
        return picture(path, format).map_err(refused);
    }
    if let Some(description) = unusable_kind(&start) {
        return Ok(Found::Other(description));
    }
    // Safetensors (eight bytes of length, then JSON), a zip archive, a pickle.
    let is_weights = start.get(8) == Some(&b'{') || start.starts_with(b"PK") || start.starts_with(b"\x80");
    if is_weights || is_model_file(path) {
        return weight_info::read_weights(path).map(Found::Weights).map_err(Failure::failed);
    }
    Err(refused(
        "This is not a picture, a weight file or a model folder, which are what Tidepool reads".to_owned(),
    ))
}

fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut start)?;
    Ok(start)
}

fn picture(path: &Path, format: ImageFormat) -> Result<Found, String> {
    let name = format!("{format:?}").to_uppercase();
    let (width, height) = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(ImageError::from)
        .and_then(ImageReader::into_dimensions)
        .map_err(|error| format!("This {name} picture is damaged after its first bytes ({error})"))?;
    let mut notes = Vec::new();
    let recipe = match format {
        ImageFormat::Png => images::read_recipe(path).unwrap_or_else(|error| {
            notes.push(error.to_string());
            None
        }),
        _ => None,
    };
    if let Err(error) = images::load(path) {
        notes.push(error.to_string());
    }
    notes.dedup();
    Ok(Found::Picture { format: name, width, height, recipe: recipe.map(Box::new), notes })
}

/// Describes files that are often mistaken for weights, recognised by their first bytes.
fn unusable_kind(start: &[u8]) -> Option<&'static str> {
    const SIGNATURES: [(&[u8], &str); 3] = [
        (
            b"version https://git-lfs",
            "A Git LFS pointer, not the file itself: download the file it points to",
        ),
        (b"GGUF", "A GGUF model, for other programs"),
        (b"<", "A web page or XML, not a model: it may be a sign-in page saved in place of a model"),
    ];
    let (_, description) = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature))?;
    Some(description)
}

fn to_json(found: &Found) -> Value {
    match found {
        Found::Picture { format, width, height, recipe, notes } => {
            let found = recipe.as_deref();
            let recipe_notes = found.map_or(&[][..], |found| &found.notes);
            json!({
                "kind": "picture",
                "format": format,
                "width": width,
                "height": height,
                "recipe": found.map(|found| recipe_json(&found.provenance)),
                "vary": found.map(|found| &found.provenance.vary),
                "model": found.map(|found| &found.provenance.model),
                "concepts": found.map(|found| &found.provenance.concepts),
                "program": found.map(|found| &found.provenance.program),
                "origin": found.map(|found| origin_name(found.origin)),
                "notes": ([recipe_notes, notes].concat()),
            })
        }
        Found::Weights(file) => json!(file),
        Found::Model(folder) => with_kind("model_folder", json!(folder)),
        Found::Other(description) => json!({ "kind": "other", "what": description }),
    }
}

fn with_kind(kind: &str, mut value: Value) -> Value {
    value["kind"] = kind.into();
    value
}

fn origin_name(origin: RecipeOrigin) -> &'static str {
    match origin {
        RecipeOrigin::Tidepool => "tidepool",
        RecipeOrigin::Parameters => "parameters",
    }
}

fn to_text(found: &Found, shapes: bool) -> String {
    match found {
        Found::Picture { format, width, height, recipe, notes } => {
            let mut text = format!("A {format} picture, {width} x {height}");
            match recipe {
                None => text += ", without a recipe\n",
                Some(recipe) => text += &format!("\n{}", recipe_text(recipe)),
            }
            text.extend(notes.iter().map(|note| format!("Note: {note}\n")));
            text
        }
        Found::Weights(file) => {
            let mut text =
                format!("A {} file: {}\n{}, {} bytes\n", file.kind, file.holds, counts_of(file), file.bytes);
            text.extend(file.concept.as_ref().map(concept_text));
            text.extend(file.notes.iter().map(|note| format!("Note: {note}\n")));
            text.extend(shapes.then(|| rows_of(file)));
            text
        }
        Found::Model(folder) => {
            let mut text =
                format!("A model folder in diffusers layout: {} ({})\n", folder.holds, folder.class);
            for part in &folder.parts {
                let size = if part.found { format!("{} bytes", part.bytes) } else { "missing".to_owned() };
                let counts =
                    part.weights.as_ref().map_or_else(String::new, |file| format!("  {}", counts_of(file)));
                text += &format!("  {:<14}{:<24}{size}{counts}\n", part.name, part.class);
            }
            if let Some(reason) = &folder.unreadable_reason {
                text += &format!("Note: it {reason}\n");
            }
            for part in folder.parts.iter().filter(|_| shapes) {
                if let Some(file) = &part.weights {
                    text += &format!("\n{}\n{}", part.name, rows_of(file));
                }
            }
            text
        }
        Found::Other(description) => format!("{description}\n"),
    }
}

fn concept_text(concept: &ConceptInfo) -> String {
    let norms: Vec<_> = concept.norms.iter().map(|norm| format!("{norm:.3}")).collect();
    let rows = [
        ("token", concept.token.clone()),
        ("file name", concept.name.clone()),
        ("vectors", concept.vectors.to_string()),
        ("width", format!("{} ({})", concept.width, concept.family)),
        ("norms", norms.join(" ")),
        ("sha256", concept.sha256.clone()),
    ];
    rows.iter().map(|(name, value)| format!("  {name:<10}{value}\n")).collect()
}

/// "686 tensors (686 F16), 859520964 numbers".
fn counts_of(file: &Weights) -> String {
    let dtypes: Vec<_> = file.dtypes.iter().map(|(dtype, count)| format!("{count} {dtype}")).collect();
    format!("{} tensors ({}), {} numbers", file.tensors, dtypes.join(", "), file.parameters)
}

fn rows_of(file: &Weights) -> String {
    let row = |row: &weight_info::TensorRow| {
        format!("  {:<6}{:<22} {}\n", row.dtype, format!("{:?}", row.shape), row.name)
    };
    file.shapes.iter().map(row).collect()
}

fn recipe_text(found: &FoundRecipe) -> String {
    let recipe = &found.provenance.recipe;
    let mut rows = vec![("prompt", recipe.prompt.clone())];
    if !recipe.negative_prompt.is_empty() {
        rows.push(("negative", recipe.negative_prompt.clone()));
    }
    if let Start::Image { path, strength } = &recipe.start {
        let step = recipe.start_step();
        rows.push(("start", format!("{}, strength {strength} (step {step})", path.display())));
    }
    rows.extend([
        ("steps", recipe.steps.to_string()),
        ("sampler", recipe.sampler.name().to_owned()),
        ("schedule", recipe.schedule.name().to_owned()),
        ("guidance", recipe.guidance.cfg_scale.to_string()),
        ("seed", recipe.seed.to_string()),
        ("size", format!("{}x{}", recipe.width, recipe.height)),
    ]);
    for (side, axis) in ["columns", "rows"].iter().zip(&found.provenance.vary) {
        rows.push((side, axis.to_string()));
    }
    for ConceptRef { name, token, sha256 } in &found.provenance.concepts {
        let token = if token.is_empty() { name } else { token };
        rows.push(("concept", format!("{token} (file {name}, sha256 {sha256})")));
    }
    for (name, value) in [("model", &found.provenance.model), ("made by", &found.provenance.program)] {
        if !value.is_empty() {
            rows.push((name, value.clone()));
        }
    }
    let mut text: String = rows.iter().map(|(name, value)| format!("  {name:<10}{value}\n")).collect();
    for note in &found.notes {
        text += &format!("Note: {note}\n");
    }
    text
}
