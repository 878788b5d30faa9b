//! Where the words of a run look, and the light that shows it on the picture.

pub(crate) mod handle;
pub(crate) mod panel;

use std::sync::Arc;

use engine::images::Pixels;
use engine::inspect::attention_maps::AttentionMaps;
use engine::pipeline::StopFlag;
use engine::prompt::TokenSelector;
use engine::session::JobId;

/// What is known of it, and what was asked for.
#[derive(Clone, Debug, Default)]
pub struct AttentionState {
    pub maps: Option<CachedMaps>,
    pub asked: Option<AttentionRequest>,
    /// A light lies on the picture.
    pub is_highlighted: bool,
    pub(crate) update_overlay: Option<AttentionOverlay>,
}

/// One picture of a run, and which of the prompts that AND composes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionCache {
    pub job: JobId,
    pub picture: usize,
    pub part: usize,
}

/// Maps that have come.
#[derive(Clone, Debug)]
pub struct CachedMaps {
    pub of: AttentionCache,
    pub maps: Arc<AttentionMaps>,
}

/// Maps that are being made.
#[derive(Clone, Debug)]
pub struct AttentionRequest {
    pub of: AttentionCache,
    /// 0 to 1
    pub fraction: f32,
    pub stop: StopFlag,
}

/// The picture with a light on it for one word.
#[derive(Clone, Debug)]
pub(crate) struct AttentionOverlay {
    pub of: AttentionCache,
    pub word: TokenSelector,
    pub picture: Arc<Pixels>,
}

impl AttentionState {
    /// The picture that the canvas shows in the place of the run's, if it does.
    pub fn on_canvas(&self) -> Option<&Arc<Pixels>> {
        self.update_overlay.as_ref().filter(|_| self.is_highlighted).map(|light| &light.picture)
    }
}

/// A wish about where the words of the run at hand look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionCommand {
    Ask,
    Stop,
    /// A light on the picture, or none.
    Overlay(bool),
}
