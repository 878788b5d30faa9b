//! A comparison sheet: one recipe over lists of values, every combination of them a picture.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diffusion::{Sampler, Schedule};
use crate::prompt::Term;
use crate::recipe::{Recipe, RecipeError, Start};

/// What differs along one side of a sheet, written as `cfg=1,4,7.5`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Axis {
    Sampler(Vec<Sampler>),
    Schedule(Vec<Schedule>),
    Steps(Vec<u32>),
    Cfg(Vec<f32>),
    Seed(Vec<u64>),
    Strength(Vec<f32>),
    /// The weight of the first prompt that is mixed in.
    Mix(Vec<f32>),
    /// How far the first edited word is on its way from its first term to its second.
    Blend(Vec<f32>),
}

impl Axis {
    pub const NAMES: [&str; 8] = ["sampler", "schedule", "steps", "cfg", "seed", "strength", "mix", "blend"];
    /// Values along a side.
    const MAX: usize = 64;

    pub fn name(&self) -> &'static str {
        match self {
            Self::Sampler(_) => "sampler",
            Self::Schedule(_) => "schedule",
            Self::Steps(_) => "steps",
            Self::Cfg(_) => "cfg",
            Self::Seed(_) => "seed",
            Self::Strength(_) => "strength",
            Self::Mix(_) => "mix",
            Self::Blend(_) => "blend",
        }
    }

    /// How many values there are, which is never none.
    pub fn count(&self) -> usize {
        match self {
            Self::Sampler(samplers) => samplers.len(),
            Self::Schedule(schedules) => schedules.len(),
            Self::Steps(counts) => counts.len(),
            Self::Cfg(scales) => scales.len(),
            Self::Seed(seeds) => seeds.len(),
            Self::Strength(strengths) => strengths.len(),
            Self::Mix(weights) => weights.len(),
            Self::Blend(weights) => weights.len(),
        }
    }

    /// Each value in the words of the window.
    pub fn labels(&self) -> Vec<String> {
        match self {
            Self::Sampler(samplers) => samplers.iter().map(|it| it.label().to_owned()).collect(),
            Self::Schedule(schedules) => schedules.iter().map(|it| it.label().to_owned()).collect(),
            Self::Steps(counts) => counts.iter().map(|it| format!("{it} steps")).collect(),
            Self::Cfg(scales) => scales.iter().map(|it| format!("Guidance {it}")).collect(),
            Self::Seed(seeds) => seeds.iter().map(|it| format!("Seed {it}")).collect(),
            Self::Strength(strengths) => strengths.iter().map(|it| format!("Strength {it}")).collect(),
            Self::Mix(weights) => weights.iter().map(|it| format!("Mix {it}")).collect(),
            Self::Blend(weights) => weights.iter().map(|it| format!("Blend {it}")).collect(),
        }
    }

    /// Gives the recipe the value of this number.
    fn set(&self, index: usize, recipe: &mut Recipe) {
        match self {
            Self::Sampler(samplers) => recipe.sampler = samplers[index],
            Self::Schedule(schedules) => recipe.schedule = schedules[index],
            Self::Steps(counts) => recipe.steps = counts[index],
            Self::Cfg(scales) => recipe.guidance.cfg_scale = scales[index],
            Self::Seed(seeds) => recipe.seed = seeds[index],
            Self::Strength(strengths) => {
                if let Start::Image { strength, .. } = &mut recipe.start {
                    *strength = strengths[index];
                }
            }
            Self::Mix(weights) => {
                if let Some(mixed) = recipe.mix.prompts.first_mut() {
                    mixed.weight = weights[index];
                }
            }
            Self::Blend(weights) => {
                if let Some([from, to]) = blended(recipe) {
                    (from.weight, to.weight) = (1.0 - weights[index], weights[index]);
                }
            }
        }
    }

    fn values(&self) -> Vec<String> {
        fn written<T: ToString>(values: &[T]) -> Vec<String> {
            values.iter().map(T::to_string).collect()
        }
        match self {
            Self::Sampler(samplers) => samplers.iter().map(|it| it.name().to_owned()).collect(),
            Self::Schedule(schedules) => schedules.iter().map(|it| it.name().to_owned()).collect(),
            Self::Steps(counts) => written(counts),
            Self::Cfg(values) | Self::Strength(values) | Self::Mix(values) | Self::Blend(values) => {
                written(values)
            }
            Self::Seed(seeds) => written(seeds),
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name(), self.values().join(","))
    }
}

