//! The main flow: a recipe becomes conditioning, the conditioning guides sampling, and the latents
//! that come out are decoded.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use crate::checkpoint::{ModelSource, OpenError, OpenedModel, open};
use crate::cpu;
use crate::device::{Chosen, DeviceCard, DeviceChoice, choose};
use crate::diffusion::{
    Cfg, EpsModel, Halt, LatentRgb, Latents, NoiseSchedule, NoiseStreams, SD1_LATENT_RGB, Step, sample,
};
use crate::images::{Array, ImageError, Pixels, crop_and_resize, load, to_signed_planes};
use crate::recipe::{Recipe, RecipeError, Start};
use crate::session::{Frame, ModelCard, StopFlag};

/// A model on a device, ready to make pictures.
pub struct Pipeline {
    model: OpenedModel,
    device: Device,
    unet_dtype: FloatDType,
    noise_schedule: NoiseSchedule,
    latent_rgb: LatentRgb,
    card: ModelCard,
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

/// A finished run, whole.
pub struct Generated {
    pub pictures: Vec<Arc<Pixels>>,
    pub film: Film,
    /// What was decoded, scaled as the UNet sees it.
    pub latents: Latents,
    /// `[batch, 3, height, width]` in 0..1, before it was rounded to 8 bits.
    pub image: Array,
    /// `[1, tokens, width]`
    pub cond: Array,
    /// Absent at a guidance scale of 1.
    pub uncond: Option<Array>,
    pub timings: Timings,
}

/// Every step of a run, to be looked at again.
#[derive(Clone, Debug, Default)]
pub struct Film {
    /// The whole schedule, `steps + 1` entries.
    pub sigmas: Vec<f32>,
    pub start_step: usize,
    /// From `start_step` on.
    pub steps: Vec<RecordedStep>,
}

#[derive(Clone, Debug)]
pub struct RecordedStep {
    /// Noisy latents entering the step.
    pub x: Latents,
    /// Predicted x0.
    pub denoised: Latents,
}

/// Where the time went, seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timings {
    pub text_secs: f64,
    pub encode_secs: f64,
    pub step_secs: Vec<f64>,
    pub decode_secs: f64,
    pub first_preview_secs: f64,
    pub total_secs: f64,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    StartImage(#[from] ImageError),
    #[error("Stopped")]
    Stopped,
    #[error("{0}")]
    Device(String),
}

impl From<Halt> for GenerateError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Stopped => Self::Stopped,
            Halt::Failed(text) => Self::Device(text),
        }
    }
}

impl Pipeline {
    /// Opens a model on the device chosen. `progress` is told the fraction read, and answers whether
    /// to go on.
    pub fn open(
        source: &ModelSource,
        choice: DeviceChoice,
        progress: &mut dyn FnMut(f32) -> bool,
    ) -> Result<Self, OpenError> {
        let Chosen { device, unet_dtype, card } = choose(choice)?;
        cpu::join_workers();
        let model = open(source, &device, unet_dtype, progress)?;
        Self::new(source.name(), model, device, unet_dtype, card)
    }

