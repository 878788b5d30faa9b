//! X/Y plots: one recipe over one or two lists of values, with a picture for every combination.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diffusion::{Sampler, Schedule};
use crate::prompt::Term;
use crate::recipe::{Recipe, RecipeError, Start};

/// The values along an axis of a plot, written as `cfg=1,4,7.5`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Axis {
    Sampler(Vec<Sampler>),
    Schedule(Vec<Schedule>),
    Steps(Vec<u32>),
    Cfg(Vec<f32>),
    Seed(Vec<u64>),
    Strength(Vec<f32>),
    /// The weight of the first mixed prompt.
    Mix(Vec<f32>),
    /// The weight of the second term in the first edit with two terms.
    Blend(Vec<f32>),
}

impl Axis {
    pub const NAMES: [&str; 8] = ["sampler", "schedule", "steps", "cfg", "seed", "strength", "mix", "blend"];
    /// The most values of an axis.
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

    /// The number of values, at least 1.
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

    /// Each value as the window shows it.
    pub fn labels(&self) -> Vec<String> {
        match self {
            Self::Sampler(samplers) => samplers.iter().map(|sampler| sampler.label().to_owned()).collect(),
            Self::Schedule(schedules) => {
                schedules.iter().map(|schedule| schedule.label().to_owned()).collect()
            }
            Self::Steps(counts) => counts.iter().map(|count| format!("{count} steps")).collect(),
            Self::Cfg(scales) => scales.iter().map(|scale| format!("Guidance {scale}")).collect(),
            Self::Seed(seeds) => seeds.iter().map(|seed| format!("Seed {seed}")).collect(),
            Self::Strength(strengths) => {
                strengths.iter().map(|strength| format!("Strength {strength}")).collect()
            }
            Self::Mix(weights) => weights.iter().map(|weight| format!("Mix {weight}")).collect(),
            Self::Blend(weights) => weights.iter().map(|weight| format!("Blend {weight}")).collect(),
        }
    }

    /// Sets the value with this index in a recipe.
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
            Self::Sampler(samplers) => samplers.iter().map(|sampler| sampler.name().to_owned()).collect(),
            Self::Schedule(schedules) => {
                schedules.iter().map(|schedule| schedule.name().to_owned()).collect()
            }
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
    fn from(axis: Axis) -> Self {
        axis.to_string()
    }
}

impl TryFrom<String> for Axis {
    type Error = AxisError;

    fn try_from(text: String) -> Result<Self, AxisError> {
        text.parse()
    }
}

/// Why a text is not an axis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AxisError {
    #[error("an axis is written as NAME=VALUE,VALUE,... such as cfg=1,4,7.5, with one of the names {}", Axis::NAMES.join(", "))]
    Form,
    #[error("`{0}` cannot be varied. Choose one of {names}", names = Axis::NAMES.join(", "))]
    Name(String),
    #[error("`{value}` is not a {name}{}", hint(name))]
    Value { name: &'static str, value: String },
    #[error("{0} values are too many for one axis: choose at most {max}", max = Axis::MAX)]
    TooMany(usize),
}

