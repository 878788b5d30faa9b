//! Traces: the numbers of a run in a safetensors file, for comparison in a notebook or to resume the run.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensorError, SafeTensors, View};

use super::metadata::Provenance;
use crate::diffusion::{Latents, RecordedStep, Trajectory};
use crate::files::{IfExists, SaveError, write_atomically};
use crate::recipe::{Recipe, RecordedRun};

/// Everything that a run computed, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub provenance: Provenance,
    /// The sigmas of the run, descending; the last one is 0.
    pub sigmas: Vec<f32>,
    /// Noisy latents entering each step, `[batch, 4, height, width]`; `x[i]` is at `sigmas[i]`.
    pub x: Vec<Array>,
    /// Predicted x0 of each step, shaped as `x`.
    pub denoised: Vec<Array>,
    /// The further predictions of samplers that call the model several times per step.
    pub later: Vec<Vec<Array>>,
    /// `[batch, tokens, width]`.
    pub cond: Array,
    /// `None` if guidance did not need it.
    pub uncond: Option<Array>,
    /// The final latents, shaped as `x`.
    pub latents: Array,
    /// `[batch, 3, height, width]` in 0..1.
    pub image: Array,
}

/// Numbers in a shape, the last axis fastest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Array {
    /// # Panics
    /// If the length of `data` does not match `shape`.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "array of shape {shape:?}");
        Self { shape, data }
    }
}

impl From<Latents> for Array {
    fn from(latents: Latents) -> Self {
        Self { shape: latents.shape.to_vec(), data: latents.data }
    }
}

/// Writes `sigmas`, `x.{i}`, `denoised.{i}`, `later.{i}.{j}`, `cond`, `uncond`, `latents` and `image`, all f32, with
/// `recipe` (JSON), `program` and `model` in the file's metadata. An existing file of this name is
/// replaced.
pub fn write_trace(path: &Path, trace: &Trace) -> Result<(), SaveError> {
    let sigmas = Array::new([trace.sigmas.len()], trace.sigmas.clone());
    let mut tensors: Vec<(String, &Array)> = vec![
        ("sigmas".into(), &sigmas),
        ("cond".into(), &trace.cond),
        ("latents".into(), &trace.latents),
        ("image".into(), &trace.image),
    ];
    tensors.extend(trace.uncond.iter().map(|uncond| ("uncond".into(), uncond)));
    tensors.extend(trace.x.iter().enumerate().map(|(i, x)| (format!("x.{i}"), x)));
    tensors.extend(trace.denoised.iter().enumerate().map(|(i, x0)| (format!("denoised.{i}"), x0)));

    for (i, later) in trace.later.iter().enumerate() {
        tensors.extend(later.iter().enumerate().map(|(j, answer)| (format!("later.{i}.{j}"), answer)));
    }

    let Provenance { program, model, .. } = &trace.provenance;
    let metadata = HashMap::from([
        ("recipe".to_owned(), trace.provenance.recipe_json()),
        ("program".to_owned(), program.clone()),
        ("model".to_owned(), model.clone()),
    ]);
    write_atomically(path, IfExists::Replace, |out| {
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(io::Error::other)?;
        out.write_all(&bytes)
    })
}

/// A run that was read from a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceFile {
    pub run: RecordedRun,
    /// The name of the model that made it.
    pub model: String,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("The trace cannot be read ({0}): {path}", path = .1.display())]
    Unreadable(io::Error, PathBuf),
    #[error(
        "This is not a trace, because it is not a safetensors file ({0}). Choose one that `--trace` wrote: {path}", path = .1.display()
    )]
    NotSafetensors(SafeTensorError, PathBuf),
    #[error(
        "This is not a Tidepool trace: it has no {0}. Choose one that `--trace` wrote: {path}", path = .1.display()
    )]
    Missing(String, PathBuf),
}

/// Reads the part of a trace that a run can be resumed from.
pub fn read_trace(path: &Path) -> Result<TraceFile, TraceError> {
    let bytes = fs::read(path).map_err(|error| TraceError::Unreadable(error, path.to_owned()))?;
    let not_safetensors = |error| TraceError::NotSafetensors(error, path.to_owned());
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(not_safetensors)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(not_safetensors)?;
    let missing = |what: &str| TraceError::Missing(what.to_owned(), path.to_owned());
    let metadata = metadata.metadata().as_ref();
    let value_of = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    let recipe = value_of("recipe").and_then(|recipe| serde_json::from_str(recipe).ok());
    let recipe: Recipe =
        recipe.filter(|recipe: &Recipe| recipe.check().is_ok()).ok_or_else(|| missing("recipe"))?;

    let sigmas = numbers(&tensors, "sigmas").ok_or_else(|| missing("sigmas"))?;
    let mut steps = Vec::new();
    for (i, &sigma) in sigmas.iter().enumerate() {
        let Some(x) = latents(&tensors, &format!("x.{i}")) else { break };
        let name = format!("denoised.{i}");
        let denoised = latents(&tensors, &name)
            .filter(|latents| latents.shape == x.shape)
            .ok_or_else(|| missing(&name))?;
        let later = (0..).map_while(|j| latents(&tensors, &format!("later.{i}.{j}")));
        let later = later.filter(|latents| latents.shape == x.shape).collect();
        steps.push(RecordedStep { sigma, x, denoised, guidance: None, later });
    }
    if steps.is_empty() {
        return Err(missing("x.0"));
    }
    let start_step = recipe.start_step() as usize;
    let model = value_of("model").cloned().unwrap_or_default();
    let trajectory = Trajectory { sigmas, start_step, steps };
    Ok(TraceFile { run: RecordedRun { recipe, trajectory }, model })
}

fn latents(tensors: &SafeTensors<'_>, name: &str) -> Option<Latents> {
    let shape = tensors.tensor(name).ok()?.shape().try_into().ok()?;
    Some(Latents::new(shape, numbers(tensors, name)?))
}

fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let tensor = tensors.tensor(name).ok().filter(|tensor| tensor.dtype() == Dtype::F32)?;
    Some(tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.data.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.data.as_slice())
    }
}
