//! The metadata of a picture: its recipe, and what it was made with.
//!
//! The JSON here is complete and our own format; the `parameters` text (`parameters.rs`) is for other
//! programs. Older and newer versions must be able to read it: a missing field has its default, an unknown
//! one is ignored, and an unusable one is reported.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::concepts::ConceptRef;
use crate::diffusion::ScheduleOptions;
use crate::prompt::Mix;
use crate::recipe::xy_plot::Axis;
use crate::recipe::{Recipe, RecipeError, Start};

/// This program, as it names itself in files.
pub const PROGRAM: &str = concat!("Tidepool ", env!("CARGO_PKG_VERSION"));

/// Version of the JSON format. Increase it when older programs would misread newer files.
const FORMAT: u32 = 1;

/// Where a picture came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    pub format: u32,
    /// The program's name and version, such as "Tidepool 0.1.0"; empty if unknown.
    pub program: String,
    /// The model's name; empty if unknown.
    pub model: String,
    /// The first 10 hexadecimal digits of the SHA-256 of the model's file.
    pub model_hash: Option<String>,
    /// The VAE that replaced the model's own.
    pub vae: Option<String>,
    /// The concepts that the prompts use.
    pub concepts: Vec<ConceptRef>,
    /// The recipe of this picture alone: see [`Recipe::of_picture`].
    pub recipe: Recipe,
    /// The axes of an X/Y plot: what differs between columns, and between rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vary: Vec<Axis>,
}

/// A recipe that was found in a file, with notes for the user.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundRecipe {
    /// Its recipe passes [`Recipe::check`], except for a strength that leaves no step to run.
    pub provenance: Provenance,
    pub origin: RecipeOrigin,
    /// Sentences: what could not be used, and what that means for the picture.
    pub notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipeOrigin {
    /// Our own JSON: complete.
    Tidepool,
    /// A1111's `parameters` text.
    Parameters,
}

impl Provenance {
    /// The provenance of a picture that this program made.
    pub fn new(model: impl Into<String>, recipe: Recipe) -> Self {
        Self { program: PROGRAM.to_owned(), model: model.into(), recipe, ..Self::default() }
    }

    /// Of a run's result: the model and the VAE that made it, and the concepts that its prompts use.
    pub fn of_run(
        model: impl Into<String>,
        vae: Option<String>,
        recipe: Recipe,
        concepts: Vec<ConceptRef>,
    ) -> Self {
        Self { vae, concepts, ..Self::new(model, recipe) }
    }

    /// One line of JSON.
    pub fn to_json(&self) -> String {
        let provenance = Self { recipe: self.recipe_with_utf8_path(), ..self.clone() };
        serde_json::to_string(&provenance).expect("strings and numbers are always JSON")
    }

    /// The recipe alone, as one line of JSON.
    pub fn recipe_json(&self) -> String {
        serde_json::to_string(&self.recipe_with_utf8_path()).expect("strings and numbers are always JSON")
    }

    /// The recipe with the start image's path as UTF-8, which JSON needs and paths need not be.
    fn recipe_with_utf8_path(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        if let Start::Image { path, .. } = &mut recipe.start {
            *path = PathBuf::from(path.to_string_lossy().into_owned());
        }
        recipe
    }

    /// Reads the JSON; `None` if it has no recipe.
    pub fn from_json(text: &str) -> Option<FoundRecipe> {
        let Value::Object(mut fields) = serde_json::from_str(text).ok()? else {
            return None;
        };
        let Value::Object(recipe) = fields.remove("recipe")? else {
            return None;
        };
        let mut notes = Vec::new();
        let mut provenance: Self = usable_fields(fields, &mut notes);
        if provenance.format > FORMAT {
            notes.push(format!(
                "It was saved by a newer version ({}): some of its settings may be missing",
                provenance.program
            ));
        }
        provenance.recipe = usable_fields(recipe, &mut notes);
        make_runnable(&mut provenance.recipe, &mut notes);
        Some(FoundRecipe { provenance, origin: RecipeOrigin::Tidepool, notes })
    }
}

impl Default for Provenance {
    fn default() -> Self {
        Self {
            format: FORMAT,
            program: String::new(),
            model: String::new(),
            model_hash: None,
            vae: None,
            concepts: Vec::new(),
            recipe: Recipe::default(),
            vary: Vec::new(),
        }
    }
}

