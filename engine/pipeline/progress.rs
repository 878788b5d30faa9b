//! What a run reports while it goes on.

use std::sync::Arc;
use std::time::Duration;

use crate::diffusion::StepView;
use crate::images::Pixels;

/// One step, as it can be watched. The previews are at latent size, one a picture of the batch.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Index into the whole schedule, `start_step` for the first one of image to image.
    pub step: usize,
    /// Noise level at which this step's prediction was made.
    pub sigma: f32,
    pub predicted: Vec<Arc<Pixels>>,
    pub noisy: Vec<Arc<Pixels>>,
    pub noise: Vec<Arc<Pixels>>,
    /// Empty at a guidance scale of 1.
    pub guidance: Vec<Arc<Pixels>>,
    /// Since the job started.
    pub elapsed: Duration,
}

impl Frame {
    pub fn preview(&self, view: StepView) -> &[Arc<Pixels>] {
        match view {
            StepView::Predicted => &self.predicted,
            StepView::Noisy => &self.noisy,
            StepView::Noise => &self.noise,
            StepView::Guidance => &self.guidance,
        }
    }
}

/// What a run tells while it goes on.
pub enum Progress<'a> {
    /// `sigmas` has `steps + 1` entries, of which those from `start_step` on are run.
    Started {
        sigmas: &'a [f32],
        start_step: usize,
    },
    Step(Frame),
}
