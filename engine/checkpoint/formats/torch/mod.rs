//! PyTorch weight files (`.bin`, `.pt`, `.ckpt`): a pickle that describes tensors, and their numbers, in a
//! zip archive or, before version 1.6, one after the other.
//!
//! Opening a file reads the pickle as data and checks the bounds of every tensor. Numbers are read on
//! demand.

pub(crate) mod unpickler;

mod globals;
mod pickle;
mod storage;
mod zip;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

pub use pickle::{Node, Pickle, Value};

use super::tensor_bytes::{TensorBytes, read_exact_at};
use crate::checkpoint::dtype::TensorDtype;
use pickle::TensorRef;
use storage::{Element, StorageKey, StorageRef};

/// Larger than any pickle of keys and shapes.
const MAX_PICKLE_BYTES: u64 = 64 << 20;
/// The start of files that PyTorch wrote before version 1.6: the number 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// A PyTorch file whose pickle has been read.
pub struct TorchFile {
    pub pickle: Pickle,
    storages: HashMap<String, Storage>,
    file: File,
    file_len: u64,
}

/// How a storage is kept in the file.
#[derive(Clone, Debug)]
enum Storage {
    /// Uncompressed, from this offset on.
    Stored(u64),
    Deflated(zip::ZipEntry),
}

/// A tensor whose bounds are within its storage.
#[derive(Clone, Debug)]
pub struct TorchTensor {
    pub shape: Vec<usize>,
    storage: StorageRef,
    element: Element,
    /// In elements.
    offset: u64,
    strides: Vec<u64>,
    /// Elements from the first to the last, including gaps.
    span: u64,
}

impl TorchTensor {
    /// The type of its numbers; `None` if they cannot be weights.
    pub fn weight_dtype(&self) -> Option<TensorDtype> {
        self.element.weight_dtype()
    }

    /// The type of its numbers, for sentences.
    pub fn dtype_name(&self) -> &'static str {
        self.element.name()
    }

    /// The type of its numbers in safetensors files, if that format has it.
    pub fn safetensors_dtype(&self) -> Option<&'static str> {
        self.element.safetensors_name()
    }

    /// Bytes per number.
    pub fn element_len(&self) -> u64 {
        self.element.len
    }

    /// Bytes of all its numbers.
    pub fn byte_len(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.element.len
    }
}

impl TorchFile {
    /// `Err` is a clause.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("it is not a regular file".into());
        }
        let file_len = metadata.len();
        let mut start = [0; 2];
        read_exact_at(&file, &mut start, 0).map_err(|error| error.to_string())?;
        let (pickle, storages) = match &start == b"PK" {
            true => open_zip(&file, file_len)?,
            false => open_legacy(&file, file_len)?,
        };
        Ok(Self { pickle, storages, file, file_len })
    }

    /// The tensor that a value stands for, if it is one; its bounds are checked.
    pub fn tensor(&self, name: &str, value: Value) -> Option<Result<TorchTensor, String>> {
        Some(self.check(self.pickle.tensor(value)?).map_err(|what| format!("{name} {what}")))
    }

    fn check(&self, tensor: &TensorRef) -> Result<TorchTensor, &'static str> {
        let &TensorRef { ref storage, element, offset, ref shape, ref strides } = tensor;
        if let StorageKey::File(key) = &storage.key
            && !self.storages.contains_key(key)
        {
            return Err("has no data in the file");
        }
        let invalid = "has an invalid shape";
        let count = shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side)).ok_or(invalid)?;
        // Strides of 0 repeat numbers, but the result must not be larger than the storage.
        let capacity = storage.capacity(element);
        if count > capacity {
            return Err("claims more numbers than its storage has");
        }
        let last = shape.iter().zip(strides).try_fold(0u64, |last, (&side, &stride)| {
            last.checked_add(side.saturating_sub(1).checked_mul(stride)?)
        });
        let span = if count == 0 { 0 } else { last.ok_or(invalid)?.saturating_add(1) };
        if offset.checked_add(span).is_none_or(|end| end > capacity) {
            return Err("extends beyond its storage");
        }
        let shape = shape.iter().map(|&side| usize::try_from(side)).collect::<Result<_, _>>();
        Ok(TorchTensor {
            shape: shape.map_err(|_| invalid)?,
            storage: storage.clone(),
            element,
            offset,
            strides: strides.clone(),
            span,
        })
    }

    /// The offset of a tensor's bytes in the file.
    pub fn offset(&self, tensor: &TorchTensor) -> u64 {
        let StorageKey::File(key) = &tensor.storage.key else { return 0 };
        match &self.storages[key] {
            Storage::Stored(start) => start + tensor.offset * tensor.element.len,
            Storage::Deflated(entry) => entry.offset(),
        }
    }

    /// A tensor's bytes in the order of its shape. `Err` is a clause.
    pub fn bytes(&self, name: &str, tensor: &TorchTensor) -> Result<TensorBytes<'_>, String> {
        let element = tensor.element.len;
        let (start, len) = (tensor.offset * element, tensor.span * element);
        let bytes = match &tensor.storage.key {
            StorageKey::Pickle(node) => {
                TensorBytes::InMemory(self.pickle.bytes(*node)[start as usize..][..len as usize].into())
            }
            StorageKey::File(key) => match &self.storages[key] {
                Storage::Stored(at) => TensorBytes::InFile { file: &self.file, start: at + start, len },
                Storage::Deflated(entry) => {
                    let mut bytes = zip::contents(&self.file, entry, self.file_len)?;
                    bytes.truncate((start + len) as usize);
                    TensorBytes::InMemory(bytes.split_off(start as usize).into())
                }
            },
        };
        if is_in_order(tensor) {
            return Ok(bytes);
        }
        let bytes = bytes.to_vec().map_err(|error| format!("{name}: {error}"))?;
        Ok(TensorBytes::InMemory(gather(&bytes, tensor).into()))
    }
}

