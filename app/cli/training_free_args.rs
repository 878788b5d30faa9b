//! Training-free guidance on the command line: how the gradient of `--guide` is used.

use clap::Args;
use engine::recipe::Recipe;

#[derive(Debug, Args)]
pub struct TrainingFreeArgs {
    /// How often each guided step is taken, with its noise added anew before each repetition, 1 to 16 [default: 1]
    #[arg(long, value_name = "N")]
    pub guidance_recurrence: Option<u32>,
    /// How often the predicted picture is moved within a guided step, 1 to 16 [default: 1]
    #[arg(long, value_name = "N")]
    pub guidance_iterations: Option<u32>,
    /// Average the losses over predictions with this much noise, 0 (off) to 1 [default: 0]
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub guidance_smoothing: Option<f32>,
    /// The number of noisy predictions to average over, 1 to 16 [default: 4]
    #[arg(long, value_name = "N")]
    pub guidance_samples: Option<u32>,
    /// Let a gradient move the latents at most this many times their noise, 0.001 to 100 [default: any distance]
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    pub guidance_clip: Option<f32>,
}

impl TrainingFreeArgs {
    /// Sets the given options; the rest of the recipe is unchanged.
    pub fn write_into(&self, recipe: &mut Recipe) {
        let options = &mut recipe.training_free;
        options.recurrence = self.guidance_recurrence.unwrap_or(options.recurrence);
        options.iterations = self.guidance_iterations.unwrap_or(options.iterations);
        options.smoothing = self.guidance_smoothing.unwrap_or(options.smoothing);
        options.samples = self.guidance_samples.unwrap_or(options.samples);
        options.clip = self.guidance_clip.or(options.clip);
    }
}