    pub(crate) fn new(
        name: String,
        model: OpenedModel,
        device: Device,
        unet_dtype: FloatDType,
        device_card: DeviceCard,
    ) -> Result<Self, OpenError> {
        let noise_schedule = model.config.scheduler.noise_schedule();
        let vae_factor = model.config.vae.factor() as u32;
        let native_side = match (model.config.unet.sample_size, model.config.vae.sample_size) {
            (Some(latent_side), _) => latent_side as u32 * vae_factor,
            (None, Some(side)) => side as u32,
            (None, None) => 512,
        };
        let card = ModelCard {
            name,
            kind: "Stable Diffusion 1.x".into(),
            file_bytes: model.file_bytes,
            parameters: model.parameters,
            native_side,
            vae_factor,
            device: device_card,
            tokenizer: model.tokenizer.clone(),
            training_sigmas: Arc::new(noise_schedule.training_sigmas.clone()),
        };
        let mut pipeline =
            Self { model, device, unet_dtype, noise_schedule, latent_rgb: SD1_LATENT_RGB, card };
        if !pipeline.model.config.vae.is_sd1() {
            pipeline.latent_rgb = pipeline.fit_latent_rgb().map_err(|halt| match halt {
                Halt::Stopped => OpenError::Stopped,
                Halt::Failed(text) => OpenError::Device(crate::device::DeviceError::Failed(text)),
            })?;
        }
        Ok(pipeline)
    }

    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Makes the pictures of a recipe.
    pub fn generate(
        &self,
        recipe: &Recipe,
        stop: &StopFlag,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Generated, GenerateError> {
        recipe.check()?;
        cpu::join_workers();
        let started = Instant::now();
        let batch = recipe.batch as usize;
        let start_step = recipe.start_step() as usize;
        let sigmas = recipe.schedule.sigmas(recipe.steps as usize, &self.noise_schedule);
        observe(Progress::Started { sigmas: &sigmas, start_step });
        let mut timings = Timings::default();

        let cond = self.encode_prompt(&recipe.prompt);
        let guided = recipe.guidance.cfg_scale != 1.0;
        let uncond = guided.then(|| self.encode_prompt(&recipe.negative_prompt));
        let (cond_array, uncond_array) = (to_array(cond.clone())?, uncond.clone().map(to_array).transpose()?);
        timings.text_secs = started.elapsed().as_secs_f64();

        let mut streams = NoiseStreams::new(recipe.seed, batch);
        let x = self.start(recipe, &sigmas, &mut streams, stop)?;
        timings.encode_secs = started.elapsed().as_secs_f64() - timings.text_secs;

        let network = GuidedUnet {
            pipeline: self,
            stop,
            pair: uncond.map(|uncond| repeat_pair(uncond, cond.clone(), batch, self.unet_dtype)),
            cond: cond.repeat_dim(0, batch).cast(self.unet_dtype),
        };
        let mut denoiser = Cfg {
            model: network,
            cfg_scale: recipe.guidance.cfg_scale,
            schedule: recipe.schedule,
            noise: &self.noise_schedule,
        };
        let mut film = Film { sigmas: sigmas.clone(), start_step, steps: Vec::new() };
        let mut step_started = Instant::now();
        let latents = sample(
            recipe.sampler,
            &mut denoiser,
            x,
            &sigmas[start_step..],
            &mut streams,
            &mut |step: Step<'_>| {
                film.steps.push(RecordedStep { x: step.x.clone(), denoised: step.denoised.clone() });
                observe(Progress::Step(self.frame(&step, start_step, started.elapsed())));
                timings.step_secs.push(step_started.elapsed().as_secs_f64());
                step_started = Instant::now();
                if step.index == 0 {
                    timings.first_preview_secs = started.elapsed().as_secs_f64();
                }
                if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )?;

        let decode_started = Instant::now();
        let image = self.decode(&latents, stop)?;
        timings.decode_secs = decode_started.elapsed().as_secs_f64();
        timings.total_secs = started.elapsed().as_secs_f64();
        let pictures = to_pictures(&image);
        Ok(Generated { pictures, film, latents, image, cond: cond_array, uncond: uncond_array, timings })
    }

    /// Decodes latents in full, one picture after the other.
    ///
    /// # Shapes
    /// - output: `[batch, 3, height, width]` in 0..1
    pub fn decode(&self, latents: &Latents, stop: &StopFlag) -> Result<Array, GenerateError> {
        let [batch, channels, height, width] = latents.shape;
        let scaling = self.model.config.vae.scaling_factor;
        let mut pixels = Vec::new();
        for index in 0..batch {
            let one = Latents::new([1, channels, height, width], latents.picture(index).to_vec());
            let decoded = self.decoder(&one.scale(1.0 / scaling), stop)?;
            pixels.extend(decoded.data.into_iter().map(|value| (value / 2.0 + 0.5).clamp(0.0, 1.0)));
        }
        if pixels.iter().any(|value| !value.is_finite()) {
            return Err(GenerateError::Device(
                "The decoded picture is not a number everywhere, so it was not saved. Try precision f32"
                    .into(),
            ));
        }
        let factor = self.card.vae_factor as usize;
        Ok(Array::new([batch, 3, height * factor, width * factor], pixels))
    }

    /// The pictures of latents, decoded in full.
    pub fn pictures(&self, latents: &Latents, stop: &StopFlag) -> Result<Vec<Arc<Pixels>>, GenerateError> {
        Ok(to_pictures(&self.decode(latents, stop)?))
    }

    /// The networks alone, as a notebook would call them.
    ///
    /// # Shapes
    /// - output embeddings of a prompt: `[1, tokens, width]`
    pub fn text_embeddings(&self, prompt: &str) -> Result<Array, Halt> {
        to_array(self.encode_prompt(prompt))
    }

    /// The UNet's prediction for latents as they are, one prompt a picture.
    pub fn predict_eps(&self, x: &Latents, timestep: f32, prompts: &[&str]) -> Result<Latents, Halt> {
        let texts = prompts.iter().map(|prompt| self.encode_prompt(prompt)).collect();
        let cond = Tensor::cat(texts, 0).cast(self.unet_dtype);
        let mut unet = GuidedUnet { pipeline: self, stop: &StopFlag::default(), cond, pair: None };
        unet.eps(x, timestep)
    }

    /// The encoder's mean and log variance, `[batch, channels, height, width]`, unscaled, of pixels
    /// `[batch, 3, ..]` in -1..1.
    pub fn moments(&self, pixels: &Latents, stop: &StopFlag) -> Result<(Latents, Latents), GenerateError> {
        let x = self.upload(pixels, FloatDType::F32);
        let moments = self.model.vae.encode(x, &|| stop.is_raised())?;
        Ok((to_latents(moments.mean)?, to_latents(moments.log_variance)?))
    }

    /// The decoder's answer to unscaled latents, `[batch, 3, ..]`, about -1..1.
    pub fn decoder(&self, latents: &Latents, stop: &StopFlag) -> Result<Latents, Halt> {
        let x = self.upload(latents, FloatDType::F32);
        to_latents(self.model.vae.decode(x, &|| stop.is_raised())?)
    }

    /// Output embeddings of a prompt, `[1, tokens, width]`.
    fn encode_prompt(&self, prompt: &str) -> Tensor<3> {
        let ids = self.model.tokenizer.tokenize(prompt).ids;
        let encoder = &self.model.text_encoder;
        encoder.forward(encoder.token_embeddings(&[&ids]))
    }

    /// The latents that sampling begins with: noise, or a picture with noise of the start step.
    fn start(
        &self,
        recipe: &Recipe,
        sigmas: &[f32],
        streams: &mut NoiseStreams,
        stop: &StopFlag,
    ) -> Result<Latents, GenerateError> {
        let factor = self.card.vae_factor;
        let shape = [
            recipe.batch as usize,
            self.model.config.unet.in_channels,
            (recipe.height / factor) as usize,
            (recipe.width / factor) as usize,
        ];
        let sigma = sigmas[recipe.start_step() as usize];
        let Start::Image { path, .. } = &recipe.start else {
            return Ok(streams.draw(shape).scale(sigma));
        };
        let picture = crop_and_resize(&load(path)?.pixels, recipe.width, recipe.height);
        let (mean, log_variance) = self.encode(&picture, stop)?;
        let scaling = self.model.config.vae.scaling_factor;
        let mut x0 = streams.draw(shape);
        let of_one = mean.data.len();
        for (at, value) in x0.data.iter_mut().enumerate() {
            let (mean, log_variance) = (mean.data[at % of_one], log_variance.data[at % of_one]);
            *value = (mean + (0.5 * log_variance).exp() * *value) * scaling;
        }
        Ok(x0.add_scaled(sigma, &streams.draw(shape)))
    }

    /// Mean and log variance of a picture's latents, unscaled.
    pub fn encode(&self, picture: &Pixels, stop: &StopFlag) -> Result<(Latents, Latents), GenerateError> {
        let shape = [1, 3, picture.height as usize, picture.width as usize];
        self.moments(&Latents::new(shape, to_signed_planes(picture)), stop)
    }

    fn frame(&self, step: &Step<'_>, start_step: usize, elapsed: Duration) -> Frame {
        let previews = (0..step.x.batch()).map(|i| Arc::new(self.latent_rgb.preview(step.denoised, i)));
        Frame { step: start_step + step.index, sigma: step.sigma, predicted: previews.collect(), elapsed }
    }

    fn upload(&self, latents: &Latents, dtype: FloatDType) -> Tensor<4> {
        let data = TensorData::new(latents.data.clone(), latents.shape);
        Tensor::from_data(data, (&self.device, DType::from(dtype)))
    }

    /// The linear map from this model's latents to colours, learned from its own autoencoder on a
    /// picture of soft colours.
    fn fit_latent_rgb(&self) -> Result<LatentRgb, Halt> {
        let never = StopFlag::default();
        let as_halt = |error: GenerateError| Halt::Failed(error.to_string());
        let picture = soft_colours(16 * self.card.vae_factor);
        let (mean, _) = self.encode(&picture, &never).map_err(as_halt)?;
        let latents = mean.scale(self.model.config.vae.scaling_factor);
        let decoded = self.decode(&latents, &never).map_err(as_halt)?;
        let small = shrink(&decoded, self.card.vae_factor as usize);
        Ok(LatentRgb::fit(&latents, &small))
    }
}

/// The UNet with the text that it reads, for a batch of pictures.
struct GuidedUnet<'a> {
    pipeline: &'a Pipeline,
    stop: &'a StopFlag,
    /// `[batch, tokens, width]`
    cond: Tensor<3>,
    /// `[2 * batch, tokens, width]`: unconditional ones first.
    pair: Option<Tensor<3>>,
}

