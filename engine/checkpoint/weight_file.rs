//! Weight files of every format behind one interface: keys, shapes, types, numbers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::OpenError;
use super::dtype::{TensorDtype, to_f32};
use super::formats::safetensors::SafetensorsFile;
use super::formats::tensor_bytes::TensorBytes;
use super::formats::torch::{Node, Pickle, TorchFile, TorchTensor, Value};
use super::key_map::UNET_PREFIX;
use crate::files::FileSignature;

/// Far more than the few hundred tensors of any index take.
const MAX_INDEX_BYTES: u64 = 16 << 20;

/// More dictionaries of weights than any file has beside each other.
const MAX_DICTS: usize = 8;

/// The key under which A1111 keeps the vectors of a concept, by the token they were trained with.
pub(crate) const A1111_CONCEPT_KEY: &str = "string_to_param";

/// The prefix of the averages of a UNet's weights.
const EMA_UNET_PREFIX: &str = "model_ema.diffusion_model";

/// A weight file whose keys, shapes and offsets have been read and checked.
pub struct WeightFile {
    path: PathBuf,
    format: Format,
    /// True if the UNet is there as averages only, which stand for its weights.
    is_ema_only: bool,
}

enum Format {
    Safetensors(SafetensorsFile),
    Torch {
        file: TorchFile,
        tensors: BTreeMap<String, TorchTensor>,
        /// The weights that only a call would make, with the name of the class or function.
        calls: BTreeMap<String, String>,
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
                let StateDict { tensors, calls } = StateDict::read(&file).map_err(damaged)?;
                if let (true, Some(name)) = (tensors.is_empty(), calls.values().next()) {
                    return Err(OpenError::NeedsCode(name.clone(), path.to_owned()));
                }
                Format::Torch { file, tensors, calls }
            }
            _ => Format::Safetensors(SafetensorsFile::open(path)?),
        };
        Ok(Self::new(path.to_owned(), format))
    }

    pub fn embedded(bytes: &'static [u8], path: PathBuf) -> Result<Self, OpenError> {
        let format = Format::Safetensors(SafetensorsFile::embedded(bytes, path.clone())?);
        Ok(Self::new(path, format))
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
        Ok(Self::new(path.to_owned(), Format::Shards { shards, shard_of }))
    }

    fn new(path: PathBuf, format: Format) -> Self {
        let mut file = Self { path, format, is_ema_only: false };
        file.is_ema_only = file.has_prefix(EMA_UNET_PREFIX) && !file.has_prefix(UNET_PREFIX);
        file
    }

    /// The key of a weight in the file, or the start of keys. Averages have the key of their weight without dots, as
    /// `LitEma` of latent-diffusion names them.
    fn key<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match name.strip_prefix(UNET_PREFIX) {
            Some(rest) if self.is_ema_only => format!("{EMA_UNET_PREFIX}{}", rest.replace('.', "")).into(),
            _ => name.into(),
        }
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

    /// True if the key of a weight starts with `prefix`.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        let prefix = &*self.key(prefix);
        self.names().any(|name| name.starts_with(prefix))
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let name = &*self.key(name);
        match &self.format {
            Format::Safetensors(file) => file.shape(name),
            Format::Torch { tensors, .. } => tensors.get(name).map(|tensor| tensor.shape.as_slice()),
            Format::Shards { shards, shard_of } => shards[*shard_of.get(name)?].shape(name),
        }
    }

    pub fn dtype(&self, name: &str) -> Option<TensorDtype> {
        let name = &*self.key(name);
        match &self.format {
            Format::Safetensors(file) => file.weight_dtype(name),
            Format::Torch { tensors, .. } => tensors.get(name)?.weight_dtype(),
            Format::Shards { shards, shard_of } => shards[*shard_of.get(name)?].dtype(name),
        }
    }

    /// Bytes of a tensor in the file.
    pub fn byte_len(&self, name: &str) -> u64 {
        let name = &*self.key(name);
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
            Format::Torch { file, tensors, .. } => Some((file, tensors)),
            Format::Safetensors(_) | Format::Shards { .. } => None,
        }
    }

    /// The index of the file that holds a tensor, and the offset in it: disks read fastest in this order.
    pub(super) fn location(&self, name: &str) -> (usize, u64) {
        let name = &*self.key(name);
        match &self.format {
            Format::Safetensors(file) => (0, file.offset(name)),
            Format::Torch { file, tensors, .. } => {
                (0, tensors.get(name).map_or(0, |tensor| file.offset(tensor)))
            }
            Format::Shards { shards, shard_of } => {
                shard_of.get(name).map_or((0, 0), |&shard| (shard, shards[shard].location(name).1))
            }
        }
    }

    /// A tensor's bytes and their type.
    pub(super) fn weight(&self, name: &str) -> Result<(TensorBytes<'_>, TensorDtype), OpenError> {
        let name = &*self.key(name);
        match &self.format {
            Format::Safetensors(file) => file.weight(name),
            Format::Torch { file, tensors, .. } => {
                let tensor = tensors.get(name).ok_or_else(|| self.missing(name))?;
                let dtype = self.weight_dtype(name)?;
                let bytes = file.bytes(name, tensor);
                Ok((bytes.map_err(|what| OpenError::BadWeights(what, self.path.clone()))?, dtype))
            }
            Format::Shards { shards, shard_of } => {
                shards[*shard_of.get(name).ok_or_else(|| self.missing(name))?].weight(name)
            }
        }
    }

    /// The type of a weight.
    ///
    /// # Errors
    /// If the file does not have it, or if its type cannot be a weight's.
    pub(super) fn weight_dtype(&self, name: &str) -> Result<TensorDtype, OpenError> {
        let name = &*self.key(name);
        let dtype = match &self.format {
            Format::Safetensors(file) => file.dtype_name(name),
            Format::Torch { tensors, .. } => tensors.get(name).map(TorchTensor::dtype_name),
            Format::Shards { shards, shard_of } => match shard_of.get(name) {
                Some(&shard) => return shards[shard].weight_dtype(name),
                None => None,
            },
        };
        let dtype = dtype.ok_or_else(|| self.missing(name))?;
        let (name, path) = (name.to_owned(), self.path.clone());
        TensorDtype::named(dtype).ok_or(OpenError::UnsupportedType { name, dtype: dtype.into(), path })
    }

    /// Why a weight is not there.
    pub(super) fn missing(&self, name: &str) -> OpenError {
        match &self.format {
            Format::Torch { calls, .. } if calls.contains_key(name) => {
                OpenError::NeedsCode(calls[name].clone(), self.path.clone())
            }
            _ => OpenError::Missing(name.into(), self.path.clone()),
        }
    }

    /// Reads a tensor's numbers as f32, and tells how many bytes they take in the file.
    pub fn read(&self, name: &str) -> Result<(Vec<f32>, u64), OpenError> {
        let (bytes, dtype) = self.weight(name)?;
        let bytes = bytes.to_vec().map_err(|error| OpenError::Unreadable(error, self.path.clone()))?;
        Ok((to_f32(&bytes, dtype), bytes.len() as u64))
    }
}

