//! Weight files of every format behind one interface: keys, shapes, types, numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::OpenError;
use super::dtype::{TensorDtype, to_f32};
use super::formats::safetensors::SafetensorsFile;
use super::formats::tensor_bytes::TensorBytes;
use super::formats::torch::{Node, Pickle, TorchFile, TorchTensor, Value};
use crate::files::FileSignature;

/// Far more than the few hundred tensors of any index take.
const MAX_INDEX_BYTES: u64 = 16 << 20;

/// The key under which A1111 keeps the vectors of a concept, by the token they were trained with.
pub(crate) const A1111_CONCEPT_KEY: &str = "string_to_param";

/// A weight file whose keys, shapes and offsets have been read and checked.
pub struct WeightFile {
    path: PathBuf,
    format: Format,
}

enum Format {
    Safetensors(SafetensorsFile),
    Torch {
        file: TorchFile,
        tensors: BTreeMap<String, TorchTensor>,
    },
    /// Several files listed in an index.
    Shards {
        shards: Vec<WeightFile>,
        shard_of: BTreeMap<String, usize>,
    },
}

/// `*.index.json`: which file holds a tensor.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

impl WeightFile {
    /// Opens a safetensors file, a PyTorch file, or the index of several files.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::open_shards(path);
        }
        let damaged = |what: String| OpenError::BadWeights(what, path.to_owned());
        let signature =
            FileSignature::read(path).map_err(|error| OpenError::Unreadable(error, path.to_owned()))?;
        if let Some(reason) = signature.unreadable_reason() {
            return Err(damaged(reason.into()));
        }
        let format = match signature {
            FileSignature::Torch => {
                let file = TorchFile::open(path).map_err(damaged)?;
                let tensors = state_dict(&file).map_err(damaged)?;
                Format::Torch { file, tensors }
            }
            _ => Format::Safetensors(SafetensorsFile::open(path)?),
        };
        Ok(Self { path: path.to_owned(), format })
    }

    pub fn embedded(bytes: &'static [u8], path: PathBuf) -> Result<Self, OpenError> {
        let format = Format::Safetensors(SafetensorsFile::embedded(bytes, path.clone())?);
        Ok(Self { path, format })
    }

    fn open_shards(path: &Path) -> Result<Self, OpenError> {
        let damaged = |what: String| OpenError::BadWeights(what, path.to_owned());
        let unreadable = |error| OpenError::Unreadable(error, path.to_owned());
        // Opening a pipe would wait for its writer.
        FileSignature::read(path).map_err(unreadable)?;
        if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_INDEX_BYTES {
            return Err(damaged("it is too large for an index".into()));
        }
        let json = std::fs::read(path).map_err(unreadable)?;
        let index: ShardIndex = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
        let mut files: Vec<&String> = index.weight_map.values().collect();
        files.sort_unstable();
        files.dedup();
        let mut shards = Vec::new();
        for file in &files {
            let is_file_name = Path::new(file.as_str()).file_name().is_some_and(|name| name == file.as_str());
            if !is_file_name || file.ends_with(".json") {
                return Err(damaged(format!("it lists {file:?}, which is not a file in its folder")));
            }
            shards.push(Self::open(&path.with_file_name(file.as_str()))?);
        }
        for (shard, file) in shards.iter().zip(&files) {
            if let Some(name) = shard.names().find(|name| index.weight_map.get(*name) != Some(*file)) {
                return Err(damaged(format!("{file} holds {name}, which the index does not list there")));
            }
        }
        let mut shard_of = BTreeMap::new();
        for (name, file) in &index.weight_map {
            let shard = files.binary_search(&file).expect("every file of the map is listed");
            if shards[shard].shape(name).is_none() {
                return Err(OpenError::Missing(name.clone(), shards[shard].path.clone()));
            }
            shard_of.insert(name.clone(), shard);
        }
        Ok(Self { path: path.to_owned(), format: Format::Shards { shards, shard_of } })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold the weights.
    pub fn files(&self) -> Vec<&Path> {
        match &self.format {
            Format::Shards { shards, .. } => shards.iter().map(Self::path).collect(),
            Format::Safetensors(_) | Format::Torch { .. } => vec![&self.path],
        }
    }

    /// True if the weights are in a pickle.
    pub fn is_pickle(&self) -> bool {
        match &self.format {
            Format::Safetensors(_) => false,
            Format::Torch { .. } => true,
            Format::Shards { shards, .. } => shards.iter().any(Self::is_pickle),
        }
    }

    pub fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.format {
            Format::Safetensors(file) => Box::new(file.names()),
            Format::Torch { tensors, .. } => Box::new(tensors.keys().map(String::as_str)),
            Format::Shards { shard_of, .. } => Box::new(shard_of.keys().map(String::as_str)),
        }
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        match &self.format {
            Format::Safetensors(file) => file.shape(name),
            Format::Torch { tensors, .. } => tensors.get(name).map(|tensor| tensor.shape.as_slice()),
            Format::Shards { shards, shard_of } => shards[*shard_of.get(name)?].shape(name),
        }
    }

    pub fn dtype(&self, name: &str) -> Option<TensorDtype> {
        match &self.format {
            Format::Safetensors(file) => file.weight_dtype(name),
            Format::Torch { tensors, .. } => tensors.get(name)?.weight_dtype(),
            Format::Shards { shards, shard_of } => shards[*shard_of.get(name)?].dtype(name),
        }
    }

    /// Bytes of a tensor in the file.
    pub fn byte_len(&self, name: &str) -> u64 {
        match &self.format {
            Format::Safetensors(file) => file.byte_len(name),
            Format::Torch { tensors, .. } => tensors.get(name).map_or(0, TorchTensor::byte_len),
            Format::Shards { shards, shard_of } => {
                shard_of.get(name).map_or(0, |&shard| shards[shard].byte_len(name))
            }
        }
    }

    /// The tensors of a PyTorch file, weights or not.
    pub(super) fn torch(&self) -> Option<(&TorchFile, &BTreeMap<String, TorchTensor>)> {
        match &self.format {
            Format::Torch { file, tensors } => Some((file, tensors)),
            Format::Safetensors(_) | Format::Shards { .. } => None,
        }
    }

    /// The index of the file that holds a tensor, and the offset in it: disks read fastest in this order.
    pub(super) fn location(&self, name: &str) -> (usize, u64) {
        match &self.format {
            Format::Safetensors(file) => (0, file.offset(name)),
            Format::Torch { file, tensors } => (0, tensors.get(name).map_or(0, |tensor| file.offset(tensor))),
            Format::Shards { shards, shard_of } => {
                shard_of.get(name).map_or((0, 0), |&shard| (shard, shards[shard].location(name).1))
            }
        }
    }

    /// A tensor's bytes and their type.
    pub(super) fn weight(&self, name: &str) -> Result<(TensorBytes<'_>, TensorDtype), OpenError> {
        let missing = || OpenError::Missing(name.into(), self.path.clone());
        match &self.format {
            Format::Safetensors(file) => file.weight(name),
            Format::Torch { file, tensors } => {
                let tensor = tensors.get(name).ok_or_else(missing)?;
                let dtype =
                    tensor.weight_dtype().ok_or_else(|| format!("{name} is not of type F16, BF16 or F32"));
                dtype
                    .and_then(|dtype| Ok((file.bytes(name, tensor)?, dtype)))
                    .map_err(|what| OpenError::BadWeights(what, self.path.clone()))
            }
            Format::Shards { shards, shard_of } => {
                shards[*shard_of.get(name).ok_or_else(missing)?].weight(name)
            }
        }
    }

    /// Reads a tensor's numbers as f32, and tells how many bytes they take in the file.
    pub fn read(&self, name: &str) -> Result<(Vec<f32>, u64), OpenError> {
        let (bytes, dtype) = self.weight(name)?;
        let bytes = bytes.to_vec().map_err(|error| OpenError::Unreadable(error, self.path.clone()))?;
        Ok((to_f32(&bytes, dtype), bytes.len() as u64))
    }
}