impl GuidedUnet<'_> {
    fn predict(&self, x: &Latents, timestep: f32, context: &Tensor<3>) -> Result<Latents, Halt> {
        let Pipeline { model, unet_dtype, .. } = self.pipeline;
        let x = self.pipeline.upload(x, *unet_dtype);
        to_latents(model.unet.forward(x, timestep, context, &|| self.stop.is_raised())?)
    }
}

impl EpsModel for GuidedUnet<'_> {
    fn eps(&mut self, x: &Latents, timestep: f32) -> Result<Latents, Halt> {
        self.predict(x, timestep, &self.cond)
    }

    fn eps_pair(&mut self, x: &Latents, timestep: f32) -> Result<(Latents, Latents), Halt> {
        let context = self.pair.as_ref().expect("a pair is made whenever guidance is not 1");
        if cpu::is_cpu(&self.pipeline.device) {
            // Two passes side by side wait for each other once; one pass of both, at every kernel.
            let [uncond, cond] = [0, x.batch()].map(|start| context.clone().narrow(0, start, x.batch()));
            let (uncond, cond) =
                rayon::join(|| self.predict(x, timestep, &uncond), || self.predict(x, timestep, &cond));
            return Ok((uncond?, cond?));
        }
        let [batch, channels, height, width] = x.shape;
        let twice = Latents::new([2 * batch, channels, height, width], x.data.repeat(2));
        let mut uncond = self.predict(&twice, timestep, context)?.data;
        let cond = uncond.split_off(x.data.len());
        Ok((Latents::new(x.shape, uncond), Latents::new(x.shape, cond)))
    }
}

