//! Weight files of every form behind one small face: names, shapes, kinds, numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::OpenError;
use super::dtype::{TensorDtype, to_f32};
use super::formats::safetensors::SafetensorsFile;
use super::formats::tensor_bytes::TensorBytes;
use super::formats::torch::{Node, Pickle, Tensor, TorchFile, Value};
use crate::files::FileSignature;

/// An index names a few hundred tensors at most; this is far beyond.
const MAX_INDEX: u64 = 16 << 20;

/// Where A1111 keeps the vectors of a concept, by the token they were trained under.
pub(crate) const CONCEPT_OF_A1111: &str = "string_to_param";

/// A weight file whose names, shapes and places have been read and checked.
pub struct WeightFile {
    path: PathBuf,
    form: Form,
}

enum Form {
    Safetensors(SafetensorsFile),
    Torch {
        file: TorchFile,
        tensors: BTreeMap<String, Tensor>,
    },
    /// Several files that an index holds together.
    Shards {
        parts: Vec<WeightFile>,
        part_of: BTreeMap<String, usize>,
    },
}

/// `*.index.json`: which file holds a tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightFile {
    /// Opens a safetensors file, a file of PyTorch's, or the index of several.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::open_shards(path);
        }
        let damaged = |what: String| OpenError::BadWeights(what, path.to_owned());
        let beginning =
            FileSignature::of(path).map_err(|error| OpenError::Unreadable(error, path.to_owned()))?;
        if let Some(unreadable_reason) = beginning.unreadable_reason() {
            return Err(damaged(unreadable_reason.into()));
        }
        let form = match beginning {
            FileSignature::Torch => {
                let file = TorchFile::open(path).map_err(damaged)?;
                let tensors = state_dict(&file).map_err(damaged)?;
                Form::Torch { file, tensors }
            }
            _ => Form::Safetensors(SafetensorsFile::open(path)?),
        };
        Ok(Self { path: path.to_owned(), form })
    }

    pub fn embedded(bytes: &'static [u8], path: PathBuf) -> Result<Self, OpenError> {
        let form = Form::Safetensors(SafetensorsFile::embedded(bytes, path.clone())?);
        Ok(Self { path, form })
    }

    fn open_shards(path: &Path) -> Result<Self, OpenError> {
        let damaged = |what: String| OpenError::BadWeights(what, path.to_owned());
        let unreadable = |error| OpenError::Unreadable(error, path.to_owned());
        // A pipe of that name would be waited for.
        FileSignature::of(path).map_err(unreadable)?;
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_INDEX {
            return Err(damaged("it is too long for an index".into()));
        }
        let json = std::fs::read(path).map_err(unreadable)?;
        let index: Index = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
        let mut files: Vec<&String> = index.weight_map.values().collect();
        files.sort_unstable();
        files.dedup();
        let mut parts = Vec::new();
        for file in &files {
            let plain = Path::new(file.as_str()).file_name().is_some_and(|name| name == file.as_str());
            if !plain || file.ends_with(".json") {
                return Err(damaged(format!("it names {file:?}, which is no file beside it")));
            }
            parts.push(Self::open(&path.with_file_name(file.as_str()))?);
        }
        for (part, file) in parts.iter().zip(&files) {
            if let Some(name) = part.names().find(|name| index.weight_map.get(*name) != Some(*file)) {
                return Err(damaged(format!("{name} is in {file}, where it does not say so")));
            }
        }
        let mut part_of = BTreeMap::new();
        for (name, file) in &index.weight_map {
            let part = files.binary_search(&file).expect("every file of the map is listed");
            if parts[part].shape(name).is_none() {
                return Err(OpenError::Missing(name.clone(), parts[part].path.clone()));
            }
            part_of.insert(name.clone(), part);
        }
        Ok(Self { path: path.to_owned(), form: Form::Shards { parts, part_of } })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that the weights are in.
    pub fn files(&self) -> Vec<&Path> {
        match &self.form {
            Form::Shards { parts, .. } => parts.iter().map(Self::path).collect(),
            Form::Safetensors(_) | Form::Torch { .. } => vec![&self.path],
        }
    }

    /// True if a pickle describes the weights.
    pub fn is_pickle(&self) -> bool {
        match &self.form {
            Form::Safetensors(_) => false,
            Form::Torch { .. } => true,
            Form::Shards { parts, .. } => parts.iter().any(Self::is_pickle),
        }
    }

    pub fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.form {
            Form::Safetensors(file) => Box::new(file.names()),
            Form::Torch { tensors, .. } => Box::new(tensors.keys().map(String::as_str)),
            Form::Shards { part_of, .. } => Box::new(part_of.keys().map(String::as_str)),
        }
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match &self.form {
            Form::Safetensors(file) => file.shape(name),
            Form::Torch { tensors, .. } => tensors.get(name).map(|tensor| tensor.shape.as_slice()),
            Form::Shards { parts, part_of } => parts[*part_of.get(name)?].shape(name),
        }
    }

    pub fn kind(&self, name: &str) -> Option<TensorDtype> {
        match &self.form {
            Form::Safetensors(file) => file.kind(name),
            Form::Torch { tensors, .. } => tensors.get(name)?.kind(),
            Form::Shards { parts, part_of } => parts[*part_of.get(name)?].kind(name),
        }
    }

    /// Bytes that a tensor takes in the file.
    pub fn byte_len(&self, name: &str) -> u64 {
        match &self.form {
            Form::Safetensors(file) => file.byte_len(name),
            Form::Torch { tensors, .. } => tensors.get(name).map_or(0, Tensor::byte_len),
            Form::Shards { parts, part_of } => part_of.get(name).map_or(0, |&at| parts[at].byte_len(name)),
        }
    }

    /// The tensors of a file of PyTorch's, weights or not.
    pub(super) fn torch(&self) -> Option<(&TorchFile, &BTreeMap<String, Tensor>)> {
        match &self.form {
            Form::Torch { file, tensors } => Some((file, tensors)),
            Form::Safetensors(_) | Form::Shards { .. } => None,
        }
    }

    /// Which of several files a tensor is in, and where: in this order a disk reads best.
    pub(super) fn place(&self, name: &str) -> (usize, u64) {
        match &self.form {
            Form::Safetensors(file) => (0, file.place(name)),
            Form::Torch { file, tensors } => (0, tensors.get(name).map_or(0, |tensor| file.place(tensor))),
            Form::Shards { parts, part_of } => {
                part_of.get(name).map_or((0, 0), |&at| (at, parts[at].place(name).1))
            }
        }
    }

    /// A tensor's bytes, and what its numbers are.
    pub(super) fn weight(&self, name: &str) -> Result<(TensorBytes<'_>, TensorDtype), OpenError> {
        let missing = || OpenError::Missing(name.into(), self.path.clone());
        match &self.form {
            Form::Safetensors(file) => file.weight(name),
            Form::Torch { file, tensors } => {
                let tensor = tensors.get(name).ok_or_else(missing)?;
                let kind = tensor.kind().ok_or_else(|| format!("{name} is not of F16, BF16 or F32"));
                kind.and_then(|kind| Ok((file.bytes(name, tensor)?, kind)))
                    .map_err(|what| OpenError::BadWeights(what, self.path.clone()))
            }
            Form::Shards { parts, part_of } => parts[*part_of.get(name).ok_or_else(missing)?].weight(name),
        }
    }

    /// The tensor's numbers as f32, and how many bytes they took in the file.
    pub fn read(&self, name: &str) -> Result<(Vec<f32>, u64), OpenError> {
        let (bytes, kind) = self.weight(name)?;
        let bytes = bytes.to_vec().map_err(|error| OpenError::Unreadable(error, self.path.clone()))?;
        Ok((to_f32(&bytes, kind), bytes.len() as u64))
    }
}