/// The tensors of a pickle, in any of the places where programs put them.
fn state_dict(file: &TorchFile) -> Result<BTreeMap<String, TorchTensor>, String> {
    let pickle = &file.pickle;
    // A concept may be a single tensor.
    if let Some(tensor) = file.tensor("its tensor", pickle.root) {
        return Ok(BTreeMap::from([(String::new(), tensor?)]));
    }
    let inner = ["state_dict", A1111_CONCEPT_KEY].iter().find_map(|&key| {
        let inner = parameters(pickle, pickle.get(pickle.root, key)?);
        pickle.dict(inner).map(|entries| (key, entries))
    });
    let (prefix, entries) = match inner {
        Some((A1111_CONCEPT_KEY, entries)) => (format!("{A1111_CONCEPT_KEY}."), entries),
        Some((_, entries)) => (String::new(), entries),
        None => (String::new(), pickle.dict(pickle.root).ok_or("it has no dictionary of weights")?),
    };
    let mut tensors = BTreeMap::new();
    for &(name, value) in entries {
        let Some(name) = pickle.text(name) else { continue };
        let Some(tensor) = file.tensor(name, value) else { continue };
        if tensors.insert(format!("{prefix}{name}"), tensor?).is_some() {
            return Err(format!("{name} occurs twice"));
        }
    }
    Ok(tensors)
}

/// The parameters of a module, if the value is one, else the value itself.
fn parameters(pickle: &Pickle, value: Value) -> Value {
    match pickle.node(value) {
        Some(Node::Object(state)) => pickle.get(*state, "_parameters").unwrap_or(value),
        _ => value,
    }
}
