//! The map of trajectories that the window shows, kept up to date while a job runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::MapRequest;
use crate::inspect::trajectory_map::{MappedRun, TrajectoryMap, TrajectoryMapper};

/// What is to be mapped. A busy engine does not read requests, but reads this between steps.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedMap(Arc<Mutex<Option<MapRequest>>>);

impl WatchedMap {
    pub fn set(&self, request: Option<MapRequest>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = request;
    }

    pub fn get(&self) -> Option<MapRequest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes maps, and sees to it that they do not slow a run down.
#[derive(Default)]
pub(super) struct MapMaker {
    mapper: TrajectoryMapper,
    /// When the last map was ready, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl MapMaker {
    /// While a job runs, maps take at most a fifth of its time.
    pub fn is_due(&self) -> bool {
        self.last.is_none_or(|(ready, took)| ready.elapsed() >= 4 * took)
    }

    /// Maps the runs that are asked for.
    pub fn map(&mut self, request: &MapRequest, runs: &[MappedRun<'_>]) -> Option<Arc<TrajectoryMap>> {
        let started = Instant::now();
        let is_asked = |run: &&MappedRun<'_>| request.jobs.iter().any(|job| job.0 == run.run);
        let runs: Vec<MappedRun<'_>> = runs.iter().filter(is_asked).copied().collect();
        let map = self.mapper.map(request.view, &runs, request.current.0);
        self.last = Some((Instant::now(), started.elapsed()));
        map.map(Arc::new)
    }

    /// Frees what is kept for the next map.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
