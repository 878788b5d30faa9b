//! What is stored beside the pixels: the recipe, and what it was cooked with.
//!
//! The JSON here is the whole truth and ours alone; the `parameters` text (`parameters.rs`) is the
//! same for other programs. Older and newer programs must be able to read it: a field that is
//! missing has its default, one that is unknown is ignored, one that cannot be used is reported.

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

/// Layout of the JSON. Raise it when an older program would misread a newer file.
const FORMAT: u32 = 1;

/// Where a picture came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    pub format: u32,
    /// The maker's name and version, such as "Tidepool 0.1.0"; empty when not known.
    pub program: String,
    /// The model's name; empty when not known.
    pub model: String,
    /// The first 10 hexadecimal digits of the SHA-256 of the model's file.
    pub model_hash: Option<String>,
    /// The VAE that was chosen over the model's own.
    pub vae: Option<String>,
    /// Those that the prompts use.
    pub concepts: Vec<ConceptRef>,
    /// Of this picture alone: see [`Recipe::of_picture`].
    pub recipe: Recipe,
    /// Of a comparison sheet: what of the recipe differs from column to column, and from row to row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vary: Vec<Axis>,
}

/// A recipe that was found in a file, and what to tell the user about it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundRecipe {
    /// Its recipe passes [`Recipe::check`], save for a strength that leaves no step to run.
    pub provenance: Provenance,
    pub origin: RecipeOrigin,
    /// Sentences: what could not be taken over, and what it means for the picture.
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
    /// Of a picture that this program made.
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
        let nameable = Self { recipe: self.nameable_recipe(), ..self.clone() };
        serde_json::to_string(&nameable).expect("strings and numbers are always JSON")
    }

    /// The recipe alone, as one line of JSON.
    pub fn recipe_json(&self) -> String {
        serde_json::to_string(&self.nameable_recipe()).expect("strings and numbers are always JSON")
    }

    /// JSON is UTF-8 and file names need not be: such a start image is named as well as can be.
    fn nameable_recipe(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        if let Start::Image { path, .. } = &mut recipe.start {
            *path = PathBuf::from(path.to_string_lossy().into_owned());
        }
        recipe
    }

    /// `None` if there is no recipe in it.
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
                "It was saved by a newer program ({}): some of its settings may be missing here",
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

/// Takes the fields that fit and says which did not, so that one new sampler name does not cost
/// the user the prompt.
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
            let Value::Object(alone) = alone else { unreachable!("made just above") };
            usable.extend(alone);
        } else {
            // What is as usual is not said in files, and has no value to name here.
            let instead = known.get(&name).map_or("the usual".to_owned(), Value::to_string);
            let name = name.replace('_', " ");
            notes.push(format!("The {name} in the file cannot be used here: {instead} is set"));
        }
    }
    serde_json::from_value(Value::Object(usable)).expect("each field was tried alone")
}

/// Moves numbers that no picture can be made from to the nearest ones that work, and says so.
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
                notes.push(format!("{error}. Its own is set"));
                *recipe.sampler_options.get_mut(option) = None;
            }
            RecipeError::Rho(_) => {
                notes.push(format!("{error}. Its own is set"));
                recipe.schedule_options.rho = None;
            }
            RecipeError::Beta(_) | RecipeError::TrainSteps(_) => {
                notes.push(format!("{error}. The model's own are set"));
                let rho = recipe.schedule_options.rho;
                recipe.schedule_options = ScheduleOptions { rho, ..ScheduleOptions::default() };
            }
            RecipeError::CfgScale(scale) => {
                let (least, most) = (*Recipe::CFG_SCALE.start(), *Recipe::CFG_SCALE.end());
                let default = Recipe::default().guidance.cfg_scale;
                let near = if scale.is_nan() { default } else { scale.clamp(least, most) };
                recipe.guidance.cfg_scale = near;
                notes.push(format!("The guidance scale of {scale} was changed to {near}"));
            }
            RecipeError::ClipSkip(_) => {
                recipe.text.clip_skip = 1;
                notes.push(format!("{error}. 1 is set"));
            }
            RecipeError::TooManyEdits(_) | RecipeError::Edit { .. } => {
                recipe.edits.clear();
                notes.push(format!("{error}. Its edits are left out"));
            }
            RecipeError::TooManyMixed(_) | RecipeError::MixWeight(_) | RecipeError::MixArc => {
                recipe.mix = Mix::default();
                notes.push(format!("{error}. Nothing is mixed in"));
            }
            RecipeError::BranchStep { .. }
            | RecipeError::BranchSize { .. }
            | RecipeError::BranchFrom(_)
            | RecipeError::BranchStart
            | RecipeError::TooManyBranches => {
                recipe.branch = None;
                notes.push("It left another run, of which too little is known: it starts anew".to_owned());
            }
            taste => {
                // No number is the nearest: the user decides, told by the sentence.
                notes.push(taste.to_string());
                return;
            }
        }
    }
}