/// What to write instead.
fn hint(name: &str) -> String {
    match name {
        "sampler" => format!(": choose one of {}", Sampler::ALL.map(Sampler::name).join(", ")),
        "schedule" => format!(": choose one of {}", Schedule::ALL.map(Schedule::name).join(", ")),
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

/// The terms of the first edit with two terms.
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

/// One recipe over the values of one or two axes.
#[derive(Clone, Debug, PartialEq)]
pub struct XyPlot {
    pub recipe: Recipe,
    /// What varies from column to column.
    pub x: Axis,
    /// What varies from row to row.
    pub y: Option<Axis>,
}

/// A picture of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct PlotCell {
    pub column: usize,
    pub row: usize,
    pub recipe: Recipe,
}

/// Why a plot cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum XyPlotError {
    #[error("A plot needs an axis: say what to vary, such as cfg=1,4,7.5")]
    NothingVaries,
    #[error("A plot has at most two axes, not {0}: make several plots")]
    TooManyAxes(usize),
    #[error("The {0} cannot be on both axes: vary something else on one of them")]
    SameTwice(&'static str),
    #[error("Strength has an effect only with a start image: choose one, or vary something else")]
    NoStartImage,
    #[error("No prompt is mixed in: add one first")]
    NothingMixed,
    #[error("No edit has two terms: add one such as puppy=puppy+skunk first")]
    NothingBlended,
    #[error("The cells of a plot are single pictures, not batches of {0}: vary the seed instead")]
    Batch(u32),
    #[error("{label}: {error}")]
    Recipe { label: String, error: RecipeError },
}

impl XyPlot {
    /// The first of `axes` is x, the second y.
    pub fn new(recipe: Recipe, axes: Vec<Axis>) -> Result<Self, XyPlotError> {
        let count = axes.len();
        let mut axes = axes.into_iter();
        let x = axes.next().ok_or(XyPlotError::NothingVaries)?;
        let y = axes.next();
        if count > 2 {
            return Err(XyPlotError::TooManyAxes(count));
        }
        let plot = Self { recipe, x, y };
        plot.check()?;
        Ok(plot)
    }

    fn check(&self) -> Result<(), XyPlotError> {
        let is_strength = |axis: &Axis| matches!(axis, Axis::Strength(_));
        if self.recipe.batch != 1 {
            return Err(XyPlotError::Batch(self.recipe.batch));
        }
        if self.axes().any(is_strength) && self.recipe.start == Start::Noise {
            return Err(XyPlotError::NoStartImage);
        }
        if self.axes().any(|axis| matches!(axis, Axis::Mix(_))) && self.recipe.mix.prompts.is_empty() {
            return Err(XyPlotError::NothingMixed);
        }
        let is_blend = |axis: &Axis| matches!(axis, Axis::Blend(_));
        if self.axes().any(is_blend) && blended(&mut self.recipe.clone()).is_none() {
            return Err(XyPlotError::NothingBlended);
        }
        if let Some(y) = self.y.as_ref().filter(|y| y.name() == self.x.name()) {
            return Err(XyPlotError::SameTwice(y.name()));
        }
        self.cells().try_for_each(|cell| {
            let label = || self.label(&cell);
            cell.recipe.check().map_err(|error| XyPlotError::Recipe { label: label(), error })
        })
    }

    pub fn axes(&self) -> impl Iterator<Item = &Axis> {
        std::iter::once(&self.x).chain(&self.y)
    }

    pub fn columns(&self) -> Vec<String> {
        self.x.labels()
    }

    /// The labels of the rows; a single row has an empty label.
    pub fn rows(&self) -> Vec<String> {
        self.y.as_ref().map_or_else(|| vec![String::new()], Axis::labels)
    }

    /// All pictures, row by row.
    pub fn cells(&self) -> impl Iterator<Item = PlotCell> {
        let rows = self.y.as_ref().map_or(1, Axis::count);
        (0..rows).flat_map(move |row| {
            (0..self.x.count()).map(move |column| {
                let mut recipe = self.recipe.clone();
                self.x.set(column, &mut recipe);
                if let Some(y) = &self.y {
                    y.set(row, &mut recipe);
                }
                PlotCell { column, row, recipe }
            })
        })
    }

    /// The label of a picture: its values on both axes.
    pub fn label(&self, cell: &PlotCell) -> String {
        let column = self.x.labels().swap_remove(cell.column);
        match &self.y {
            None => column,
            Some(y) => format!("{column}, {}", y.labels().swap_remove(cell.row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{Mix, Mixed};

    fn axis(text: &str) -> Axis {
        text.parse().expect("an axis")
    }

    #[test]
    fn an_axis_is_read_as_it_is_written() {
        let texts = ["sampler=euler,heun", "schedule=linspace,karras", "steps=1,20", "cfg=1,4,7.5,12"];
        for text in
            texts.into_iter().chain(["seed=0,18446744073709551615", "strength=0.5,0.75", "mix=0,0.5,1"])
        {
            assert_eq!(axis(text).to_string(), text);
            let json = serde_json::to_string(&axis(text)).expect("JSON");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Axis>(&json).ok(), Some(axis(text)));
        }
        assert_eq!(axis(" cfg = 1, 4 "), Axis::Cfg(vec![1.0, 4.0]));
        assert_eq!(axis("schedule=lesson"), Axis::Schedule(vec![Schedule::Linspace]), "an older file");
    }

    #[test]
    fn text_that_is_not_an_axis_is_refused() {
        let many = format!("seed={}", vec!["1"; 65].join(","));
        let cases = [
            ("cfg", "NAME=VALUE"),
            ("", "NAME=VALUE"),
            ("size=1,2", "size"),
            ("cfg=", "not a cfg"),
            ("cfg=1,,2", "not a cfg"),
            ("cfg=1,much", "much"),
            ("steps=1.5", "1.5"),
            ("seed=-1", "-1"),
            ("sampler=best", "euler"),
            ("schedule=best", "karras"),
            (&many, "65"),
        ];
        for (text, word) in cases {
            let error = text.parse::<Axis>().expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn every_combination_is_a_picture_with_its_own_values_and_the_rest_of_the_recipe() {
        let recipe = Recipe { prompt: "a fox".into(), steps: 7, ..Recipe::default() };
        let plot = XyPlot::new(recipe.clone(), vec![axis("cfg=1,4,9"), axis("sampler=heun,euler")]);
        let plot = plot.expect("a plot");
        let cells: Vec<PlotCell> = plot.cells().collect();
        assert_eq!(cells.len(), 6);
        let seen =
            |cell: &PlotCell| (cell.column, cell.row, cell.recipe.guidance.cfg_scale, cell.recipe.sampler);
        assert_eq!(seen(&cells[0]), (0, 0, 1.0, Sampler::Heun));
        assert_eq!(seen(&cells[2]), (2, 0, 9.0, Sampler::Heun));
        assert_eq!(seen(&cells[4]), (1, 1, 4.0, Sampler::Euler));
        assert!(cells.iter().all(|cell| cell.recipe.steps == 7 && cell.recipe.prompt == "a fox"));
        assert_eq!(plot.label(&cells[4]), "Guidance 4, Euler");
        assert_eq!((plot.columns().len(), plot.rows()), (3, vec!["Heun".into(), "Euler".into()]));

        let row = XyPlot::new(recipe, vec![axis("seed=1,2")]).expect("a plot");
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
        let plot = XyPlot::new(recipe, vec![axis("mix=0,0.25"), axis("blend=0,0.75")]).expect("a plot");
        let seen = |cell: PlotCell| {
            let terms = cell.recipe.edits[1].replacement.iter().map(|term| term.weight);
            (cell.recipe.mix.main_weight(), terms.collect::<Vec<_>>())
        };
        let seen: Vec<_> = plot.cells().map(seen).collect();
        assert_eq!(seen[1], (0.75, vec![1.0, 0.0]));
        assert_eq!(seen[2], (1.0, vec![0.25, 0.75]));
    }

    #[test]
    fn a_plot_that_cannot_be_made_says_why() {
        let refused = |recipe: &Recipe, axes: &[&str]| {
            let axes = axes.iter().map(|text| axis(text)).collect();
            XyPlot::new(recipe.clone(), axes).expect_err("it cannot be made")
        };
        let recipe = Recipe::default();
        assert_eq!(refused(&recipe, &[]), XyPlotError::NothingVaries);
        assert_eq!(refused(&recipe, &["cfg=1", "steps=2", "seed=3"]), XyPlotError::TooManyAxes(3));
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
