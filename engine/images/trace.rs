//! The numbers of a run in one safetensors file, for a notebook to compare with.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use safetensors::{Dtype, View};

use super::metadata::Provenance;
use super::whole_file::{IfExists, SaveError, write_whole};
use crate::diffusion::Latents;

/// Everything that a run computed, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub provenance: Provenance,
    /// Those that were run, descending; the last one is 0.
    pub sigmas: Vec<f32>,
    /// Noisy latents entering each step, `[batch, 4, height, width]`; `x[i]` is at `sigmas[i]`.
    pub x: Vec<Array>,
    /// Predicted x0 of each step, shaped as `x`.
    pub denoised: Vec<Array>,
    /// `[batch, tokens, width]`.
    pub cond: Array,
    /// `None` when guidance did not ask for it.
    pub uncond: Option<Array>,
    /// What was decoded, shaped as `x`.
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
    /// If `data` is not as long as `shape` says.
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

/// Writes `sigmas`, `x.{i}`, `denoised.{i}`, `cond`, `uncond`, `latents` and `image`, all f32, with
/// `recipe` (JSON), `program` and `model` in the file's metadata. A trace of this name is replaced
/// once the new one is whole.
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

    let Provenance { program, model, .. } = &trace.provenance;
    let about = HashMap::from([
        ("recipe".to_owned(), trace.provenance.recipe_json()),
        ("program".to_owned(), program.clone()),
        ("model".to_owned(), model.clone()),
    ]);
    write_whole(path, IfExists::Replace, |out| {
        let bytes = safetensors::serialize(tensors, Some(about)).map_err(io::Error::other)?;
        out.write_all(&bytes)
    })
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