fn open_zip(file: &File, file_len: u64) -> Result<(Pickle, HashMap<String, Storage>), String> {
    let entries = zip::directory(file, file_len)?;
    let mut pickles = entries.iter().filter(|(name, _)| name.rsplit('/').next() == Some("data.pkl"));
    let (Some((name, entry)), None) = (pickles.next(), pickles.next()) else {
        let what = "its archive does not have exactly one data.pkl, so it was not written by PyTorch";
        return Err(what.into());
    };
    if entry.len > MAX_PICKLE_BYTES {
        return Err(format!("its pickle is {} bytes long", entry.len));
    }
    let folder = name.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(order) = entries.get(&format!("{folder}byteorder")).filter(|order| order.len <= 16)
        && zip::contents(file, order, file_len)? != b"little"
    {
        return Err("its numbers are big-endian".into());
    }
    let bytes = zip::contents(file, entry, file_len)?;
    let pickle = Pickle::read(&mut bytes.as_slice())?;
    let mut storages = HashMap::new();
    for (key, storage) in storages_of(&pickle)? {
        let Some(entry) = entries.get(&format!("{folder}data/{key}")) else { continue };
        if Some(entry.len) != storage.elements.checked_mul(storage.element.len) {
            return Err(format!("storage {key} has another length than its pickle says"));
        }
        let stored = match entry.deflated {
            true => Storage::Deflated(entry.clone()),
            false => Storage::Stored(zip::data_start(file, entry, file_len)?),
        };
        storages.insert(key.to_owned(), stored);
    }
    Ok((pickle, storages))
}

fn open_legacy(file: &File, file_len: u64) -> Result<(Pickle, HashMap<String, Storage>), String> {
    let mut counted = CountingReader { bytes: BufReader::new(file).take(2 * MAX_PICKLE_BYTES), count: 0 };
    let mut magic = [0; LEGACY_MAGIC.len()];
    let truncated = |_| "it is truncated".to_owned();
    counted.read_exact(&mut magic).map_err(truncated)?;
    if magic != LEGACY_MAGIC {
        return Err("it was not written by PyTorch".into());
    }
    if Pickle::read(&mut counted)?.root != Value::Int(1001) {
        return Err("its format is of an unknown PyTorch version".into());
    }
    let system = Pickle::read(&mut counted)?;
    if system.get(system.root, "little_endian") == Some(Value::Bool(false)) {
        return Err("its numbers are big-endian".into());
    }
    let pickle = Pickle::read(&mut counted)?;
    let keys = Pickle::read(&mut counted)?;
    let mut offset = counted.count;

    let known = storages_of(&pickle)?;
    let mut storages = HashMap::new();
    for &key in keys.sequence(keys.root).ok_or("its list of storages is invalid")? {
        let key = keys.text(key).ok_or("its list of storages is invalid")?;
        let storage = known.get(key).ok_or_else(|| format!("storage {key} belongs to no tensor"))?;
        let mut elements = [0; 8];
        read_exact_at(file, &mut elements, offset).map_err(truncated)?;
        if u64::from_le_bytes(elements) != storage.elements {
            return Err(format!("storage {key} has another length than its pickle says"));
        }
        storages.insert(key.to_owned(), Storage::Stored(offset + 8));
        let len = storage.elements.checked_mul(storage.element.len);
        offset = len
            .and_then(|len| offset.checked_add(8)?.checked_add(len))
            .filter(|&end| end <= file_len)
            .ok_or_else(|| format!("it is truncated in storage {key}"))?;
    }
    Ok((pickle, storages))
}

/// The storages beside a pickle, by name.
fn storages_of(pickle: &Pickle) -> Result<BTreeMap<&str, &StorageRef>, String> {
    let mut known: BTreeMap<&str, &StorageRef> = BTreeMap::new();
    for storage in pickle.storages() {
        let StorageKey::File(key) = &storage.key else { continue };
        if let Some(other) = known.insert(key, storage)
            && other != storage
        {
            return Err(format!("storage {key} is described twice, differently"));
        }
    }
    Ok(known)
}

fn is_in_order(tensor: &TorchTensor) -> bool {
    let mut next = 1;
    tensor.shape.iter().zip(&tensor.strides).rev().all(|(&side, &stride)| {
        let fits = side == 1 || stride == next;
        next = next.saturating_mul(side as u64);
        fits
    })
}

/// Copies the numbers, which are spread by strides, in the order of the shape.
fn gather(bytes: &[u8], tensor: &TorchTensor) -> Vec<u8> {
    let element = tensor.element.len as usize;
    let count: usize = tensor.shape.iter().product();
    let mut index = vec![0; tensor.shape.len()];
    let mut gathered = Vec::with_capacity(count * element);
    for _ in 0..count {
        let at: u64 = index.iter().zip(&tensor.strides).map(|(&at, &stride)| at as u64 * stride).sum();
        gathered.extend_from_slice(&bytes[at as usize * element..][..element]);
        for (at, &side) in index.iter_mut().zip(&tensor.shape).rev() {
            *at += 1;
            if *at < side {
                break;
            }
            *at = 0;
        }
    }
    gathered
}

/// A reader that counts the bytes read.
struct CountingReader<R> {
    bytes: R,
    count: u64,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.bytes.read(buffer)?;
        self.count += len as u64;
        Ok(len)
    }
}
