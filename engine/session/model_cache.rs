//! The current model, and the previous one as long as both fit into memory, so that switching back is instant.

use std::path::{Path, PathBuf};

use crate::checkpoint::{FileFingerprint, ModelSource};
use crate::device::DeviceChoice;
use crate::memory::estimate;
use crate::pipeline::Pipeline;

/// Bytes of main memory that stay free for pictures while the previous model is kept.
const FREE_FOR_PICTURES: u64 = 2 << 30;

#[derive(Default)]
pub struct ModelCache {
    current: Option<Opened>,
    previous: Option<Opened>,
}

struct Opened {
    source: ModelSource,
    /// A VAE that replaces the model's own.
    vae: Option<PathBuf>,
    device: DeviceChoice,
    pipeline: Pipeline,
}

impl Opened {
    /// Whether opening these again would give the same model.
    fn is(&self, source: &ModelSource, vae: Option<&Path>, device: DeviceChoice) -> bool {
        let is_unchanged = || self.pipeline.fingerprints().iter().all(FileFingerprint::still_matches);
        self.source == *source && self.vae.as_deref() == vae && self.device == device && is_unchanged()
    }
}

impl ModelCache {
    pub fn current(&self) -> Option<&Pipeline> {
        self.current.as_ref().map(|opened| &opened.pipeline)
    }

    pub fn current_mut(&mut self) -> Option<&mut Pipeline> {
        self.current.as_mut().map(|opened| &mut opened.pipeline)
    }

    /// Makes a model current that is still in memory, if its files are unchanged.
    pub fn reuse(
        &mut self,
        source: &ModelSource,
        vae: Option<&Path>,
        device: DeviceChoice,
    ) -> Option<&Pipeline> {
        let is_wanted =
            |opened: &Option<Opened>| opened.as_ref().is_some_and(|opened| opened.is(source, vae, device));
        if !is_wanted(&self.current) {
            if !is_wanted(&self.previous) {
                return None;
            }
            std::mem::swap(&mut self.current, &mut self.previous);
        }
        self.current()
    }

    /// Makes the current model the previous one.
    pub fn stash(&mut self) {
        // A GPU does not report its free memory, so nothing is kept there.
        let current = self.current.take().filter(|opened| !opened.pipeline.info().device.is_gpu);
        if current.is_some() {
            self.previous = current;
        }
    }

    /// Drops the previous model if it does not fit beside one whose weights take so many bytes.
    pub fn evict_for(&mut self, bytes: u64) {
        // Opening takes a little more than the weights.
        self.evict_unless_free(bytes + bytes / 8);
    }

    /// Drops the previous model unless so many bytes are free, and some for pictures.
    pub fn evict_unless_free(&mut self, bytes: u64) {
        if self.previous.is_some()
            && estimate::free_bytes().is_none_or(|free| free < bytes + FREE_FOR_PICTURES)
        {
            self.previous = None;
        }
    }

    pub fn put(
        &mut self,
        source: ModelSource,
        vae: Option<PathBuf>,
        device: DeviceChoice,
        pipeline: Pipeline,
    ) {
        self.current = Some(Opened { source, vae, device, pipeline });
    }
}
