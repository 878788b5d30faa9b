//! Cross-attention maps: how much each token contributed to each place of a picture.
//!
//! Tang et al. (2022), "What the DAAM: Interpreting Stable Diffusion Using Cross Attention": the weights of the
//! UNet's cross-attention, resized to the latents and averaged over heads, layers and steps. A run does not keep
//! them; they are computed from its trajectory on demand, with one more pass of the UNet per step.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use burn::tensor::{FloatDType, Tensor};

use crate::diffusion::Latents;
use crate::error::EngineError;
use crate::images::Pixels;
use crate::models::{AttentionObserver, Context, values};
use crate::pipeline::{GenerateError, ModelInfo, Pipeline, StopFlag};
use crate::prompt::{PromptTokenizer, TextOptions, Tokenized};
use crate::recipe::{Recipe, RecordedRun};

/// The attention maps of one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMaps {
    /// The width of the latents.
    pub width: usize,
    pub height: usize,
    /// `[tokens, height, width]`, where tokens are begin, prompt, end and padding of each chunk. At each place they
    /// sum to 1, unless the prompt changes over the run.
    pub weights: Vec<f32>,
}

impl AttentionMaps {
    /// The mean map of some tokens, `[height, width]`.
    pub fn of(&self, tokens: Range<usize>) -> Vec<f32> {
        let places = self.width * self.height;
        let count = tokens.len().max(1) as f32;
        let mut mean = vec![0.0; places];
        for token in tokens {
            let Some(map) = self.weights.get(token * places..(token + 1) * places) else { continue };
            mean.iter_mut().zip(map).for_each(|(mean, weight)| *mean += weight / count);
        }
        mean
    }

    fn is_finite(&self) -> bool {
        self.weights.iter().all(|weight| weight.is_finite())
    }

    /// Reorders the maps of a text's tokens to those of another text. Tokens that the first does not have get
    /// empty maps.
    fn reordered(self, text: &Tokenized, wanted: &Tokenized) -> Self {
        if text == wanted {
            return self;
        }
        let places = self.width * self.height;
        let found: HashMap<TokenKey, usize> = keys(text).into_iter().zip(0..).collect();
        let map = |key: &TokenKey| match found.get(key) {
            Some(at) => self.weights[at * places..][..places].to_vec(),
            None => vec![0.0; places],
        };
        Self { weights: keys(wanted).iter().flat_map(map).collect(), ..self }
    }
}

/// Identifies a token in different texts of a prompt: by its bytes in the prompt and its index among the tokens of
/// these bytes, or for begin, end and padding by its position.
#[derive(PartialEq, Eq, Hash)]
enum TokenKey {
    Bytes(Range<usize>, usize),
    Position(usize),
}

/// The keys of all tokens, including begin, end and padding.
fn keys(text: &Tokenized) -> Vec<TokenKey> {
    let of_chunk = text.chunks[0].ids.len();
    let mut keys: Vec<TokenKey> = (0..text.chunks.len() * of_chunk).map(TokenKey::Position).collect();
    let mut seen: HashMap<Range<usize>, usize> = HashMap::new();
    for (place, token) in text.tokens() {
        let nth = seen.entry(token.range.clone()).or_default();
        keys[place.chunk * of_chunk + place.position] = TokenKey::Bytes(token.range.clone(), *nth);
        *nth += 1;
    }
    keys
}

/// A picture masked by a map: dim grey where the map is lowest, unchanged where it is highest.
///
/// # Panics
/// If the map does not have the given height and width.
pub fn mask_by_map(picture: &Pixels, map: &[f32], [height, width]: [usize; 2]) -> Pixels {
    const DIM: f32 = 0.3;
    assert_eq!(map.len(), height * width, "a map of {width} x {height}");
    let to = [picture.height as usize, picture.width as usize];
    let map = resize_planes(map, [height, width], to);
    let (min, max) =
        map.iter().fold((f32::MAX, f32::MIN), |(min, max), &weight| (min.min(weight), max.max(weight)));
    let span = if max > min { max - min } else { 1.0 };
    let lit = picture.rgb.chunks_exact(3).zip(&map).flat_map(|(pixel, weight)| {
        let [r, g, b] = [0, 1, 2].map(|channel| f32::from(pixel[channel]));
        // Luma of Rec. 601, which is defined on gamma-corrected values.
        let grey = DIM * (0.299 * r + 0.587 * g + 0.114 * b);
        let light = (weight - min) / span;
        [r, g, b].map(|value| (grey + (value - grey) * light).round() as u8)
    });
    Pixels::new(picture.width, picture.height, lit.collect())
}

