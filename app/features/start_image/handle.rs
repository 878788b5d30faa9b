//! Choosing the picture to start from, and reading it.

use std::path::PathBuf;
use std::sync::Arc;

use engine::images::Pixels;
use engine::recipe::{DEFAULT_STRENGTH, Start};

use crate::features::effect::{Effect, Task};
use crate::features::errors::ErrorSlot;
use crate::features::start_image::{StartImageCommand, StartPicture};
use crate::features::state::AppState;

impl AppState {
    pub(crate) fn handle_start_image(&mut self, command: StartImageCommand) -> Vec<Effect> {
        match command {
            StartImageCommand::Choose => return vec![Effect::Task(Task::PickPicture)],
            StartImageCommand::Paste => return vec![Effect::Task(Task::PastePicture)],
            StartImageCommand::Use(path) => return self.use_start_image(path, None),
            StartImageCommand::Remove => {
                self.shared.recipe.start = Start::Noise;
                self.start_picture = None;
                self.shared.errors.clear(ErrorSlot::StartImage);
            }
        }
        Vec::new()
    }

    pub(crate) fn use_start_image(&mut self, path: PathBuf, read: Option<StartPicture>) -> Vec<Effect> {
        let strength = match self.shared.recipe.start {
            Start::Image { strength, .. } => strength,
            Start::Noise => DEFAULT_STRENGTH,
        };
        self.shared.recipe.start = Start::Image { path, strength };
        self.shared.errors.clear(ErrorSlot::StartImage);
        self.start_picture = read;
        if self.start_picture.is_some() { Vec::new() } else { self.read_start_image() }
    }

    pub(crate) fn read_start_image(&self) -> Vec<Effect> {
        self.shared
            .start_path()
            .cloned()
            .map(|path| Effect::Task(Task::ReadStartImage(path)))
            .into_iter()
            .collect()
    }

    pub(crate) fn receive_start_image(
        &mut self,
        path: PathBuf,
        picture: Result<Arc<Pixels>, String>,
        notes: Vec<String>,
    ) {
        match picture {
            Ok(pixels) if self.shared.start_path() == Some(&path) => {
                self.start_picture = Some(StartPicture { pixels, notes });
            }
            Err(text) if self.shared.start_path() == Some(&path) => {
                self.shared.recipe.start = Start::Noise;
                self.shared.errors.set(ErrorSlot::StartImage, text);
            }
            _ => {}
        }
    }
}
