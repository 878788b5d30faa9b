//! Traces: the numbers of a run in a safetensors file, for comparison in a notebook or to resume the run.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensorError, SafeTensors, View};

use super::metadata::Provenance;
use crate::diffusion::{Latents, LossGuidance, RecordedStep, Trajectory};
use crate::files::{IfExists, SaveError, write_atomically};
use crate::recipe::{Recipe, RecordedRun};

/// Everything that a run computed, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub provenance: Provenance,
    /// The sigmas of the run, descending; the last one is 0.
    pub sigmas: Vec<f32>,
    /// Every step: step `i` is at `sigmas[i]`.
    pub steps: Vec<RecordedStep>,
    /// `[batch, tokens, width]`.
    pub cond: Array,
    /// `None` if guidance did not need it.
    pub uncond: Option<Array>,
    /// The final latents.
    pub latents: Latents,
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
/// `recipe` (JSON), `program` and `model` in the file's metadata. Of steps that losses guided also `grad.{i}`,
/// shaped as `x.{i}`, and `loss.{i}`, `[guides, batch]`, which is NaN for a guide that did not act. An existing file
/// of this name is replaced.
pub fn write_trace(path: &Path, trace: &Trace) -> Result<(), SaveError> {
    let mut tensors = vec![
        ("sigmas".into(), TensorView::new([trace.sigmas.len()], &trace.sigmas)),
        ("cond".into(), TensorView::from(&trace.cond)),
        ("latents".into(), TensorView::from(&trace.latents)),
        ("image".into(), TensorView::from(&trace.image)),
    ];
    tensors.extend(trace.uncond.iter().map(|uncond| ("uncond".into(), uncond.into())));
    for (i, step) in trace.steps.iter().enumerate() {
        tensors.push((format!("x.{i}"), TensorView::from(&step.x)));
        tensors.push((format!("denoised.{i}"), TensorView::from(&step.denoised)));
        let later = step.later.iter().enumerate();
        tensors.extend(later.map(|(j, denoised)| (format!("later.{i}.{j}"), denoised.into())));
        if let Some(LossGuidance { losses, gradient }) = &step.loss_guidance {
            let batch = step.x.batch();
            let values = losses.iter().flat_map(|loss| loss.clone().unwrap_or_else(|| vec![f32::NAN; batch]));
            let values = TensorView { shape: vec![losses.len(), batch], data: Cow::Owned(values.collect()) };
            tensors.push((format!("loss.{i}"), values));
            tensors.push((format!("grad.{i}"), gradient.into()));
        }
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
    #[error(
        "The trace cannot be read ({0}). Check that it is there and that you may read it: {path}", path = .1.display()
    )]
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
        let gradient = latents(&tensors, &format!("grad.{i}")).filter(|gradient| gradient.shape == x.shape);
        let loss_guidance = gradient.map(|gradient| {
            let losses = numbers(&tensors, &format!("loss.{i}")).unwrap_or_default();
            let losses = losses.chunks_exact(x.batch());
            let losses = losses.map(|loss| loss.iter().all(|value| !value.is_nan()).then(|| loss.to_vec()));
            LossGuidance { losses: losses.collect(), gradient }
        });
        steps.push(RecordedStep { sigma, x, denoised, loss_guidance, guidance: None, later });
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
    let shape: [usize; 4] = tensors.tensor(name).ok()?.shape().try_into().ok()?;
    // A run makes at least one picture.
    if shape.contains(&0) {
        return None;
    }
    Some(Latents::new(shape, numbers(tensors, name)?))
}

fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let tensor = tensors.tensor(name).ok().filter(|tensor| tensor.dtype() == Dtype::F32)?;
    Some(tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

/// The numbers of a tensor to be written.
struct TensorView<'a> {
    shape: Vec<usize>,
    data: Cow<'a, [f32]>,
}

impl<'a> TensorView<'a> {
    fn new(shape: impl Into<Vec<usize>>, data: &'a [f32]) -> Self {
        Self { shape: shape.into(), data: data.into() }
    }
}

impl<'a> From<&'a Array> for TensorView<'a> {
    fn from(array: &'a Array) -> Self {
        Self::new(array.shape.as_slice(), &array.data)
    }
}

impl<'a> From<&'a Latents> for TensorView<'a> {
    fn from(latents: &'a Latents) -> Self {
        Self::new(latents.shape, &latents.data)
    }
}

impl View for TensorView<'_> {
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
        size_of_val(self.data.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_no_pictures_is_refused() {
        let none = || Latents::new([0, 4, 8, 8], Vec::new());
        let step = RecordedStep {
            sigma: 1.0,
            x: none(),
            denoised: none(),
            loss_guidance: Some(LossGuidance { losses: Vec::new(), gradient: none() }),
            guidance: None,
            later: Vec::new(),
        };
        let trace = Trace {
            provenance: Provenance::default(),
            sigmas: vec![1.0, 0.0],
            steps: vec![step],
            cond: Array::new([0], Vec::new()),
            uncond: None,
            latents: none(),
            image: Array::new([0], Vec::new()),
        };
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("none.safetensors");
        write_trace(&path, &trace).expect("writes");
        assert!(matches!(read_trace(&path), Err(TraceError::Missing(what, _)) if what == "x.0"));
    }
}
