//! Optimisers as samplers: the lesson's section 8.
//!
//! The predicted noise is the gradient of half the squared distance to the pictures that the model knows
//! (Permenter and Yuan, 2023, "Interpreting and Improving Diffusion Models from an Optimization
//! Perspective"), so an ordinary optimiser can follow it. It needs no schedule: the remaining noise is measured
//! after each step as the distance to the last predicted picture, and the learning rate is in that unit. The
//! update rules are those of `torch.optim`.

use super::{SampleArgs, Sampled, Sampler, SamplerOption, difference};
use crate::diffusion::Latents;

/// Follows the predicted noise of one picture from `sigmas[0]` down, in at most as many steps as the schedule
/// has, and returns the last predicted picture.
pub(super) fn optimise(mut args: SampleArgs<'_>, mut x: Latents) -> Sampled {
    let [learning_rate, stop_below] =
        [SamplerOption::LearningRate, SamplerOption::StopBelow].map(|option| args.option(option));
    let mut optimiser = Optimiser::new(&args, x.shape);
    let sigma_max = args.sigmas[0];
    let mut sigma = sigma_max;
    let last = args.sigmas.len() - 1;
    for index in 0..last {
        let denoised = args.predict(&mut x, index, sigma)?;
        let noise = difference(&x, &denoised);
        if index + 1 == last || noise.root_mean_square() as f32 <= stop_below {
            return Ok(denoised);
        }
        x = optimiser.step(x, noise.scale(1.0 / sigma), learning_rate * sigma);
        // Where the optimiser overshoots, the noise stays within the range that the model was trained on.
        sigma = sigma_max.min(difference(&x, &denoised).root_mean_square() as f32);
    }
    Ok(x)
}

/// Stochastic gradient descent with momentum (Polyak, 1964), Adam (Kingma and Ba, 2015) or AdamW (Loshchilov
/// and Hutter, 2019).
struct Optimiser {
    rule: Rule,
    momentum: f32,
    weight_decay: f32,
    /// The moving average of the gradients; for SGD their sum with falling weights.
    mean: Latents,
    /// The moving average of their squares.
    square: Latents,
    /// Steps taken.
    steps: i32,
}

#[derive(Clone, Copy, PartialEq)]
enum Rule {
    Sgd,
    Adam,
    AdamW,
}

impl Optimiser {
    /// Adam's beta 2: `torch.optim`'s default.
    const BETA_2: f32 = 0.999;
    /// Adam's epsilon. With the 1e-8 of `torch.optim` every number moves equally far, however much noise it has,
    /// and pictures come out blurred. Predicted noise is about 1, so this value makes steps proportional to
    /// it. Chosen among 1e-8 to 10 on the built-in model.
    const EPSILON: f32 = 10.0;

    fn new(args: &SampleArgs<'_>, shape: [usize; 4]) -> Self {
        Self {
            rule: match args.sampler {
                Sampler::Adam => Rule::Adam,
                Sampler::AdamW => Rule::AdamW,
                _ => Rule::Sgd,
            },
            momentum: args.option(SamplerOption::Momentum),
            weight_decay: args.option(SamplerOption::WeightDecay),
            mean: Latents::zeros(shape),
            square: Latents::zeros(shape),
            steps: 0,
        }
    }

    fn step(&mut self, mut x: Latents, mut gradient: Latents, learning_rate: f32) -> Latents {
        if self.rule != Rule::AdamW {
            gradient = gradient.add_scaled(self.weight_decay, &x);
        }
        if self.rule == Rule::Sgd {
            self.mean = gradient.add_scaled(self.momentum, &self.mean);
            return x.add_scaled(-learning_rate, &self.mean);
        }
        // With this factor, noise of 1 shrinks by the learning rate, as with SGD.
        let learning_rate = learning_rate * (1.0 + Self::EPSILON);
        if self.rule == Rule::AdamW {
            x = x.scale((1.0 - learning_rate * self.weight_decay).max(0.0));
        }
        self.steps += 1;
        let [mean_kept, square_kept] = [self.momentum, Self::BETA_2];
        self.mean = self.mean.zip_with(&gradient, |mean, g| mean_kept * mean + (1.0 - mean_kept) * g);
        self.square =
            self.square.zip_with(&gradient, |square, g| square_kept * square + (1.0 - square_kept) * g * g);
        // Both averages start at 0; this corrects their bias.
        let [mean_share, square_share] = [mean_kept, square_kept].map(|kept| 1.0 - kept.powi(self.steps));
        let direction = self.mean.zip_with(&self.square, |mean, square| {
            mean / mean_share / ((square / square_share).sqrt() + Self::EPSILON)
        });
        x.add_scaled(-learning_rate, &direction)
    }
}
