//! Where sampling resumes in a run that is partly recorded, and the noise it continues with.
//!
//! A branch starts with the recorded steps of its parent. If it keeps the parent's sampler and schedule, the
//! sampler is taken through the recorded steps again, so that it arrives with its history. With another
//! sampler, a new stretch starts from the noisy latents of the branch point.

use crate::diffusion::{Latents, Noise, NoiseSchedule, NoiseStreams, Recorder, Trajectory};
use crate::recipe::{Branch, Recipe, RecipeError, Start};

/// The stretch of steps that the last sampler of a recipe takes.
pub(crate) struct ResumePoint {
    /// The stretch's first step of the schedule. Some of its steps may be recorded already.
    pub step: usize,
    /// Noise levels from there on, down to 0.
    pub sigmas: Vec<f32>,
    /// The steps from which noise is drawn from another seed, in order, with the seeds.
    pub seeds: Vec<(usize, u64)>,
}

impl ResumePoint {
    /// The resume point of a recipe; `trajectory` has the steps of the run that the recipe branches from.
    pub fn find(
        recipe: &Recipe,
        trajectory: &Trajectory,
        noise: &NoiseSchedule,
    ) -> Result<Self, RecipeError> {
        let sigmas = recipe.sigmas(noise)?;
        let Some(Branch { from, step, .. }) = &recipe.branch else {
            let step = recipe.start_step() as usize;
            return Ok(Self { step, sigmas: sigmas[step..].to_vec(), seeds: vec![(step, recipe.seed)] });
        };
        let step = *step as usize;
        if is_continuous(from, recipe) {
            let mut resume = Self::find(from, trajectory, noise)?;
            if recipe.seed != from.seed {
                resume.seeds.push((step, recipe.seed));
            }
            return Ok(resume);
        }
        let sigma = trajectory.step(step).expect("a branch point is a recorded step").sigma;
        let below = sigmas.into_iter().filter(|next| *next < sigma);
        let sigmas = std::iter::once(sigma).chain(below).collect();
        Ok(Self { step, sigmas, seeds: vec![(step, recipe.seed)] })
    }

    /// The whole schedule: what is recorded before the resume point, and what is sampled from there on.
    pub fn all_sigmas(
        &self,
        recipe: &Recipe,
        trajectory: &Trajectory,
        noise: &NoiseSchedule,
    ) -> Result<Vec<f32>, RecipeError> {
        let mut sigmas = recipe.sigmas(noise)?;
        sigmas.truncate(trajectory.start_step);
        let recorded = trajectory.steps.iter().take(self.step - trajectory.start_step);
        sigmas.extend(recorded.map(|step| step.sigma));
        sigmas.extend(recipe.sampler.visited_sigmas(&self.sigmas));
        Ok(sigmas)
    }
}

/// Whether a sampler can continue with the history of the parent run.
fn is_continuous(from: &Recipe, recipe: &Recipe) -> bool {
    let sampling = |recipe: &Recipe| {
        let Recipe { sampler, sampler_options, schedule, schedule_options, steps, noise, .. } = *recipe;
        (sampler, sampler_options, schedule, schedule_options, steps, noise)
    };
    sampling(from) == sampling(recipe)
}

/// The noise of a resumed run: one seed after the other.
pub(crate) struct ResumedNoise<'a> {
    /// Each stream with its first step.
    streams: Vec<(usize, NoiseStreams)>,
    first_step: usize,
    recorder: &'a Recorder,
}

impl<'a> ResumedNoise<'a> {
    /// For latents of `shape`.
    pub fn new(recipe: &Recipe, resume: &ResumePoint, shape: [usize; 4], recorder: &'a Recorder) -> Self {
        let streams =
            resume.seeds.iter().map(|&(step, seed)| (step, advance_noise(recipe, seed, step, shape)));
        Self { streams: streams.collect(), first_step: resume.step, recorder }
    }
}

impl Noise for ResumedNoise<'_> {
    fn draw(&mut self, shape: [usize; 4]) -> Latents {
        let step = self.first_step + self.recorder.step_count().saturating_sub(1);
        let current = self.streams.iter_mut().rev().find(|(first, _)| *first <= step);
        current.expect("the first stream begins with the stretch").1.draw(shape)
    }
}

/// The noise of a seed at a step, advanced past the initial noise and all noise that earlier steps may have drawn,
/// so that no noise is used twice.
fn advance_noise(recipe: &Recipe, seed: u64, step: usize, shape: [usize; 4]) -> NoiseStreams {
    /// The most that any sampler draws per step.
    const MAX_DRAWS_PER_STEP: usize = 2;
    let mut streams = NoiseStreams::of(recipe.noise, seed, shape[0]);
    let start_draws = match recipe.start {
        Start::Noise => 1,
        // The sample from the encoder's distribution, and the noise of the start step.
        Start::Image { .. } => 2,
    };
    // A branch with another number of steps than its parent may have a start step after `step`.
    let steps = step.saturating_sub(recipe.start_step() as usize);
    for _ in 0..start_draws + MAX_DRAWS_PER_STEP * steps {
        streams.draw(shape);
    }
    streams
}
