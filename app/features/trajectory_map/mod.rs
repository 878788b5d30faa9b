//! The runs of this session as paths on a plane: what the Map tab shows, and how the engine is asked for it.

mod draw;
mod handle;
pub(crate) mod panel;

use std::sync::Arc;

use engine::inspect::trajectory_map::{MapView, TrajectoryMap};
use engine::session::{JobId, MapRequest};
use serde::{Deserialize, Serialize};

/// The map, as the engine last sent it.
#[derive(Clone, Debug, Default)]
pub struct TrajectoryMapState {
    pub map: Option<Arc<TrajectoryMap>>,
    /// What the engine keeps up to date; `None` while the map is hidden.
    pub watched: Option<MapRequest>,
}

/// What the map shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MapSettings {
    pub view: MapView,
    pub with_pictures: bool,
    pub with_arrows: bool,
}

impl Default for MapSettings {
    fn default() -> Self {
        Self { view: MapView::default(), with_pictures: true, with_arrows: true }
    }
}

/// A request of the Map tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrajectoryMapCommand {
    Change(MapSettings),
    /// Shows a run, with one of its steps selected.
    Select {
        job: JobId,
        step: usize,
    },
}
