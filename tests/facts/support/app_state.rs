//! The state of the window without a window, and an engine that answers what the fact says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use app::features::command::Command;
use app::features::effect::Effect;
use app::features::settings::Settings;
use app::features::state::AppState;
use engine::images::Pixels;
use engine::pipeline::{Frame, StopFlag};
use engine::recipe::Recipe;
use engine::session::{Event, JobEvent, JobId, ModelEvent, Request};

use super::models::model_info;

pub fn opened() -> AppState {
    let settings = Settings { output_folder: Some(PathBuf::from("/out")), ..Settings::default() };
    let mut state = AppState::new(settings);
    state.begin();
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    state
}

pub fn grey(side: u32) -> Arc<Pixels> {
    Arc::new(Pixels::new(side, side, vec![128; (side * side * 3) as usize]))
}

pub fn sent(effects: &[Effect]) -> Option<(JobId, StopFlag, Recipe)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(Request::Generate { job, recipe, .. }) => {
            Some((job.id, job.stop.clone(), Recipe::clone(recipe)))
        }
        _ => None,
    })
}

pub fn generate(state: &mut AppState) -> (JobId, StopFlag, Recipe) {
    let effects = state.handle(Command::Generate);
    sent(&effects).expect("a request")
}

pub fn receive(state: &mut AppState, id: JobId, event: JobEvent) -> Vec<Effect> {
    state.receive(Event::Job { id, event })
}

pub fn started(state: &mut AppState, id: JobId) {
    let sigmas = (0..=20).rev().map(|step| step as f32).collect();
    receive(state, id, JobEvent::Started { sigmas, start_step: 0 });
}

pub fn step(state: &mut AppState, id: JobId, step: usize) -> Vec<Effect> {
    let frame = Frame {
        step,
        sigma: (20 - step) as f32,
        predicted: vec![grey(16)],
        noisy: vec![grey(16)],
        noise: vec![grey(16)],
        guidance: vec![grey(16)],
        losses: None,
        elapsed: Duration::from_millis(50 * (step as u64 + 1)),
    };
    receive(state, id, JobEvent::Step(frame))
}

pub fn finished(state: &mut AppState, id: JobId) -> Vec<Effect> {
    let elapsed = Duration::from_secs(1);
    receive(state, id, JobEvent::Finished { pictures: vec![grey(128)], concepts: Vec::new(), elapsed })
}
