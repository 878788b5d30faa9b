//! A model on a device: opened, and its networks called one by one.

use std::sync::Arc;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use crate::checkpoint::{ModelSource, OpenError, OpenedModel, open};
use crate::concepts::Concepts;
use crate::cpu;
use crate::device::{Chosen, DeviceCard, DeviceChoice, DeviceError, choose};
use crate::diffusion::{EpsModel, Halt, LatentRgb, Latents, NoiseSchedule, SD1_LATENT_RGB};
use crate::images::{Array, Pixels, to_signed_planes};
use crate::session::{ModelCard, StopFlag};
use crate::text::{Splice, Tokenized, Words};

/// A model on a device, ready to make pictures.
pub struct Pipeline {
    pub(crate) model: OpenedModel,
    device: Device,
    pub(crate) unet_dtype: FloatDType,
    pub(crate) noise_schedule: NoiseSchedule,
    pub(crate) latent_rgb: LatentRgb,
    pub(crate) card: ModelCard,
    concepts: Concepts,
    words: Words,
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
            text_width: model.config.text_encoder.hidden_size,
            training_sigmas: Arc::new(noise_schedule.training_sigmas.clone()),
        };
        let concepts = Concepts::default();
        let words = card.words(&concepts);
        let latent_rgb = SD1_LATENT_RGB;
        let mut pipeline =
            Self { model, device, unet_dtype, noise_schedule, latent_rgb, card, concepts, words };
        if !pipeline.model.config.vae.is_sd1() {
            pipeline.latent_rgb = pipeline.fit_latent_rgb().map_err(|halt| match halt {
                Halt::Stopped => OpenError::Stopped,
                Halt::Failed(text) => OpenError::Device(DeviceError::Failed(text)),
            })?;
        }
        Ok(pipeline)
    }

    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The concepts that prompts may use from now on.
    pub fn know(&mut self, concepts: &Concepts) {
        if !self.concepts.is_same(concepts) {
            self.concepts = concepts.clone();
            self.words = self.card.words(concepts);
        }
    }

    /// A prompt as it is read here.
    pub fn tokenize(&self, prompt: &str) -> Tokenized {
        self.words.tokenize(prompt)
    }

    /// What enters the text encoder, before it adds positions.
    ///
    /// # Shapes
    /// - output: `[1, tokens, width]`
    pub fn token_embeddings(&self, prompt: &str) -> Result<Array, Halt> {
        to_array(self.embed(&[self.tokenize(prompt)]))
    }

    /// The networks alone, as a notebook would call them.
    ///
    /// # Shapes
    /// - output embeddings of a prompt: `[1, tokens, width]`
    pub fn text_embeddings(&self, prompt: &str) -> Result<Array, Halt> {
        to_array(self.encode_prompts(&[prompt]))
    }

    /// The UNet's prediction for latents as they are, one prompt a picture.
    pub fn predict_eps(&self, x: &Latents, timestep: f32, prompts: &[&str]) -> Result<Latents, Halt> {
        let cond = self.encode_prompts(prompts).cast(self.unet_dtype);
        let mut unet = GuidedUnet { pipeline: self, stop: &StopFlag::default(), cond, pair: None };
        unet.eps(x, timestep)
    }

    /// The encoder's mean and log variance, `[batch, channels, height, width]`, unscaled, of pixels
    /// `[batch, 3, ..]` in -1..1.
    pub fn moments(&self, pixels: &Latents, stop: &StopFlag) -> Result<(Latents, Latents), Halt> {
        let x = self.upload(pixels, FloatDType::F32);
        let moments = self.model.vae.encode(x, &|| stop.is_raised())?;
        Ok((to_latents(moments.mean)?, to_latents(moments.log_variance)?))
    }

    /// The decoder's answer to unscaled latents, `[batch, 3, ..]`, about -1..1.
    pub fn decoder(&self, latents: &Latents, stop: &StopFlag) -> Result<Latents, Halt> {
        let x = self.upload(latents, FloatDType::F32);
        to_latents(self.model.vae.decode(x, &|| stop.is_raised())?)
    }

    /// Output embeddings of prompts, `[prompts, tokens, width]`, in one pass.
    pub(crate) fn encode_prompts(&self, prompts: &[&str]) -> Tensor<3> {
        let prompts: Vec<Tokenized> = prompts.iter().map(|prompt| self.tokenize(prompt)).collect();
        self.model.text_encoder.forward(self.embed(&prompts))
    }

    /// Token embeddings, with the vectors of concepts in their places.
    fn embed(&self, prompts: &[Tokenized]) -> Tensor<3> {
        let ids: Vec<&[u32]> = prompts.iter().map(|prompt| prompt.ids.as_slice()).collect();
        let mut x = self.model.text_encoder.token_embeddings(&ids);
        for (row, prompt) in prompts.iter().enumerate() {
            for Splice { position, concept } in &prompt.splices {
                let (count, width) = (concept.count(), concept.width);
                let vectors = TensorData::new(concept.vectors.clone(), [1, count, width]);
                let vectors = Tensor::from_data(vectors, (&self.device, x.dtype()));
                x = x.slice_assign([row..row + 1, *position..position + count, 0..width], vectors);
            }
        }
        x
    }

    /// Mean and log variance of a picture's latents, unscaled.
    pub fn encode(&self, picture: &Pixels, stop: &StopFlag) -> Result<(Latents, Latents), Halt> {
        let shape = [1, 3, picture.height as usize, picture.width as usize];
        self.moments(&Latents::new(shape, to_signed_planes(picture)), stop)
    }

    fn upload(&self, latents: &Latents, dtype: FloatDType) -> Tensor<4> {
        let data = TensorData::new(latents.data.clone(), latents.shape);
        Tensor::from_data(data, (&self.device, DType::from(dtype)))
    }

    /// The linear map from this model's latents to colours, learned from its own autoencoder on a
    /// picture of soft colours.
    fn fit_latent_rgb(&self) -> Result<LatentRgb, Halt> {
        let never = StopFlag::default();
        let picture = soft_colours(16 * self.card.vae_factor);
        let (mean, _) = self.encode(&picture, &never)?;
        let decoded = self.decoder(&mean, &never)?;
        let small = shrink(&decoded, self.card.vae_factor as usize);
        let latents = mean.scale(self.model.config.vae.scaling_factor);
        Ok(LatentRgb::fit(&latents, &small.into_iter().map(to_unit_range).collect::<Vec<_>>()))
    }
}

