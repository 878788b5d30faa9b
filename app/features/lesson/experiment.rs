//! The experiments of the lesson, each a list of commands.
//!
//! Prompts and numbers are fast.ai's where the built-in model knows the words; sizes are those of the
//! current model.

use engine::diffusion::{Sampler, SamplerOptions, Schedule, ScheduleOptions, StepView};
use engine::losses::{Channel, ColorChannel, Loss, LossGuide};
use engine::prompt::{EmbeddingEdit, Mix, Mixed, Source, Term, TextOptions, TokenSelector};
use engine::recipe::{Guidance, Recipe, Start};

use super::LessonPage;
use crate::features::branches::{BranchCommand, Runs};
use crate::features::canvas::ViewCommand;
use crate::features::canvas::views::Views;
use crate::features::command::Command;
use crate::features::film::FilmCommand;
use crate::features::inspect::InspectCommand;
use crate::features::schedule::curves::SchedulePlot;
use crate::features::settings::SettingsCommand;
use crate::features::settings::tab::Tab;
use crate::features::start_image::StartImageCommand;
use crate::features::state::{AppState, Shared};
use crate::features::xy_plot::{AxisField, XyPlotCommand};

/// An experiment that a button of the lesson sets up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Experiment {
    /// The lesson's own recipe.
    Loop,
    /// The latent channels of a picture, and its round trip.
    Latents,
    /// A picture with the noise of step 10 of 15.
    AddNoise,
    /// All schedules in one plot.
    Schedules,
    /// A picture to start from.
    Parrot,
    /// The finished picture as a start image, under a new prompt.
    StartImage,
    /// A plain prompt.
    Puppy,
    /// One word's embedding in place of another's.
    Replace,
    /// Half of one embedding, half of another.
    Blend,
    /// Two prompts, mixed after the text encoder.
    Mix,
    /// Noisy latents and predicted picture side by side, played step by step.
    Film,
    /// An X/Y plot of guidance scales.
    Scales,
    /// An X/Y plot of samplers.
    Samplers,
    /// An X/Y plot of optimisers as samplers.
    Optimisers,
    /// A campfire steered by its blue channel.
    Blue,
}

const SEED: u64 = 32;
const STEPS: u32 = 30;

impl Experiment {
    pub const ALL: [Self; 15] = [
        Self::Loop,
        Self::Latents,
        Self::AddNoise,
        Self::Schedules,
        Self::Parrot,
        Self::StartImage,
        Self::Puppy,
        Self::Replace,
        Self::Blend,
        Self::Mix,
        Self::Film,
        Self::Scales,
        Self::Samplers,
        Self::Optimisers,
        Self::Blue,
    ];

    /// The page that it is on.
    pub fn stop(self) -> LessonPage {
        match self {
            Self::Loop => LessonPage::Loop,
            Self::Latents => LessonPage::Autoencoder,
            Self::AddNoise | Self::Schedules => LessonPage::Noise,
            Self::Parrot | Self::StartImage => LessonPage::StartImage,
            Self::Puppy | Self::Replace | Self::Blend | Self::Mix => LessonPage::Text,
            Self::Film => LessonPage::Prediction,
            Self::Scales => LessonPage::Guidance,
            Self::Samplers | Self::Optimisers => LessonPage::Samplers,
            Self::Blue => LessonPage::Losses,
        }
    }