impl From<Axis> for String {
    fn from(vary: Axis) -> Self {
        vary.to_string()
    }
}

impl TryFrom<String> for Axis {
    type Error = AxisError;

    fn try_from(text: String) -> Result<Self, AxisError> {
        text.parse()
    }
}

/// Why a text says nothing that can differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AxisError {
    #[error("what differs is written as NAME=VALUE,VALUE,... such as cfg=1,4,7.5, with one of the names {}", Axis::NAMES.join(", "))]
    Form,
    #[error("`{0}` is nothing that can differ: choose one of {names}", names = Axis::NAMES.join(", "))]
    Name(String),
    #[error("`{value}` is no {name}{}", known(name))]
    Value { name: &'static str, value: String },
    #[error("{0} values are too many for one side: choose at most {most}", most = Axis::MAX)]
    TooMany(usize),
}

/// The names to choose from, where there are names.
fn known(name: &str) -> String {
    match name {
        "sampler" => format!(": choose of {}", Sampler::ALL.map(Sampler::name).join(", ")),
        "schedule" => format!(": choose of {}", Schedule::ALL.map(Schedule::name).join(", ")),
        _ => ": write a number".to_owned(),
    }
}

impl FromStr for Axis {
    type Err = AxisError;

    fn from_str(text: &str) -> Result<Self, AxisError> {
        let (name, values) = text.split_once('=').ok_or(AxisError::Form)?;
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        if values.len() > Self::MAX {
            return Err(AxisError::TooMany(values.len()));
        }
        match name.trim() {
            "sampler" => each("sampler", &values, Sampler::from_name).map(Self::Sampler),
            "schedule" => each("schedule", &values, Schedule::from_name).map(Self::Schedule),
            "steps" => each("steps", &values, number).map(Self::Steps),
            "cfg" => each("cfg", &values, number).map(Self::Cfg),
            "seed" => each("seed", &values, number).map(Self::Seed),
            "strength" => each("strength", &values, number).map(Self::Strength),
            "mix" => each("mix", &values, number).map(Self::Mix),
            "blend" => each("blend", &values, number).map(Self::Blend),
            name => Err(AxisError::Name(name.to_owned())),
        }
    }
}

/// The terms of the first edit that has two.
fn blended(recipe: &mut Recipe) -> Option<&mut [Term; 2]> {
    recipe.edits.iter_mut().find_map(|edit| edit.replacement.as_mut_slice().try_into().ok())
}

fn number<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

fn each<T>(
    name: &'static str,
    values: &[&str],
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, AxisError> {
    let value = |&value: &&str| read(value).ok_or_else(|| AxisError::Value { name, value: value.to_owned() });
    values.iter().map(value).collect()
}

/// One recipe over one or two lists.
#[derive(Clone, Debug, PartialEq)]
pub struct XyPlot {
    pub recipe: Recipe,
    /// What differs from column to column, and from row to row.
    pub across: Axis,
    pub down: Option<Axis>,
}

/// A picture of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct PlotCell {
    pub column: usize,
    pub row: usize,
    pub recipe: Recipe,
}

/// Why there is no sheet.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum XyPlotError {
    #[error("A sheet compares something: say what differs, such as cfg=1,4,7.5")]
    NothingVaries,
    #[error("A sheet has two sides, and {0} things are to differ: make several sheets")]
    TooManySides(usize),
    #[error("The {0} cannot differ from column to column and from row to row at once: choose another")]
    SameTwice(&'static str),
    #[error("A strength means something with a start image only: choose one, or let something else differ")]
    NoStartImage,
    #[error("There is no second prompt to mix in: add one first")]
    NothingMixed,
    #[error("No word is edited into two: write an edit such as puppy=puppy+skunk first")]
    NothingBlended,
    #[error("In a sheet each picture is alone, and a batch of {0} is not: let the seed differ")]
    Batch(u32),
    #[error("{label}: {error}")]
    Recipe { label: String, error: RecipeError },
}

