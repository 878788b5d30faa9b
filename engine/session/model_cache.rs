//! The model at hand, and the one before it, kept as long as there is room so that going back is
//! instant.

use std::path::{Path, PathBuf};

use crate::checkpoint::{FileFingerprint, ModelSource};
use crate::device::DeviceChoice;
use crate::memory::estimate;
use crate::pipeline::Pipeline;

/// Bytes of main memory that stay free for pictures, beside a model that is only kept.
const ROOM_FOR_PICTURES: u64 = 2 << 30;

#[derive(Default)]
pub struct ModelCache {
    current: Option<Opened>,
    previous: Option<Opened>,
}

struct Opened {
    source: ModelSource,
    /// Taken over its own.
    vae: Option<PathBuf>,
    device: DeviceChoice,
    pipeline: Pipeline,
}

impl Opened {
    /// True if opening it again would give the same.
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

    /// Takes up a model that is still in memory and unchanged in its files.
    pub fn reuse(
        &mut self,
        source: &ModelSource,
        vae: Option<&Path>,
        device: DeviceChoice,
    ) -> Option<&Pipeline> {
        let is_it = |opened: &Option<Opened>| opened.as_ref().is_some_and(|it| it.is(source, vae, device));
        if !is_it(&self.current) {
            if !is_it(&self.previous) {
                return None;
            }
            std::mem::swap(&mut self.current, &mut self.previous);
        }
        self.current()
    }

    /// Leaves no model at hand, but keeps the one that was.
    pub fn stash(&mut self) {
        // What a GPU has free is not told, so nothing is kept there.
        let current = self.current.take().filter(|opened| !opened.pipeline.info().device.is_gpu);
        if current.is_some() {
            self.previous = current;
        }
    }

    /// Lets the model before go if it would not fit beside one whose weights take so many bytes.
    pub fn evict_for(&mut self, bytes: u64) {
        // An opening takes a little more than the weights.
        self.evict_unless_free(bytes + bytes / 8);
    }

    /// Lets the model before go unless so many bytes are free, and some for pictures.
    pub fn evict_unless_free(&mut self, bytes: u64) {
        if self.previous.is_some()
            && estimate::free_bytes().is_none_or(|free| free < bytes + ROOM_FOR_PICTURES)
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