/// Bytes of memory that computing the maps of a recipe takes.
pub fn attention_bytes(info: &ModelInfo, tokenizer: &PromptTokenizer, recipe: &Recipe) -> u64 {
    let prompt = tokenizer.read(&recipe.prompt, &recipe.text, recipe.steps as usize);
    let chunks = prompt.texts().map(|text| text.chunks.len()).max().unwrap_or(1);
    let pixels = u64::from(recipe.width) * u64::from(recipe.height);
    info.memory.attention_bytes(pixels, chunks * info.tokenizer.positions())
}

/// Computes the maps of one picture of a run, for one of the parts that AND composes. They are those of the
/// tokens at the first step. For a branch, only its own steps count. `progress` gets the fraction done.
///
/// # Panics
/// If the batch does not have this picture.
pub fn attention_maps(
    pipeline: &Pipeline,
    RecordedRun { recipe, trajectory }: &RecordedRun,
    picture: usize,
    part: usize,
    stop: &StopFlag,
    progress: &mut dyn FnMut(f32),
) -> Result<AttentionMaps, GenerateError> {
    let (memory, prompts) = (pipeline.memory_guard(recipe)?, pipeline.prompts(recipe));
    let texts = pipeline.encode_prompts(recipe, &memory)?;
    let (Some(conditioning), Some(part)) = (texts.cond.get(part), prompts.prompt.parts.get(part)) else {
        return Err(GenerateError::NoSuchToken);
    };
    let noise = recipe.noise_schedule(&pipeline.model.config.scheduler)?;
    let first = recipe.branch.as_ref().map_or(trajectory.start_step, |branch| branch.step as usize);
    let last = trajectory.end_step();
    let (mut dtype, mut sum) = (pipeline.unet_dtype, None);
    for (done, index) in (first..last).enumerate() {
        progress(done as f32 / (last - first) as f32);
        let step = trajectory.step(index).expect("every step of a run is recorded");
        let [_, channels, height, width] = step.x.shape;
        let x = Latents::new([1, channels, height, width], step.x.picture(picture).to_vec());
        let x = x.scale(1.0 / (step.sigma * step.sigma + 1.0).sqrt());
        let timestep = recipe.schedule.timestep(step.sigma, &noise);
        let pass =
            |dtype| maps_of_pass(pipeline, &x, timestep, &conditioning.at(index).clone().cast(dtype), stop);
        let mut maps = pass(dtype)?;
        if dtype != FloatDType::F32 && !maps.is_finite() {
            // Where the run itself fell back to f32: see `F32Fallback`.
            dtype = FloatDType::F32;
            maps = pass(dtype)?;
        }
        let maps = maps.reordered(part.at(index), part.at(0));
        match &mut sum {
            None => sum = Some(maps),
            Some(AttentionMaps { weights, .. }) => {
                weights.iter_mut().zip(&maps.weights).for_each(|(sum, weight)| *sum += weight);
            }
        }
    }
    let mut maps = sum.ok_or(GenerateError::NoSuchToken)?;
    maps.weights.iter_mut().for_each(|weight| *weight /= (last - first) as f32);
    Ok(maps)
}

/// The maps of one pass of the UNet over latents that are scaled already, for a prompt without syntax.
pub fn attention_maps_at(
    pipeline: &Pipeline,
    x: &Latents,
    timestep: f32,
    prompt: &str,
    stop: &StopFlag,
) -> Result<AttentionMaps, EngineError> {
    let text = pipeline.encode_text(&pipeline.tokenize(prompt), &TextOptions::PLAIN, &[])?;
    maps_of_pass(pipeline, x, timestep, &text.cast(pipeline.unet_dtype), stop)
}

