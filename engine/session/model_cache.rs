//! The model at hand, and the one before it, kept as long as there is room so that going back is
//! instant.

use std::path::{Path, PathBuf};

use crate::checkpoint::{ModelSource, Stamp};
use crate::device::DeviceChoice;
use crate::memory::estimate;
use crate::pipeline::Pipeline;

/// Bytes of main memory that stay free for pictures, beside a model that is only kept.
const ROOM_FOR_PICTURES: u64 = 2 << 30;

#[derive(Default)]
pub struct Models {
    at_hand: Option<Opened>,
    before: Option<Opened>,
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
        let is_unchanged = || self.pipeline.stamps().iter().all(Stamp::holds);
        self.source == *source && self.vae.as_deref() == vae && self.device == device && is_unchanged()
    }
}

impl Models {
    pub fn at_hand(&self) -> Option<&Pipeline> {
        self.at_hand.as_ref().map(|opened| &opened.pipeline)
    }

    pub fn at_hand_mut(&mut self) -> Option<&mut Pipeline> {
        self.at_hand.as_mut().map(|opened| &mut opened.pipeline)
    }

    /// Takes up a model that is still in memory and unchanged in its files.
    pub fn recall(
        &mut self,
        source: &ModelSource,
        vae: Option<&Path>,
        device: DeviceChoice,
    ) -> Option<&Pipeline> {
        let is_it = |opened: &Option<Opened>| opened.as_ref().is_some_and(|it| it.is(source, vae, device));
        if !is_it(&self.at_hand) {
            if !is_it(&self.before) {
                return None;
            }
            std::mem::swap(&mut self.at_hand, &mut self.before);
        }
        self.at_hand()
    }

    /// Leaves no model at hand, but keeps the one that was.
    pub fn put_aside(&mut self) {
        // What a GPU has free is not told, so nothing is kept there.
        let at_hand = self.at_hand.take().filter(|opened| !opened.pipeline.card().device.is_gpu);
        if at_hand.is_some() {
            self.before = at_hand;
        }
    }

    /// Lets the model before go if it would not fit beside one whose weights take so many bytes.
    pub fn make_room(&mut self, bytes: u64) {
        // An opening takes a little more than the weights.
        self.keep_free(bytes + bytes / 8);
    }

    /// Lets the model before go unless so many bytes are free, and some for pictures.
    pub fn keep_free(&mut self, bytes: u64) {
        if self.before.is_some() && estimate::free_bytes().is_none_or(|free| free < bytes + ROOM_FOR_PICTURES)
        {
            self.before = None;
        }
    }

    pub fn put(
        &mut self,
        source: ModelSource,
        vae: Option<PathBuf>,
        device: DeviceChoice,
        pipeline: Pipeline,
    ) {
        self.at_hand = Some(Opened { source, vae, device, pipeline });
    }
}