    /// The label of its button.
    pub fn label(self) -> &'static str {
        match self {
            Self::Loop => "Run the lesson's recipe",
            Self::Latents => "Look at its channels",
            Self::AddNoise => "Add noise to a picture",
            Self::Schedules => "Compare all schedules",
            Self::Parrot => "Make a parrot",
            Self::StartImage => "Make a dancer from this picture",
            Self::Puppy => "A puppy, as it is",
            Self::Replace => "Puppy becomes cat",
            Self::Blend => "Half puppy, half skunk",
            Self::Mix => "A mouse and a leopard",
            Self::Film => "Watch both side by side",
            Self::Scales => "Guidance 1, 3, 7.5 and 12",
            Self::Samplers => "Six samplers, eight steps",
            Self::Optimisers => "Let optimisers do it",
            Self::Blue => "Make a campfire bluer",
        }
    }

    /// One sentence: what it does.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Loop => "A watercolor painting of an otter: 30 steps of LMS, seed 32, guidance 7.5.",
            Self::Latents => {
                "Opens the Inspect tab on the finished picture. Without one, it makes the otter \
                    first."
            }
            Self::AddNoise => {
                "Opens the Inspect tab with the noise of step 11 of 15. Without a picture, it \
                    makes the otter first."
            }
            Self::Schedules => "Opens the Schedule tab with 15 steps and all schedules.",
            Self::Parrot => "A parrot in the forest, to start from.",
            Self::StartImage => {
                "The finished picture becomes the start image, and the prompt asks for a dancer in the forest."
            }
            Self::Puppy => "A picture of a puppy, seed 32, to compare the others with.",
            Self::Replace => "The same prompt, with cat's embedding in place of puppy's.",
            Self::Blend => "The same prompt, with half of puppy's embedding and half of skunk's.",
            Self::Mix => "Two prompts, each encoded separately, then mixed half and half.",
            Self::Film => "Shows noisy and predicted side by side and plays the current run, or makes one.",
            Self::Scales => "Opens the X/Y plot tab and makes four pictures from one seed.",
            Self::Samplers => "Opens the X/Y plot tab and makes a picture with each, from one seed.",
            Self::Optimisers => "Opens the X/Y plot tab: Euler, SGD, Adam and AdamW, at most 15 steps.",
            Self::Blue => "A picture of a campfire, guided by its blue channel at every fifth step.",
        }
    }

    /// The commands that a user would give by hand. `now` is in seconds of any steady clock.
    pub fn commands(self, state: &AppState, now: f64) -> Vec<Command> {
        let mut commands = vec![Command::Branch(BranchCommand::Stay)];
        commands.extend((!state.shared.settings.seed_locked).then_some(Command::ToggleSeedLock));
        if let Some(recipe) = self.recipe(state) {
            commands.push(Command::Edit(Box::new(recipe)));
        }
        commands.extend(self.show(&state.shared));
        commands.extend(self.act(state, now));
        commands
    }

    /// The recipe that it needs; `None` if the current one will do.
    pub fn recipe(self, state: &AppState) -> Option<Recipe> {
        let lesson = the_lessons(&state.shared);
        let of_words = |prompt: &str| Recipe { prompt: prompt.into(), ..lesson.clone() };
        let puppy = || of_words("a picture of a puppy");
        match self {
            Self::Loop => Some(lesson),
            // Strong guidance makes a sampler of several predictions overshoot.
            Self::Scales => Some(Recipe { sampler: Sampler::Euler, ..lesson }),
            Self::Latents => state.subject().is_none().then_some(lesson),
            Self::AddNoise | Self::Schedules => {
                let needs_picture = self == Self::AddNoise && state.subject().is_none();
                let (schedule, schedule_options) = (Schedule::Linspace, ScheduleOptions::default());
                let recipe = if needs_picture { lesson } else { state.shared.recipe.clone() };
                Some(Recipe { steps: 15, schedule, schedule_options, ..recipe })
            }
            Self::StartImage => {
                let start =
                    Start::Image { path: state.picture_to_start_from()?, strength: state.shared.strength() };
                Some(Recipe { start, ..of_words("a dancer in the forest") })
            }
            Self::Parrot => Some(of_words("a parrot in the forest")),
            Self::Puppy => Some(puppy()),
            Self::Replace => Some(Recipe { edits: vec![becomes(&[(1.0, "cat")])], ..puppy() }),
            Self::Blend => {
                Some(Recipe { edits: vec![becomes(&[(0.5, "puppy"), (0.5, "skunk")])], ..puppy() })
            }
            Self::Mix => {
                let with = vec![Mixed { prompt: "a picture of a leopard".into(), weight: 0.5 }];
                Some(Recipe {
                    mix: Mix { prompts: with, ..Mix::default() },
                    ..of_words("a picture of a mouse")
                })
            }
            Self::Film => {
                let guidance = Guidance { cfg_scale: 8.0 };
                (!has_film(&state.runs)).then_some(Recipe { guidance, sampler: Sampler::Euler, ..lesson })
            }
            Self::Samplers => Some(Recipe { steps: 8, ..lesson }),
            Self::Optimisers => Some(Recipe { steps: 15, ..lesson }),
            Self::Blue => {
                let channel = Channel { channel: ColorChannel::Blue, target: 0.9 };
                // A small model is so sure of its picture that the lesson's scale hardly moves it.
                let scale = if is_small(&state.shared) { 400.0 } else { 200.0 };
                let guide = LossGuide { scale, ..LossGuide::new(Loss::Channel(channel)) };
                let guidance = Guidance { cfg_scale: 8.0 };
                Some(Recipe { guidance, guides: vec![guide], ..of_words("a picture of a campfire") })
            }
        }
    }

    /// The tab and views to show.
    fn show(self, shared: &Shared) -> Vec<Command> {
        let tab = match self {
            Self::Latents | Self::AddNoise => Some(Tab::Inspect),
            Self::Schedules => Some(Tab::Schedule),
            Self::Scales | Self::Samplers | Self::Optimisers => Some(Tab::XyPlot),
            // The page shows it.
            _ => None,
        };
        let mut commands = Vec::new();
        if tab.is_some() {
            commands.push(Command::Settings(SettingsCommand::ShowTab { tab, drawer: shared.drawer_open }));
        }
        match self {
            Self::AddNoise => commands.push(Command::Inspect(InspectCommand::NoiseStep(10))),
            Self::Schedules => {
                commands.push(Command::Settings(SettingsCommand::ShowSchedule(SchedulePlot::default())));
            }
            Self::Film => commands.extend(noisy_and_predicted(&shared.settings.views)),
            _ => commands.push(Command::View(ViewCommand::Alone(StepView::Predicted))),
        }
        commands
    }

    /// What is then made or played.
    fn act(self, state: &AppState, now: f64) -> Vec<Command> {
        match self {
            Self::Schedules => Vec::new(),
            Self::Latents | Self::AddNoise if state.subject().is_some() => Vec::new(),
            Self::Film if has_film(&state.runs) => state
                .film
                .play
                .is_none()
                .then_some(Command::Film(FilmCommand::TogglePlay { now }))
                .into_iter()
                .collect(),
            Self::StartImage => match state.picture_to_start_from() {
                // Set again, so that its thumbnail is read.
                Some(path) => vec![Command::StartImage(StartImageCommand::Use(path)), Command::Generate],
                None => Vec::new(),
            },
            Self::Scales => sheet("cfg", "1, 3, 7.5, 12"),
            Self::Samplers => sheet("sampler", "euler, heun, lms, dpmpp-2m, unipc, euler-a"),
            Self::Optimisers => sheet("sampler", "euler, sgd, adam, adamw"),
            _ => vec![Command::Generate],
        }
    }
}

