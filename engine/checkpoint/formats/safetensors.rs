//! The safetensors format: a bounded JSON header, then the bytes of the tensors.
//!
//! Tensors are read in pieces and not memory-mapped, so a file that is truncated while in use is an error
//! and not a bus fault.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::tensor_bytes::TensorBytes;
use crate::checkpoint::OpenError;
use crate::checkpoint::dtype::TensorDtype;

/// Ten times the header of any known model.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;

/// A safetensors file whose header has been read and checked.
pub struct SafetensorsFile {
    path: PathBuf,
    entries: BTreeMap<String, TensorEntry>,
    data_start: u64,
    bytes: Bytes,
}

enum Bytes {
    Embedded(&'static [u8]),
    File(File),
}

/// A tensor's type, shape and position in the file.
#[derive(Clone, Debug, Deserialize)]
pub struct TensorEntry {
    dtype: String,
    pub shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl SafetensorsFile {
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let unreadable = |error| OpenError::Unreadable(error, path.to_owned());
        let mut file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(OpenError::BadWeights("it is not a regular file".into(), path.to_owned()));
        }
        let (entries, data_start) = read_header(&mut file, metadata.len(), path)?;
        Ok(Self { path: path.to_owned(), entries, data_start, bytes: Bytes::File(file) })
    }

    pub fn embedded(mut bytes: &'static [u8], path: PathBuf) -> Result<Self, OpenError> {
        let whole = bytes;
        let (entries, data_start) = read_header(&mut bytes, whole.len() as u64, &path)?;
        Ok(Self { path, entries, data_start, bytes: Bytes::Embedded(whole) })
    }

    /// Bytes of a tensor.
    pub fn byte_len(&self, name: &str) -> u64 {
        self.entries.get(name).map_or(0, |entry| entry.data_offsets.1 - entry.data_offsets.0)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// The type of a tensor, as the file names it.
    pub fn dtype_name(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|entry| entry.dtype.as_str())
    }

    pub fn weight_dtype(&self, name: &str) -> Option<TensorDtype> {
        self.entries.get(name).and_then(TensorEntry::weight_dtype)
    }

    /// The offset of a tensor in the data, in bytes.
    pub fn offset(&self, name: &str) -> u64 {
        self.entries.get(name).map_or(0, |entry| entry.data_offsets.0)
    }

    /// A tensor's bytes and their type, if it can be a weight.
    pub fn weight(&self, name: &str) -> Result<(TensorBytes<'_>, TensorDtype), OpenError> {
        let owned = || self.path.clone();
        let entry = self.entries.get(name).ok_or_else(|| OpenError::Missing(name.into(), owned()))?;
        let weight_dtype = entry.weight_dtype().ok_or_else(|| OpenError::UnsupportedType {
            name: name.into(),
            dtype: entry.dtype.clone(),
            path: owned(),
        })?;
        let (start, end) = entry.data_offsets;
        let (start, len) = (self.data_start + start, end - start);
        let bytes = match &self.bytes {
            Bytes::Embedded(bytes) => {
                TensorBytes::InMemory(Cow::Borrowed(&bytes[start as usize..][..len as usize]))
            }
            Bytes::File(file) => TensorBytes::InFile { file, start, len },
        };
        Ok((bytes, weight_dtype))
    }
}

impl TensorEntry {
    fn weight_dtype(&self) -> Option<TensorDtype> {
        TensorDtype::named(&self.dtype)
    }

    /// Bytes that its shape takes; its own length for types that are not known.
    fn expected_len(&self) -> Option<u64> {
        let element_len = match self.dtype.as_str() {
            "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => 1,
            "I16" | "U16" | "F16" | "BF16" => 2,
            "I32" | "U32" | "F32" => 4,
            "I64" | "U64" | "F64" | "C64" => 8,
            _ => return self.data_offsets.1.checked_sub(self.data_offsets.0),
        };
        self.shape.iter().try_fold(element_len, |len: u64, &side| len.checked_mul(side as u64))
    }
}

/// Reads and checks the header: the tensors must follow one another to the last byte of the file.
fn read_header(
    file: &mut dyn Read,
    file_len: u64,
    path: &Path,
) -> Result<(BTreeMap<String, TensorEntry>, u64), OpenError> {
    let damaged = |what: String| OpenError::BadWeights(what, path.to_owned());
    let unreadable = |error| OpenError::Unreadable(error, path.to_owned());
    if file_len < 8 {
        return Err(damaged(format!("it is {file_len} bytes long")));
    }
    let mut len = [0; 8];
    file.read_exact(&mut len).map_err(unreadable)?;
    let len = u64::from_le_bytes(len);
    if len > MAX_HEADER_BYTES || len > file_len - 8 {
        return Err(damaged(format!("its header claims {len} bytes")));
    }
    let mut json = vec![0; len as usize];
    file.read_exact(&mut json).map_err(unreadable)?;
    let Header(entries) = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;

    let mut sorted: Vec<_> = entries.iter().map(|(name, entry)| (entry.data_offsets, name, entry)).collect();
    sorted.sort_unstable_by_key(|(offsets, ..)| *offsets);
    let mut offset = 0;
    for ((start, end), name, entry) in sorted {
        let len = entry.expected_len();
        if start != offset || len.is_none_or(|len| start.checked_add(len) != Some(end)) {
            return Err(damaged(format!("the bytes of {name} do not match its shape")));
        }
        offset = end;
    }
    if offset != file_len - 8 - len {
        return Err(damaged(format!(
            "it is {file_len} bytes long, but its header says {}",
            offset + 8 + len
        )));
    }
    Ok((entries, 8 + len))
}

/// The JSON object of the header, which must not have a key twice.
struct Header(BTreeMap<String, TensorEntry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a safetensors header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<serde::de::IgnoredAny>()?;
                        continue;
                    }
                    match entries.entry(name) {
                        Entry::Vacant(vacant) => {
                            vacant.insert(map.next_value()?);
                        }
                        Entry::Occupied(occupied) => {
                            return Err(serde::de::Error::custom(format!("{} occurs twice", occupied.key())));
                        }
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