/// Uses the valid fields and notes the others, so that one unknown sampler name does not lose the prompt.
fn usable_fields<T>(fields: Map<String, Value>, notes: &mut Vec<String>) -> T
where
    T: Default + Serialize + DeserializeOwned,
{
    let Ok(Value::Object(known)) = serde_json::to_value(T::default()) else {
        unreachable!("only structs are stored");
    };
    let mut usable = Map::new();
    for (name, value) in fields {
        let alone = Value::Object(Map::from_iter([(name.clone(), value)]));
        if T::deserialize(&alone).is_ok() {
            let Value::Object(alone) = alone else { unreachable!("it was made above") };
            usable.extend(alone);
        } else {
            // Optional fields are omitted from the defaults and have no value to show.
            let default = known.get(&name).map_or("the default".to_owned(), Value::to_string);
            let name = name.replace('_', " ");
            notes.push(format!("The {name} in the file cannot be used: {default} is used"));
        }
    }
    serde_json::from_value(Value::Object(usable)).expect("each field was tried alone")
}

/// Changes numbers that no picture can be made with to the nearest valid ones, and notes it.
pub(super) fn make_runnable(recipe: &mut Recipe, notes: &mut Vec<String>) {
    while let Err(error) = recipe.check() {
        match error {
            RecipeError::Steps(steps) => {
                recipe.steps = steps.clamp(*Recipe::STEPS.start(), *Recipe::STEPS.end());
                notes.push(format!("{steps} steps were changed to {}", recipe.steps));
            }
            RecipeError::Batch(batch) => {
                recipe.batch = batch.clamp(*Recipe::BATCH.start(), *Recipe::BATCH.end());
                notes.push(format!("A batch of {batch} was changed to {}", recipe.batch));
            }
            RecipeError::Side { side, pixels, nearest } => {
                let changed = if side == "width" { &mut recipe.width } else { &mut recipe.height };
                *changed = nearest;
                notes.push(format!("The {side} of {pixels} pixels was changed to {nearest}"));
            }
            RecipeError::OneAtATime(_) => recipe.batch = 1,
            RecipeError::SamplerOption { option, .. } => {
                notes.push(format!("{error}. The default is used"));
                *recipe.sampler_options.get_mut(option) = None;
            }
            RecipeError::Rho(_) => {
                notes.push(format!("{error}. The default is used"));
                recipe.schedule_options.rho = None;
            }
            RecipeError::Beta(_) | RecipeError::TrainSteps(_) => {
                notes.push(format!("{error}. The model's own are used"));
                let rho = recipe.schedule_options.rho;
                recipe.schedule_options = ScheduleOptions { rho, ..ScheduleOptions::default() };
            }
            RecipeError::CfgScale(scale) => {
                let (min, max) = (*Recipe::CFG_SCALE.start(), *Recipe::CFG_SCALE.end());
                let default = Recipe::default().guidance.cfg_scale;
                let nearest = if scale.is_nan() { default } else { scale.clamp(min, max) };
                recipe.guidance.cfg_scale = nearest;
                notes.push(format!("The guidance scale of {scale} was changed to {nearest}"));
            }
            RecipeError::ClipSkip(_) => {
                recipe.text.clip_skip = 1;
                notes.push(format!("{error}. 1 is used"));
            }
            RecipeError::TooManyEdits(_) | RecipeError::Edit { .. } => {
                recipe.edits.clear();
                notes.push(format!("{error}. The edits are removed"));
            }
            RecipeError::TooManyMixed(_) | RecipeError::MixWeight(_) | RecipeError::MixArc => {
                recipe.mix = Mix::default();
                notes.push(format!("{error}. No prompt is mixed in"));
            }
            RecipeError::BranchStep { .. }
            | RecipeError::BranchSize { .. }
            | RecipeError::BranchFrom(_)
            | RecipeError::BranchStart
            | RecipeError::TooManyBranches => {
                recipe.branch = None;
                notes.push("It branched from another run, which is not fully described: it starts from the beginning".to_owned());
            }
            other => {
                // There is no nearest valid number: the user decides, informed by the sentence.
                notes.push(other.to_string());
                return;
            }
        }
    }
}