/// The tensors that a pickle names, wherever programs have put them.
fn state_dict(file: &TorchFile) -> Result<BTreeMap<String, Tensor>, String> {
    let pickle = &file.pickle;
    // A concept may be a tensor and nothing else.
    if let Some(tensor) = file.tensor("its tensor", pickle.root) {
        return Ok(BTreeMap::from([(String::new(), tensor?)]));
    }
    let inner = ["state_dict", CONCEPT_OF_A1111].iter().find_map(|&key| {
        let inner = parameters(pickle, pickle.get(pickle.root, key)?);
        pickle.dict(inner).map(|entries| (key, entries))
    });
    let (prefix, entries) = match inner {
        Some((CONCEPT_OF_A1111, entries)) => (format!("{CONCEPT_OF_A1111}."), entries),
        Some((_, entries)) => (String::new(), entries),
        None => (String::new(), pickle.dict(pickle.root).ok_or("it holds no dictionary of weights")?),
    };
    let mut tensors = BTreeMap::new();
    for &(name, value) in entries {
        let Some(name) = pickle.text(name) else { continue };
        let Some(tensor) = file.tensor(name, value) else { continue };
        if tensors.insert(format!("{prefix}{name}"), tensor?).is_some() {
            return Err(format!("{name} comes twice"));
        }
    }
    Ok(tensors)
}

/// A module's parameters, if the value is one, else the value itself.
fn parameters(pickle: &Pickle, value: Value) -> Value {
    match pickle.node(value) {
        Some(Node::Object(state)) => pickle.get(*state, "_parameters").unwrap_or(value),
        _ => value,
    }
}