/// "A watercolor painting of an otter", at the model's native size.
fn the_lessons(shared: &Shared) -> Recipe {
    let side = shared.model_info().map_or(Recipe::default().width, |info| info.native_side);
    Recipe {
        prompt: "a watercolor painting of an otter".into(),
        text: TextOptions::PLAIN,
        width: side,
        height: side,
        seed: SEED,
        steps: STEPS,
        sampler: Sampler::Lms,
        // A small model is so sure of its picture that a step of four predictions overshoots under strong guidance.
        sampler_options: SamplerOptions {
            order: is_small(shared).then_some(2.0),
            ..SamplerOptions::default()
        },
        guidance: Guidance { cfg_scale: 7.5 },
        ..Recipe::default()
    }
}

fn is_small(shared: &Shared) -> bool {
    const SMALL_SIDE: u32 = 256;
    shared.model_info().is_none_or(|info| info.native_side < SMALL_SIDE)
}

/// Replaces the puppy of the prompt by a sum of words.
fn becomes(terms: &[(f32, &str)]) -> EmbeddingEdit {
    let puppy = TokenSelector { text: "puppy".into(), ..TokenSelector::default() };
    let term = |&(weight, word): &(f32, &str)| Term { weight, word: Source::Word(word.into()) };
    EmbeddingEdit { replacement: terms.iter().map(term).collect(), ..EmbeddingEdit::new(puppy) }
}

fn has_film(runs: &Runs) -> bool {
    runs.current().is_some_and(|run| run.frames.len() > 1)
}

/// Views are shown before others are hidden, since the last one cannot be hidden.
fn noisy_and_predicted(views: &Views) -> Vec<Command> {
    let is_wanted = |view: StepView| matches!(view, StepView::NoisyLatents | StepView::Predicted);
    let hidden = |view: StepView| views.hidden.contains(&view);
    let show = StepView::ALL.into_iter().filter(|&view| is_wanted(view) && hidden(view));
    let hide = StepView::ALL.into_iter().filter(|&view| !is_wanted(view) && !hidden(view));
    let choose = show.chain(hide).map(ViewCommand::Choose);
    std::iter::once(ViewCommand::SideBySide(true)).chain(choose).map(Command::View).collect()
}

fn sheet(name: &'static str, values: &str) -> Vec<Command> {
    let across = AxisField { name, values: values.into() };
    [XyPlotCommand::Across(across), XyPlotCommand::Down(None), XyPlotCommand::Make]
        .map(Command::XyPlot)
        .into()
}