/// The maps of one pass of the UNet, averaged over heads and layers.
///
/// # Shapes
/// - text: `[1, tokens, width]`, in the precision to compute in
fn maps_of_pass(
    pipeline: &Pipeline,
    x: &Latents,
    timestep: f32,
    text: &Tensor<3>,
    stop: &StopFlag,
) -> Result<AttentionMaps, EngineError> {
    let [_, _, height, width] = x.shape;
    let recorder = AttentionRecorder { sides: [height, width], sum: RefCell::new(Ok((Vec::new(), 0))) };
    let x = pipeline.upload(x, text.dtype().into());
    let context = Context { text, observer: Some(&recorder) };
    values(pipeline.model.unet.forward(x, timestep, context, &|| stop.is_raised())?)?;
    let (mut weights, layers) = recorder.sum.into_inner()?;
    weights.iter_mut().for_each(|weight| *weight /= layers as f32);
    Ok(AttentionMaps { width, height, weights })
}

/// Sums the maps of the layers, each resized to the latents.
struct AttentionRecorder {
    /// Height and width of the latents.
    sides: [usize; 2],
    sum: RefCell<Result<(Vec<f32>, usize), EngineError>>,
}

impl AttentionObserver for AttentionRecorder {
    fn record(&self, weights: Tensor<3>, from: [usize; 2]) {
        let mut sum = self.sum.borrow_mut();
        let Ok((sum_of_maps, layers)) = &mut *sum else { return };
        match values(weights.swap_dims(1, 2)) {
            Ok(maps) => {
                let maps = resize_planes(&maps, from, self.sides);
                sum_of_maps.resize(maps.len(), 0.0);
                sum_of_maps.iter_mut().zip(&maps).for_each(|(sum, weight)| *sum += weight);
                *layers += 1;
            }
            Err(error) => *sum = Err(error),
        }
    }
}

/// Resizes planes by bilinear interpolation.
fn resize_planes(planes: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    if from == to {
        return planes.to_vec();
    }
    // For each place of the new side its two neighbours on the old one, and the weight of the second.
    let neighbours = |from: usize, to: usize| -> Vec<(usize, usize, f32)> {
        let at = |place: usize| ((place as f32 + 0.5) * from as f32 / to as f32 - 0.5).max(0.0);
        let last = from - 1;
        (0..to).map(at).map(|at| ((at as usize).min(last), (at as usize + 1).min(last), at.fract())).collect()
    };
    let (rows, columns) = (neighbours(from[0], to[0]), neighbours(from[1], to[1]));
    let mut resized = Vec::with_capacity(planes.len() / (from[0] * from[1]) * to[0] * to[1]);
    for plane in planes.chunks_exact(from[0] * from[1]) {
        for &(above, below, down) in &rows {
            let mix = |column: usize| {
                let (above, below) = (plane[above * from[1] + column], plane[below * from[1] + column]);
                above + (below - above) * down
            };
            resized.extend(columns.iter().map(|&(left, right, across)| {
                let (left, right) = (mix(left), mix(right));
                left + (right - left) * across
            }));
        }
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::ModelSource;
    use crate::concepts::ConceptSet;
    use crate::device::{DeviceChoice, DeviceSelector};

    #[test]
    fn maps_follow_their_tokens_when_the_prompt_changes() {
        let choice = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
        let pipeline = Pipeline::open(&ModelSource::BuiltIn, choice, &mut |_| true).expect("a pipeline");
        let words = pipeline.info().prompt_tokenizer(&ConceptSet::default());
        let prompt = words.read("[a large:one:5] fox", &TextOptions::default(), 20);
        let (before, after) = (prompt.parts[0].at(0), prompt.parts[0].at(19));
        let [begin, a, large, fox] = [0.1, 0.2, 0.3, 0.4];
        let of = |weights: &[f32]| {
            let weights = (0..77).map(|at| weights.get(at).copied().unwrap_or_default()).collect();
            AttentionMaps { width: 1, height: 1, weights }
        };
        // "one" is several tokens here, and the fox comes after them.
        let fox_at = after.used();
        let later: Vec<f32> = (0..fox_at).map(|at| if at == 0 { begin } else { 0.05 }).chain([fox]).collect();
        let mapped = of(&later).reordered(after, before);
        assert_eq!(mapped.weights[..4], [begin, 0.0, 0.0, fox]);
        let first = of(&[begin, a, large, fox]);
        assert_eq!(first.clone().reordered(before, before), first);
    }
}
