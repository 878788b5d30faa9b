//! Downloading a model: looked up, offered, running, paused, complete.

pub(crate) mod panel;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::checkpoint::ModelSource;
use engine::pipeline::StopFlag;

use super::state::AppState;
use crate::features::effect::Effect;
use crate::features::settings::models_folder;
use crate::hub::{DownloadOffer, HubCommand, HubEvent, Location, Plan, Progress, STABLE_DIFFUSION_1_5};

/// The state of the one download.
#[derive(Clone, Debug, Default)]
pub struct DownloadState {
    /// The text of the `owner/name` field.
    pub name: String,
    pub phase: DownloadPhase,
    /// Why the last request failed.
    pub problem: Option<String>,
}

/// A request about downloading a model.
#[derive(Clone, Debug)]
pub enum DownloadCommand {
    /// The text of the field for `owner/name`.
    Name(String),
    /// Looks up the model that was typed.
    LookUp,
    /// Looks up Stable Diffusion 1.5.
    LookUpStandard,
    /// Starts or resumes the download.
    Start,
    Pause,
    /// Cancels the download and deletes its files.
    Cancel,
    DismissProblem,
}

#[derive(Clone, Debug, Default)]
pub enum DownloadPhase {
    #[default]
    Idle,
    Asking {
        name: String,
        stop: StopFlag,
    },
    /// Nothing is downloaded before licence and size are shown.
    Offered(Box<DownloadOffer>),
    Running(Box<Running>),
    Paused(Left),
    Complete {
        name: String,
        source: ModelSource,
    },
}

/// The downloaded part of a plan, and its folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Left {
    pub plan: Plan,
    pub folder: PathBuf,
    pub done: u64,
}

#[derive(Clone, Debug)]
pub struct Running {
    pub left: Left,
    pub progress: Progress,
    pub pace: Pace,
    pub stop: StopFlag,
    /// What happens once the connection has ended.
    pub ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Pause,
    Cancel,
}

/// The recent transfer rate.
#[derive(Clone, Debug, Default)]
pub struct Pace(VecDeque<(Instant, u64)>);

/// Long enough to be steady, short enough to be current.
const LATELY: Duration = Duration::from_secs(8);

impl Pace {
    pub fn note(&mut self, now: Instant, done: u64) {
        // A file that restarts is not negative progress.
        if self.0.back().is_some_and(|(_, before)| *before > done) {
            self.0.clear();
        }
        self.0.push_back((now, done));
        while self.0.len() > 2 && self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > LATELY) {
            self.0.pop_front();
        }
    }

    /// Bytes per second, once there are enough samples.
    pub fn bytes_per_sec(&self) -> Option<f64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let secs = last.0.duration_since(first.0).as_secs_f64();
        (secs >= 0.5).then(|| (last.1 - first.1) as f64 / secs)
    }
}

impl Running {
    pub(crate) fn new(left: Left) -> Self {
        let (done, total) = (left.done, left.plan.bytes());
        let progress = Progress { done, total, ..Progress::default() };
        Self { left, progress, pace: Pace::default(), stop: StopFlag::default(), ending: None }
    }

    pub fn fraction(&self) -> f32 {
        (self.progress.done as f64 / self.progress.total.max(1) as f64) as f32
    }

    /// The remaining seconds at this rate.
    pub fn secs_left(&self) -> Option<u64> {
        let pace = self.pace.bytes_per_sec().filter(|pace| *pace >= 1.0)?;
        Some(((self.progress.total - self.progress.done.min(self.progress.total)) as f64 / pace).ceil() as u64)
    }
}

impl DownloadState {
    pub(crate) fn handle(&mut self, command: DownloadCommand) -> Vec<Effect> {
        match command {
            DownloadCommand::Name(name) => self.name = name,
            DownloadCommand::LookUp => return self.look_up(&self.name.clone()),
            DownloadCommand::LookUpStandard => return self.look_up(STABLE_DIFFUSION_1_5),
            DownloadCommand::Start => return self.start(),
            DownloadCommand::Pause => self.end(Ending::Pause),
            DownloadCommand::Cancel => return self.cancel(),
            DownloadCommand::DismissProblem => self.problem = None,
        }
        Vec::new()
    }

    /// Finds unfinished downloads when the window opens.
    pub(crate) fn find_unfinished() -> Effect {
        Effect::Hub(HubCommand::FindUnfinished { models: models_folder() })
    }