fn repeat_pair(uncond: Tensor<3>, cond: Tensor<3>, batch: usize, dtype: FloatDType) -> Tensor<3> {
    Tensor::cat(vec![uncond.repeat_dim(0, batch), cond.repeat_dim(0, batch)], 0).cast(dtype)
}

fn to_values<const D: usize>(x: Tensor<D>) -> Result<Vec<f32>, Halt> {
    let failed =
        |error: String| Halt::Failed(format!("The device failed ({error}). Try again, or use the CPU"));
    let data = x.cast(FloatDType::F32).try_into_data().map_err(|error| failed(format!("{error:?}")))?;
    data.try_into_vec().map_err(|error| failed(format!("{error:?}")))
}

fn to_latents(x: Tensor<4>) -> Result<Latents, Halt> {
    let shape = x.dims();
    Ok(Latents::new(shape, to_values(x)?))
}

fn to_array<const D: usize>(x: Tensor<D>) -> Result<Array, Halt> {
    let shape = x.dims();
    Ok(Array::new(shape, to_values(x)?))
}

/// The pictures of `[batch, 3, height, width]` in 0..1.
fn to_pictures(image: &Array) -> Vec<Arc<Pixels>> {
    let (height, width) = (image.shape[2], image.shape[3]);
    let planes = image.data.chunks_exact(3 * height * width);
    planes.map(|planes| Arc::new(Pixels::from_unit_range(width as u32, height as u32, planes))).collect()
}

/// A square picture in which every colour occurs and none jumps.
fn soft_colours(side: u32) -> Pixels {
    let wave = |x: f32| (127.5 + 127.5 * (std::f32::consts::TAU * x).sin()) as u8;
    let at = |i: u32| i as f32 / side as f32;
    let colour = |y: u32, x: u32| {
        [wave(at(x) + 0.3 * at(y)), wave(1.7 * at(y) - 0.4 * at(x)), wave(at(x) * at(y) * 2.3 + 0.6)]
    };
    let rgb = (0..side).flat_map(|y| (0..side).flat_map(move |x| colour(y, x))).collect();
    Pixels::new(side, side, rgb)
}

/// Means over squares of `factor` pixels a side.
fn shrink(image: &Array, factor: usize) -> Vec<f32> {
    let (height, width) = (image.shape[2], image.shape[3]);
    let planes = image.data.chunks_exact(height * width);
    let mean = |plane: &[f32], y: usize, x: usize| {
        let rows = (y * factor..(y + 1) * factor).map(|row| &plane[row * width + x * factor..][..factor]);
        rows.flatten().sum::<f32>() / (factor * factor) as f32
    };
    planes
        .flat_map(|plane| {
            (0..height / factor).flat_map(move |y| (0..width / factor).map(move |x| mean(plane, y, x)))
        })
        .collect()
}
