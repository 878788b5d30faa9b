//! Where a walk begins, and what of it is known already.
//!
//! A run that branches has the steps of the one it leaves. If it goes on with the same sampler and
//! schedule, both are one leg: the sampler is taken through the known steps again and keeps its history.
//! With another sampler a new leg begins, from the noisy latents as they are.

use crate::diffusion::{Film, Latents, Noise, NoiseSchedule, NoiseStreams, Recorder};
use crate::recipe::{Branch, Recipe, RecipeError, Start};

/// A stretch of steps that one sampler walks.
pub(crate) struct ResumePoint {
    /// Step of the schedule that it begins with.
    pub begin: usize,
    /// From there on, down to 0.
    pub sigmas: Vec<f32>,
    /// From which step on the noise is of which seed, in the order of the steps.
    pub seeds: Vec<(usize, u64)>,
}

impl ResumePoint {
    /// The last leg of a recipe. `film` has the steps of the run that it leaves.
    pub fn of(recipe: &Recipe, film: &Film, noise: &NoiseSchedule) -> Result<Self, RecipeError> {
        let sigmas = recipe.sigmas(noise)?;
        let Some(Branch { from, step }) = &recipe.branch else {
            let begin = recipe.start_step() as usize;
            let seeds = vec![(begin, recipe.seed)];
            return Ok(Self { begin, sigmas: sigmas[begin..].to_vec(), seeds });
        };
        let step = *step as usize;
        if is_continuous(from, recipe) {
            let mut leg = Self::of(from, film, noise)?;
            if recipe.seed != from.seed {
                leg.seeds.push((step, recipe.seed));
            }
            return Ok(leg);
        }
        let sigma = film.step(step).expect("a branch leaves the film at one of its steps").sigma;
        let below = sigmas.into_iter().filter(|next| *next < sigma);
        let sigmas = std::iter::once(sigma).chain(below).collect();
        Ok(Self { begin: step, sigmas, seeds: vec![(step, recipe.seed)] })
    }
}

/// Whether the sampler of the one can go on with the history of the other.
fn is_continuous(from: &Recipe, recipe: &Recipe) -> bool {
    let way =
        |of: &Recipe| (of.sampler, of.sampler_options, of.schedule, of.schedule_options, of.steps, of.noise);
    way(from) == way(recipe)
}

/// The noise of a leg, of one seed after the other.
pub(crate) struct ResumedNoise<'a> {
    /// With the step that each begins at.
    streams: Vec<(usize, NoiseStreams)>,
    begin: usize,
    recorder: &'a Recorder,
}

impl<'a> ResumedNoise<'a> {
    /// For latents of `shape`.
    pub fn new(recipe: &Recipe, leg: &ResumePoint, shape: [usize; 4], recorder: &'a Recorder) -> Self {
        let streams = leg.seeds.iter().map(|&(step, seed)| (step, advance_noise(recipe, seed, step, shape)));
        Self { streams: streams.collect(), begin: leg.begin, recorder }
    }
}

impl Noise for ResumedNoise<'_> {
    fn draw(&mut self, shape: [usize; 4]) -> Latents {
        let step = self.begin + self.recorder.seen().saturating_sub(1);
        let at_hand = self.streams.iter_mut().rev().find(|(first, _)| *first <= step);
        at_hand.expect("the first stream begins with the leg").1.draw(shape)
    }
}

/// The noise of a seed at a step: past what the run began with, and what the steps before may have drawn,
/// so that none of it comes twice.
fn advance_noise(recipe: &Recipe, seed: u64, step: usize, shape: [usize; 4]) -> NoiseStreams {
    /// No sampler draws more often.
    const DRAWS_A_STEP: usize = 2;
    let mut streams = NoiseStreams::of(recipe.noise, seed, shape[0]);
    let start_draws = match recipe.start {
        Start::Noise => 1,
        // What the encoder is unsure of, and the noise of the start step.
        Start::Image { .. } => 2,
    };
    // With another number of steps than the run that it leaves, it would have begun elsewhere.
    let steps = step.saturating_sub(recipe.start_step() as usize);
    for _ in 0..start_draws + DRAWS_A_STEP * steps {
        streams.draw(shape);
    }
    streams
}