    fn look_up(&mut self, name: &str) -> Vec<Effect> {
        self.problem = None;
        match name.parse::<Location>() {
            Ok(location) => {
                let stop = StopFlag::default();
                self.phase =
                    DownloadPhase::Asking { name: location.repository.to_string(), stop: stop.clone() };
                vec![Effect::Hub(HubCommand::LookUp { location, models: models_folder(), stop })]
            }
            Err(error) => {
                self.problem = Some(error.to_string());
                Vec::new()
            }
        }
    }

    fn start(&mut self) -> Vec<Effect> {
        let left = match &self.phase {
            DownloadPhase::Offered(offer) => {
                Left { plan: offer.plan.clone(), folder: offer.folder.clone(), done: offer.done }
            }
            DownloadPhase::Paused(left) => left.clone(),
            _ => return Vec::new(),
        };
        self.problem = None;
        let (plan, folder) = (left.plan.clone(), left.folder.clone());
        let running = Running::new(left);
        let stop = running.stop.clone();
        self.phase = DownloadPhase::Running(Box::new(running));
        vec![Effect::Hub(HubCommand::Fetch { plan, folder, stop })]
    }

    fn end(&mut self, ending: Ending) {
        if let DownloadPhase::Running(running) = &mut self.phase {
            running.stop.raise();
            running.ending = Some(ending);
        }
    }

    /// Cancels at any stage. Partial files are deleted; a finished model is not.
    fn cancel(&mut self) -> Vec<Effect> {
        self.problem = None;
        match &self.phase {
            DownloadPhase::Running(_) => {
                self.end(Ending::Cancel);
                return Vec::new();
            }
            DownloadPhase::Asking { stop, .. } => stop.raise(),
            DownloadPhase::Paused(left) => {
                let folder = left.folder.clone();
                self.phase = DownloadPhase::Idle;
                return vec![Effect::Hub(HubCommand::Discard { folder })];
            }
            DownloadPhase::Idle | DownloadPhase::Offered(_) | DownloadPhase::Complete { .. } => {}
        }
        self.phase = DownloadPhase::Idle;
        Vec::new()
    }
}

impl AppState {
    pub(crate) fn receive_report(&mut self, report: HubEvent) -> Vec<Effect> {
        match (report, std::mem::take(&mut self.download.phase)) {
            (HubEvent::Found(offer), DownloadPhase::Asking { .. }) => {
                self.download.phase = DownloadPhase::Offered(offer);
            }
            (HubEvent::NotFound(text), DownloadPhase::Asking { .. }) => self.download.problem = Some(text),
            (HubEvent::Progress(progress), DownloadPhase::Running(mut running)) => {
                running.pace.note(Instant::now(), progress.done);
                running.progress = progress;
                self.download.phase = DownloadPhase::Running(running);
            }
            (HubEvent::Complete(path), DownloadPhase::Running(running)) => {
                let name = running.left.plan.repository.to_string();
                self.download.phase = DownloadPhase::Complete { name, source: ModelSource::at(path) };
                // From now on the library lists downloaded models.
                return self.add_model_folder(models_folder());
            }
            (HubEvent::Paused { .. } | HubEvent::Failed { .. }, DownloadPhase::Running(running))
                if running.ending == Some(Ending::Cancel) =>
            {
                return vec![Effect::Hub(HubCommand::Discard { folder: running.left.folder })];
            }
            (HubEvent::Paused { done }, DownloadPhase::Running(running)) => {
                self.download.phase = DownloadPhase::Paused(Left { done, ..running.left });
            }
            (HubEvent::Failed { done, text }, DownloadPhase::Running(running)) => {
                self.download.problem = Some(text);
                self.download.phase = DownloadPhase::Paused(Left { done, ..running.left });
            }
            (HubEvent::Discarded(Err(text)), phase) => {
                self.download.problem = Some(text);
                self.download.phase = phase;
            }
            (HubEvent::Unfinished(found), DownloadPhase::Idle) => {
                if let Some(first) = found.into_iter().next() {
                    let left = Left { plan: first.plan, folder: first.folder, done: first.done };
                    self.download.phase = DownloadPhase::Paused(left);
                }
            }
            // From a job that was cancelled meanwhile.
            (_, phase) => self.download.phase = phase,
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    pub(crate) fn the_pace_is_that_of_the_last_seconds() {
        let started = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.bytes_per_sec(), None);
        for second in 0..20 {
            let so_far = if second < 10 { second * 1000 } else { 10_000 + (second - 10) * 50 };
            pace.note(started + Duration::from_secs(second), so_far);
        }
        assert_eq!(pace.bytes_per_sec(), Some(50.0));
        pace.note(started + Duration::from_secs(20), 5);
        assert_eq!(pace.bytes_per_sec(), None, "a file began anew");
    }
}
