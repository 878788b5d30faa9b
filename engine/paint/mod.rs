//! What is painted onto a step by hand, before a branch continues from it: see `pipeline/paint.rs`.

mod layer;

use serde::{Deserialize, Serialize};

use crate::losses::Mask;
pub use layer::Layer;

/// What is painted onto the step that a branch starts from, on every picture of the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Paint {
    /// Lies over the predicted picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// The part of the steps that remain, 0 to 1, in which the model cannot paint over the layer. At 0 it is free to from
    /// the first one on.
    pub hold: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<FreshNoise>,
}

/// A region whose noise is drawn anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FreshNoise {
    pub mask: Mask,
    /// Picture `i` of a batch has the seed `seed + i`.
    pub seed: u64,
}

impl Default for Paint {
    fn default() -> Self {
        Self { layer: None, hold: Self::HOLD, noise: None }
    }
}

impl Paint {
    /// To the end: under strong guidance, a few steps are enough to paint over anything that the prompt does not name.
    pub const HOLD: f32 = 1.0;
    /// The most bytes that the paint of a recipe may have, with that of the runs it branches from: a picture holds them
    /// in its metadata, as base64.
    pub const MAX_BYTES: usize = 2 << 20;

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.layer.as_ref().is_none_or(Layer::is_transparent)
            && self.noise.as_ref().is_none_or(|noise| noise.mask.is_black())
    }

    /// Bytes of its PNGs.
    pub fn bytes(&self) -> usize {
        let mask = self.noise.as_ref().map_or(0, |noise| noise.mask.to_png().len());
        mask + self.layer.as_ref().map_or(0, |layer| layer.png().len())
    }

    /// The paint of one picture of the batch, made alone.
    pub(crate) fn of_picture(&self, index: u32) -> Self {
        let mut paint = self.clone();
        if let Some(noise) = &mut paint.noise {
            noise.seed = noise.seed.wrapping_add(u64::from(index));
        }
        paint
    }
}
