//! Runs the lesson's experiments, and restores the workspace.

use std::path::PathBuf;

use engine::recipe::Start;

use crate::features::effect::Effect;
use crate::features::lesson::{Experiment, LessonCommand, LessonPage, SavedWorkspace};
use crate::features::state::{AppState, Shared};

impl AppState {
    pub(crate) fn handle_lesson(&mut self, command: LessonCommand) -> Vec<Effect> {
        match command {
            LessonCommand::GoTo(stop) => self.shared.settings.lesson.page = stop,
            LessonCommand::Strength(strength) => self.shared.settings.lesson.strength = strength,
            LessonCommand::SetUp { experiment, now } => return self.set_up(experiment, now),
            LessonCommand::PutBack => return self.put_back(),
        }
        Vec::new()
    }

    /// After several experiments in a row, the workspace before the first one is restored.
    pub(crate) fn set_up(&mut self, experiment: Experiment, now: f64) -> Vec<Effect> {
        let commands = experiment.commands(self, now);
        if self.shared.settings.lesson.previous.is_none() {
            self.shared.settings.lesson.previous = Some(SavedWorkspace {
                recipe: self.shared.recipe.clone(),
                views: self.shared.settings.views.clone(),
                seed_locked: self.shared.settings.seed_locked,
                is_seed_used: self.runs.last_seed == Some(self.shared.recipe.seed),
                sides: Some((self.xy_plot.across.clone(), self.xy_plot.down.clone())),
            });
        }
        self.runs.last_seed = None;
        commands.into_iter().flat_map(|command| self.handle(command)).collect()
    }

    pub(crate) fn put_back(&mut self) -> Vec<Effect> {
        let Some(before) = self.shared.settings.lesson.previous.take() else { return Vec::new() };
        self.shared.settings.views = before.views;
        self.shared.settings.seed_locked = before.seed_locked;
        if let Some((across, down)) = before.sides {
            (self.xy_plot.across, self.xy_plot.down) = (across, down);
        }
        self.runs.last_seed = before.is_seed_used.then_some(before.recipe.seed);
        self.start_picture = None;
        self.edit(before.recipe);
        self.read_start_image()
    }

    /// The picture that image to image can start from: the start image, or the file of the
    /// finished picture.
    pub fn picture_to_start_from(&self) -> Option<PathBuf> {
        self.shared.start_path().cloned().or_else(|| {
            let run = self.runs.current().filter(|run| !run.pictures.is_empty())?;
            let index = self.film.picture.unwrap_or(0);
            // The last saved file may belong to another run, or be a plot.
            let name = format!("-{}", run.recipe.seed.wrapping_add(index as u64));
            let file = self.shared.saved.get(index)?;
            file.file_stem()?.to_string_lossy().ends_with(&name).then(|| file.clone())
        })
    }

    /// True if the current page shows inspected latents.
    pub(crate) fn lesson_inspects(&self) -> bool {
        matches!(self.shared.settings.lesson.page, LessonPage::Autoencoder | LessonPage::Noise)
    }
}

impl Shared {
    /// The current strength; without a start image, the one shown on the page.
    pub fn strength(&self) -> f32 {
        match self.recipe.start {
            Start::Image { strength, .. } => strength,
            Start::Noise => self.settings.lesson.strength,
        }
    }
}
