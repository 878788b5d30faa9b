//! Optimisers as samplers: the lesson's section 8.
//!
//! The predicted noise is the gradient of half the squared distance to the pictures that the model knows
//! (Permenter and Yuan, 2023, "Interpreting and Improving Diffusion Models from an Optimization
//! Perspective"), so that an optimiser from the shelf can follow it. There is no schedule: how much noise is
//! left is measured after every step, as the distance to the picture predicted last, and the learning rate
//! counts in that unit. The update rules are those of `torch.optim`.

use super::{Sampled, Sampler, SamplerOption, SamplerOptions, difference, predict};
use crate::diffusion::{Denoiser, Latents, Observer};

/// Follows the predicted noise of one picture from `sigmas[0]` down in at most as many steps as a schedule of
/// these sigmas has. It ends with the picture predicted last.
pub(super) fn optimise(
    sampler: Sampler,
    options: &SamplerOptions,
    model: &mut dyn Denoiser,
    mut x: Latents,
    sigmas: &[f32],
    observe: &mut Observer<'_>,
) -> Sampled {
    let [learning_rate, stop_below] =
        [SamplerOption::LearningRate, SamplerOption::StopBelow].map(|option| options.value(sampler, option));
    let mut optimiser = Optimiser::new(sampler, options, x.shape);
    let mut sigma = sigmas[0];
    let last = sigmas.len() - 1;
    for index in 0..last {
        let denoised = predict(model, &x, index, sigma, observe)?;
        let noise = difference(&x, &denoised);
        if index + 1 == last || noise.root_mean_square() as f32 <= stop_below {
            return Ok(denoised);
        }
        x = optimiser.step(x, noise.scale(1.0 / sigma), learning_rate * sigma);
        // Where the optimiser overshoots, there is not more noise than the model knows.
        sigma = sigmas[0].min(difference(&x, &denoised).root_mean_square() as f32);
    }
    Ok(x)
}

/// Stochastic gradient descent with momentum (Polyak, 1964), Adam (Kingma and Ba, 2015) or AdamW (Loshchilov
/// and Hutter, 2019).
struct Optimiser {
    rule: Rule,
    momentum: f32,
    weight_decay: f32,
    /// The mean of past gradients; of SGD their sum, with weights that fall.
    mean: Latents,
    /// The mean of their squares.
    square: Latents,
    /// How many there were.
    steps: i32,
}

#[derive(Clone, Copy, PartialEq)]
enum Rule {
    Sgd,
    Adam,
    AdamW,
}

impl Optimiser {
    /// How slowly Adam forgets the squares of gradients: `torch.optim`'s own.
    const SQUARES: f32 = 0.999;
    /// What Adam adds to the root of their mean. The 1e-8 of `torch.optim` takes the same from every number, be
    /// its noise large or small, and pictures come out blurred; as predicted noise is about 1, this one leaves
    /// the steps in proportion to it. Found by trying 0.00000001 to 10 on the built-in model.
    const EPSILON: f32 = 10.0;

    fn new(sampler: Sampler, options: &SamplerOptions, shape: [usize; 4]) -> Self {
        Self {
            rule: match sampler {
                Sampler::Adam => Rule::Adam,
                Sampler::AdamW => Rule::AdamW,
                _ => Rule::Sgd,
            },
            momentum: options.value(sampler, SamplerOption::Momentum),
            weight_decay: options.value(sampler, SamplerOption::WeightDecay),
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
        // Then noise of 1 loses the part that the learning rate says, as it does with the other rule.
        let learning_rate = learning_rate * (1.0 + Self::EPSILON);
        if self.rule == Rule::AdamW {
            x = x.scale((1.0 - learning_rate * self.weight_decay).max(0.0));
        }
        self.steps += 1;
        let [mean_kept, square_kept] = [self.momentum, Self::SQUARES];
        self.mean = self.mean.zip_with(&gradient, |mean, g| mean_kept * mean + (1.0 - mean_kept) * g);
        self.square =
            self.square.zip_with(&gradient, |square, g| square_kept * square + (1.0 - square_kept) * g * g);
        // Both began at 0, towards which they lean at first.
        let [mean_share, square_share] = [mean_kept, square_kept].map(|kept| 1.0 - kept.powi(self.steps));
        let direction = self.mean.zip_with(&self.square, |mean, square| {
            mean / mean_share / ((square / square_share).sqrt() + Self::EPSILON)
        });
        x.add_scaled(-learning_rate, &direction)
    }
}
