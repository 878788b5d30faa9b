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
pub struct AttentionDesk {
    pub maps: Option<Known>,
    pub asked: Option<Asked>,
    /// A light lies on the picture.
    pub is_lit: bool,
    pub(crate) light: Option<Light>,
}

/// One picture of a run, and which of the prompts that AND composes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    pub job: JobId,
    pub picture: usize,
    pub part: usize,
}

/// Maps that have come.
#[derive(Clone, Debug)]
pub struct Known {
    pub of: Reader,
    pub maps: Arc<AttentionMaps>,
}

/// Maps that are being made.
#[derive(Clone, Debug)]
pub struct Asked {
    pub of: Reader,
    /// 0 to 1
    pub fraction: f32,
    pub stop: StopFlag,
}

/// The picture with a light on it for one word.
#[derive(Clone, Debug)]
pub(crate) struct Light {
    pub of: Reader,
    pub word: TokenSelector,
    pub picture: Arc<Pixels>,
}

impl AttentionDesk {
    /// The picture that the canvas shows in the place of the run's, if it does.
    pub fn on_canvas(&self) -> Option<&Arc<Pixels>> {
        self.light.as_ref().filter(|_| self.is_lit).map(|light| &light.picture)
    }
}