/// What a pickle has for weights.
#[derive(Default)]
struct StateDict {
    tensors: BTreeMap<String, TorchTensor>,
    /// The weights that only a call would make, with the name of the class or function.
    calls: BTreeMap<String, String>,
}

impl StateDict {
    /// Finds the weights in any of the places where programs put them. `Err` is a clause.
    fn read(file: &TorchFile) -> Result<Self, String> {
        let pickle = &file.pickle;
        let mut found = Self::default();
        // A concept may be a single tensor.
        if pickle.tensor(pickle.root).is_some() || pickle.unknown_global(pickle.root).is_some() {
            found.add(file, "", "", pickle.root)?;
            return Ok(found);
        }
        let Some(root) = pickle.dict(pickle.root) else {
            found.add_list(file, pickle.sequence(pickle.root).unwrap_or_default())?;
            return Ok(found);
        };
        let inner = |key: &str| pickle.dict(parameters(pickle, pickle.get(pickle.root, key)?));
        let concept = || Some((format!("{A1111_CONCEPT_KEY}."), inner(A1111_CONCEPT_KEY)?));
        let state = inner("state_dict").map(|entries| (String::new(), entries));
        let (prefix, entries) = state.or_else(concept).unwrap_or_else(|| (String::new(), root));
        found.add_all(file, &prefix, entries)?;
        if found.tensors.is_empty() {
            found.add_inner(file, entries)?;
        }
        Ok(found)
    }

    /// Adds the tensors of a list by their number, and those of dictionaries in it.
    fn add_list(&mut self, file: &TorchFile, items: &[Value]) -> Result<(), String> {
        for (index, item) in items.iter().enumerate() {
            self.add(file, "", &index.to_string(), *item)?;
        }
        for entries in items.iter().filter_map(|item| file.pickle.dict(*item)).take(MAX_DICTS) {
            self.add_all(file, "", entries)?;
        }
        match self.tensors.is_empty() && self.calls.is_empty() {
            true => Err("it has no dictionary of weights".into()),
            false => Ok(()),
        }
    }

    /// Looks for weights one level deeper.
    fn add_inner(&mut self, file: &TorchFile, entries: &[(Value, Value)]) -> Result<(), String> {
        let pickle = &file.pickle;
        let dict = |&(key, value): &(Value, Value)| Some((pickle.text(key)?, pickle.dict(value)?));
        let dicts: Vec<_> = entries.iter().filter_map(dict).take(MAX_DICTS).collect();
        for (name, entries) in &dicts {
            let prefix = if dicts.len() == 1 { String::new() } else { format!("{name}.") };
            self.add_all(file, &prefix, entries)?;
        }
        // A hypernetwork has two networks for each width, those of keys and of values. One shows its kind.
        let network = entries.iter().find_map(|&(width, networks)| match width {
            Value::Int(width) => Some((width, pickle.dict(*pickle.sequence(networks)?.first()?)?)),
            _ => None,
        });
        if let Some((width, entries)) = network {
            self.add_all(file, &format!("{width}.0."), entries)?;
        }
        Ok(())
    }

    /// Adds the entries of a dictionary under keys that get a prefix: the tensors, and what only a call would
    /// make.
    fn add_all(&mut self, file: &TorchFile, prefix: &str, entries: &[(Value, Value)]) -> Result<(), String> {
        for &(key, value) in entries {
            if let Some(name) = file.pickle.text(key) {
                self.add(file, prefix, name, value)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, file: &TorchFile, prefix: &str, name: &str, value: Value) -> Result<(), String> {
        let key = || format!("{prefix}{name}");
        let is_new = match (file.tensor(name, value), file.pickle.unknown_global(value)) {
            (Some(tensor), _) => self.tensors.insert(key(), tensor?).is_none(),
            (None, Some(global)) => self.calls.insert(key(), global.into()).is_none(),
            (None, None) => true,
        };
        is_new.then_some(()).ok_or_else(|| format!("{name} occurs twice"))
    }
}

/// The parameters of a module, if the value is one, else the value itself.
fn parameters(pickle: &Pickle, value: Value) -> Value {
    match pickle.node(value) {
        Some(Node::Object(state)) => pickle.get(*state, "_parameters").unwrap_or(value),
        _ => value,
    }
}
