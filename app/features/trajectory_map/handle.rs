//! Asks the engine for the map while its tab is open.

use engine::session::{JobId, MapRequest, Request};

use super::TrajectoryMapCommand;
use crate::features::effect::Effect;
use crate::features::film::FilmCommand;
use crate::features::settings::Tab;
use crate::features::state::AppState;

impl AppState {
    pub(crate) fn handle_trajectory_map(&mut self, command: TrajectoryMapCommand) -> Vec<Effect> {
        match command {
            TrajectoryMapCommand::Change(settings) => {
                self.shared.settings.trajectory_map = settings;
                Vec::new()
            }
            TrajectoryMapCommand::Select { job, step } => {
                let mut effects = self.show_run(job);
                if self.film.pinned != Some(step) {
                    effects.extend(self.handle_film(FilmCommand::Pin(Some(step))));
                }
                effects
            }
        }
    }

    /// Tells the engine what is on the map, whenever that changes. A hidden map is not computed.
    pub(crate) fn watch_map(&mut self) -> Vec<Effect> {
        let window = &self.shared.settings.window;
        let is_open = window.tab == Tab::Map && (!window.right_folded || self.shared.drawer_open);
        let current = self.runs.current().filter(|_| is_open && self.shared.model_info().is_some());
        let wanted = current.map(|current| MapRequest {
            jobs: self.runs.iter().map(|run| run.job.id).collect(),
            current: current.job.id,
            view: self.shared.settings.trajectory_map.view,
        });
        if wanted == self.trajectory_map.watched {
            return Vec::new();
        }
        self.trajectory_map.watched.clone_from(&wanted);
        vec![Effect::Send(Request::WatchMap(wanted))]
    }

    /// The map of the runs that are wanted now; another one may be on its way.
    pub fn map_shown(&self) -> Option<&engine::inspect::trajectory_map::TrajectoryMap> {
        let map = self.trajectory_map.map.as_deref()?;
        let is_wanted = map.view == self.shared.settings.trajectory_map.view;
        let has_current = map.paths.iter().any(|path| Some(JobId(path.run)) == self.current_job());
        (is_wanted && has_current).then_some(map)
    }

    fn current_job(&self) -> Option<JobId> {
        self.runs.current().map(|run| run.job.id)
    }
}
