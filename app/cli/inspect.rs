//! `tidepool inspect`: what a file is; for a picture, its recipe.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::checkpoint::ModelSource;
use engine::concepts::ConceptRef;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::files::{FileSignature, MODEL_EXTENSIONS, has_extension};
use engine::images::{self, FoundRecipe, RecipeOrigin};
use engine::recipe::Start;
use image::{ImageError, ImageFormat, ImageReader};
use serde_json::{Value, json};

use super::run::open;
use super::weight_info::{self, ConceptInfo, ModelFolder, Weights};
use super::{Failure, print, recipe_json};

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
    /// A file that Tidepool cannot use; why, as a clause.
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
    let cpu = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
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
        return match ModelSource::at(path.to_owned()) {
            ModelSource::Folder(folder) => {
                weight_info::read_model_folder(&folder).map(Found::Model).map_err(Failure::failed)
            }
            // The only file of a repository in the Hugging Face cache.
            ModelSource::File(file) => classify(&file),
            ModelSource::BuiltIn => unreachable!("the built-in model has no path"),
        };
    }
    if !metadata.is_file() {
        return Err(refused("This is a pipe or a device: save its contents as a file first".to_owned()));
    }
    if metadata.len() == 0 {
        return Err(refused("The file is empty: download it or save it again".to_owned()));
    }
    let signature = FileSignature::read(path)
        .map_err(|error| refused(format!("This file cannot be read ({error}): check its permissions")))?;
    match (signature, signature.unreadable_reason()) {
        (FileSignature::Picture, _) => picture(path).map_err(refused),
        (_, Some(reason)) => Ok(Found::Other(reason)),
        (FileSignature::Unknown, _) if !has_extension(path, &MODEL_EXTENSIONS) => Err(refused(
            "This is not a picture, a weight file or a model folder: choose one of those".to_owned(),
        )),
        _ => weight_info::read_weights(path).map(Found::Weights).map_err(Failure::failed),
    }
}

fn picture(path: &Path) -> Result<Found, String> {
    let damaged = |error: ImageError| format!("A damaged picture ({error}): copy it again");
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let reader = reader.map_err(|error| damaged(error.into()))?;
    let format = reader.format();
    let name = format.map_or_else(String::new, |format| format!("{format:?}").to_uppercase());
    let (width, height) = reader.into_dimensions().map_err(damaged)?;
    let mut notes = Vec::new();
    let recipe = match format {
        Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP) => images::read_recipe(path)
            .unwrap_or_else(|error| {
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
        Found::Other(reason) => json!({ "kind": "other", "what": reason }),
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
            text.extend(folder.note.iter().map(|note| format!("Note: {note}\n")));
            for part in folder.parts.iter().filter(|_| shapes) {
                if let Some(file) = &part.weights {
                    text += &format!("\n{}\n{}", part.name, rows_of(file));
                }
            }
            text
        }
        Found::Other(reason) => format!("Tidepool cannot use this file: {reason}\n"),
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