impl XyPlot {
    /// The first of `sides` goes across, the second down.
    pub fn new(recipe: Recipe, sides: Vec<Axis>) -> Result<Self, XyPlotError> {
        let count = sides.len();
        let mut sides = sides.into_iter();
        let across = sides.next().ok_or(XyPlotError::NothingVaries)?;
        let down = sides.next();
        if count > 2 {
            return Err(XyPlotError::TooManySides(count));
        }
        let sheet = Self { recipe, across, down };
        sheet.check()?;
        Ok(sheet)
    }

    fn check(&self) -> Result<(), XyPlotError> {
        let is_strength = |vary: &Axis| matches!(vary, Axis::Strength(_));
        if self.recipe.batch != 1 {
            return Err(XyPlotError::Batch(self.recipe.batch));
        }
        if self.sides().any(is_strength) && self.recipe.start == Start::Noise {
            return Err(XyPlotError::NoStartImage);
        }
        if self.sides().any(|vary| matches!(vary, Axis::Mix(_))) && self.recipe.mix.prompts.is_empty() {
            return Err(XyPlotError::NothingMixed);
        }
        let is_blend = |vary: &Axis| matches!(vary, Axis::Blend(_));
        if self.sides().any(is_blend) && blended(&mut self.recipe.clone()).is_none() {
            return Err(XyPlotError::NothingBlended);
        }
        if let Some(down) = self.down.as_ref().filter(|down| down.name() == self.across.name()) {
            return Err(XyPlotError::SameTwice(down.name()));
        }
        self.cells().try_for_each(|cell| {
            let label = || self.label(&cell);
            cell.recipe.check().map_err(|error| XyPlotError::Recipe { label: label(), error })
        })
    }

    pub fn sides(&self) -> impl Iterator<Item = &Axis> {
        std::iter::once(&self.across).chain(&self.down)
    }

    pub fn columns(&self) -> Vec<String> {
        self.across.labels()
    }

    /// A single row needs no name.
    pub fn rows(&self) -> Vec<String> {
        self.down.as_ref().map_or_else(|| vec![String::new()], Axis::labels)
    }

    /// Every picture, row by row.
    pub fn cells(&self) -> impl Iterator<Item = PlotCell> {
        let rows = self.down.as_ref().map_or(1, Axis::count);
        (0..rows).flat_map(move |row| {
            (0..self.across.count()).map(move |column| {
                let mut recipe = self.recipe.clone();
                self.across.set(column, &mut recipe);
                if let Some(down) = &self.down {
                    down.set(row, &mut recipe);
                }
                PlotCell { column, row, recipe }
            })
        })
    }