/// From the autoencoder's -1..1 to 0..1.
pub(crate) fn to_unit_range(value: f32) -> f32 {
    (value / 2.0 + 0.5).clamp(0.0, 1.0)
}

/// The UNet with the text that it reads, for a batch of pictures.
pub(crate) struct GuidedUnet<'a> {
    pub pipeline: &'a Pipeline,
    pub stop: &'a StopFlag,
    /// `[batch, tokens, width]`
    pub cond: Tensor<3>,
    /// `[2 * batch, tokens, width]`: unconditional ones first.
    pub pair: Option<Tensor<3>>,
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

pub(crate) fn repeat_pair(uncond: Tensor<3>, cond: Tensor<3>, batch: usize, dtype: FloatDType) -> Tensor<3> {
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

pub(crate) fn to_array<const D: usize>(x: Tensor<D>) -> Result<Array, Halt> {
    let shape = x.dims();
    Ok(Array::new(shape, to_values(x)?))
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
fn shrink(image: &Latents, factor: usize) -> Vec<f32> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Place, Precision};
    use crate::diffusion::NoiseStreams;

    /// Under autodiff every layer takes burn's own operations, as on a GPU.
    fn on_burns_own_operations() -> Pipeline {
        let device = Device::flex().autodiff();
        let model = open(&ModelSource::BuiltIn, &device, FloatDType::F32, &mut |_| true).expect("the model");
        let card =
            DeviceCard { name: String::new(), is_gpu: false, precision: Precision::F32, why: String::new() };
        Pipeline::new("Built-in".into(), model, device, FloatDType::F32, card).expect("a pipeline")
    }

    fn assert_near(what: &str, a: &[f32], b: &[f32]) {
        let largest = b.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let apart = a.iter().zip(b).fold(0.0f32, |apart, (a, b)| apart.max((a - b).abs()));
        assert!(a.len() == b.len() && apart <= 1e-5 * largest, "{what}: {apart} apart of {largest}");
    }

    #[test]
    fn our_kernels_and_burns_operations_agree() {
        let choice = DeviceChoice { place: Place::Cpu, ..DeviceChoice::default() };
        let ours = Pipeline::open(&ModelSource::BuiltIn, choice, &mut |_| true).expect("a pipeline");
        let theirs = on_burns_own_operations();
        let never = StopFlag::default();

        let text = |pipeline: &Pipeline| pipeline.text_embeddings("a large fox").expect("text").data;
        assert_near("text", &text(&ours), &text(&theirs));
        let x = NoiseStreams::new(7, 2).draw([2, 4, 12, 20]);
        let prompts = ["a large fox", "an owl"];
        let eps = |pipeline: &Pipeline| pipeline.predict_eps(&x, 500.3, &prompts).expect("eps").data;
        assert_near("eps", &eps(&ours), &eps(&theirs));
        let pixels = NoiseStreams::new(8, 1).draw([1, 3, 64, 96]);
        let mean = |pipeline: &Pipeline| pipeline.moments(&pixels, &never).expect("moments").0.data;
        assert_near("mean", &mean(&ours), &mean(&theirs));
        let latents = NoiseStreams::new(9, 1).draw([1, 4, 8, 12]);
        let decoded = |pipeline: &Pipeline| pipeline.decoder(&latents, &never).expect("pixels").data;
        assert_near("pixels", &decoded(&ours), &decoded(&theirs));
    }
}
