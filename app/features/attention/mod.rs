//! Attention maps of a run, and the overlay that shows them on the picture.

mod handle;
pub(crate) mod panel;

use std::sync::Arc;

use engine::images::Pixels;
use engine::inspect::attention_maps::AttentionMaps;
use engine::pipeline::StopFlag;
use engine::prompt::TokenSelector;
use engine::session::JobId;

/// The cached maps, and the request that is under way.
#[derive(Clone, Debug, Default)]
pub struct AttentionState {
    pub maps: Option<CachedMaps>,
    pub asked: Option<AttentionRequest>,
    /// The overlay is on.
    pub is_highlighted: bool,
    pub(crate) update_overlay: Option<AttentionOverlay>,
}

/// One picture of a run, and the part of its prompt (parts are composed by AND).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionCache {
    pub job: JobId,
    pub picture: usize,
    pub part: usize,
}

/// Maps that are complete.
#[derive(Clone, Debug)]
pub struct CachedMaps {
    pub of: AttentionCache,
    pub maps: Arc<AttentionMaps>,
}

/// Maps that are being computed.
#[derive(Clone, Debug)]
pub struct AttentionRequest {
    pub of: AttentionCache,
    /// 0 to 1
    pub fraction: f32,
    pub stop: StopFlag,
}

/// The picture with the overlay of one word.
#[derive(Clone, Debug)]
pub(crate) struct AttentionOverlay {
    pub of: AttentionCache,
    pub word: TokenSelector,
    pub picture: Arc<Pixels>,
}

impl AttentionState {
    /// The picture that the canvas shows in place of the run's, if any.
    pub fn on_canvas(&self) -> Option<&Arc<Pixels>> {
        self.update_overlay.as_ref().filter(|_| self.is_highlighted).map(|light| &light.picture)
    }
}

/// A request about the attention maps of the current run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionCommand {
    Ask,
    Stop,
    /// Shows or hides the overlay on the picture.
    Overlay(bool),
}