    /// What a picture has of its own.
    pub fn label(&self, cell: &PlotCell) -> String {
        let column = self.across.labels().swap_remove(cell.column);
        match &self.down {
            None => column,
            Some(down) => format!("{column}, {}", down.labels().swap_remove(cell.row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{Mix, Mixed};

    fn vary(text: &str) -> Axis {
        text.parse().expect("it can differ")
    }

    #[test]
    fn what_differs_is_read_as_it_is_written() {
        let texts = ["sampler=euler,heun", "schedule=linspace,karras", "steps=1,20", "cfg=1,4,7.5,12"];
        for text in
            texts.into_iter().chain(["seed=0,18446744073709551615", "strength=0.5,0.75", "mix=0,0.5,1"])
        {
            assert_eq!(vary(text).to_string(), text);
            let json = serde_json::to_string(&vary(text)).expect("JSON");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Axis>(&json).ok(), Some(vary(text)));
        }
        assert_eq!(vary(" cfg = 1, 4 "), Axis::Cfg(vec![1.0, 4.0]));
        assert_eq!(vary("schedule=lesson"), Axis::Schedule(vec![Schedule::Linspace]), "an older file");
    }

    #[test]
    fn what_cannot_differ_is_said() {
        let many = format!("seed={}", vec!["1"; 65].join(","));
        let cases = [
            ("cfg", "NAME=VALUE"),
            ("", "NAME=VALUE"),
            ("size=1,2", "size"),
            ("cfg=", "no cfg"),
            ("cfg=1,,2", "no cfg"),
            ("cfg=1,much", "much"),
            ("steps=1.5", "1.5"),
            ("seed=-1", "-1"),
            ("sampler=best", "euler"),
            ("schedule=best", "karras"),
            (&many, "65"),
        ];
        for (text, word) in cases {
            let said = text.parse::<Axis>().expect_err(text).to_string();
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    #[test]
    fn every_combination_is_a_picture_with_its_own_values_and_the_rest_of_the_recipe() {
        let recipe = Recipe { prompt: "a fox".into(), steps: 7, ..Recipe::default() };
        let sheet = XyPlot::new(recipe.clone(), vec![vary("cfg=1,4,9"), vary("sampler=heun,euler")]);
        let sheet = sheet.expect("a sheet");
        let cells: Vec<PlotCell> = sheet.cells().collect();
        assert_eq!(cells.len(), 6);
        let seen =
            |cell: &PlotCell| (cell.column, cell.row, cell.recipe.guidance.cfg_scale, cell.recipe.sampler);
        assert_eq!(seen(&cells[0]), (0, 0, 1.0, Sampler::Heun));
        assert_eq!(seen(&cells[2]), (2, 0, 9.0, Sampler::Heun));
        assert_eq!(seen(&cells[4]), (1, 1, 4.0, Sampler::Euler));
        assert!(cells.iter().all(|cell| cell.recipe.steps == 7 && cell.recipe.prompt == "a fox"));
        assert_eq!(sheet.label(&cells[4]), "Guidance 4, Euler");
        assert_eq!((sheet.columns().len(), sheet.rows()), (3, vec!["Heun".into(), "Euler".into()]));

        let row = XyPlot::new(recipe, vec![vary("seed=1,2")]).expect("a sheet");
        assert_eq!((row.rows(), row.cells().count()), (vec![String::new()], 2));
    }

    #[test]
    fn a_mix_and_a_blend_go_from_one_to_the_other() {
        let recipe = Recipe {
            edits: vec![
                "fox=, scale 2".parse().expect("an edit"),
                "puppy=puppy+skunk".parse().expect("an edit"),
            ],
            mix: Mix { prompts: vec![Mixed { prompt: "a cat".into(), weight: 0.5 }], ..Mix::default() },
            ..Recipe::default()
        };
        let sheet = XyPlot::new(recipe, vec![vary("mix=0,0.25"), vary("blend=0,0.75")]).expect("a sheet");
        let seen = |cell: PlotCell| {
            let terms = cell.recipe.edits[1].replacement.iter().map(|term| term.weight);
            (cell.recipe.mix.main_weight(), terms.collect::<Vec<_>>())
        };
        let seen: Vec<_> = sheet.cells().map(seen).collect();
        assert_eq!(seen[1], (0.75, vec![1.0, 0.0]));
        assert_eq!(seen[2], (1.0, vec![0.25, 0.75]));
    }

    #[test]
    fn a_sheet_that_cannot_be_made_says_why() {
        let refused = |recipe: &Recipe, sides: &[&str]| {
            let sides = sides.iter().map(|side| vary(side)).collect();
            XyPlot::new(recipe.clone(), sides).expect_err("it cannot be made")
        };
        let recipe = Recipe::default();
        assert_eq!(refused(&recipe, &[]), XyPlotError::NothingVaries);
        assert_eq!(refused(&recipe, &["cfg=1", "steps=2", "seed=3"]), XyPlotError::TooManySides(3));
        assert!(matches!(refused(&recipe, &["cfg=1,2", "cfg=3"]), XyPlotError::SameTwice(_)));
        assert_eq!(refused(&recipe, &["strength=0.5"]), XyPlotError::NoStartImage);
        assert_eq!(refused(&recipe, &["mix=0,1"]), XyPlotError::NothingMixed);
        assert_eq!(refused(&recipe, &["blend=0,1"]), XyPlotError::NothingBlended);
        let batch = Recipe { batch: 2, ..recipe.clone() };
        assert_eq!(refused(&batch, &["cfg=1"]), XyPlotError::Batch(2));
        let XyPlotError::Recipe { label, error } = refused(&recipe, &["cfg=1,-4", "steps=3,4"]) else {
            panic!("a guidance scale of -4")
        };
        assert_eq!((label.as_str(), error), ("Guidance -4, 3 steps", RecipeError::CfgScale(-4.0)));
    }
}
