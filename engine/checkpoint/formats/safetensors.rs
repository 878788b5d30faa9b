//! Weight files in safetensors format: a bounded JSON header, then bytes.
//!
//! Tensors are read from their place by pieces, so a file that shrinks under us is an error and not a
//! bus fault.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as BTreeEntry;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::tensor_bytes::TensorBytes;
use crate::checkpoint::OpenError;
use crate::checkpoint::dtype::TensorDtype;

/// No known model has a header of a tenth of this.
pub const MAX_HEADER: u64 = 16 << 20;

/// A safetensors file whose header has been read and checked.
pub struct SafetensorsFile {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    data_start: u64,
    bytes: Bytes,
}

enum Bytes {
    Embedded(&'static [u8]),
    File(File),
}

/// A tensor's place in the file.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
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
            return Err(OpenError::BadWeights("it is no regular file".into(), path.to_owned()));
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

    pub fn kind(&self, name: &str) -> Option<TensorDtype> {
        self.entries.get(name).and_then(Entry::kind)
    }

    /// Where a tensor begins, in bytes.
    pub fn place(&self, name: &str) -> u64 {
        self.entries.get(name).map_or(0, |entry| entry.data_offsets.0)
    }

    /// A tensor's bytes, and what its numbers are, if they can be weights.
    pub fn weight(&self, name: &str) -> Result<(TensorBytes<'_>, TensorDtype), OpenError> {
        let owned = || self.path.clone();
        let entry = self.entries.get(name).ok_or_else(|| OpenError::Missing(name.into(), owned()))?;
        let kind = entry.kind().ok_or_else(|| {
            let what = format!("{name} is of type {}, not F16, BF16 or F32", entry.dtype);
            OpenError::BadWeights(what, owned())
        })?;
        let (start, end) = entry.data_offsets;
        let (start, len) = (self.data_start + start, end - start);
        let bytes = match &self.bytes {
            Bytes::Embedded(bytes) => {
                TensorBytes::InMemory(Cow::Borrowed(&bytes[start as usize..][..len as usize]))
            }
            Bytes::File(file) => TensorBytes::InFile { file, start, len },
        };
        Ok((bytes, kind))
    }
}

impl Entry {
    fn kind(&self) -> Option<TensorDtype> {
        match self.dtype.as_str() {
            "F16" => Some(TensorDtype::F16),
            "BF16" => Some(TensorDtype::BF16),
            "F32" => Some(TensorDtype::F32),
            _ => None,
        }
    }

    /// Bytes an element takes in the file, for every type that the format knows.
    fn element_len(&self) -> Option<u64> {
        Some(match self.dtype.as_str() {
            "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => 1,
            "I16" | "U16" | "F16" | "BF16" => 2,
            "I32" | "U32" | "F32" => 4,
            "I64" | "U64" | "F64" => 8,
            _ => return None,
        })
    }
}

/// Reads and checks the header: every tensor where it should be, back to back, to the last byte.
fn read_header(
    file: &mut dyn Read,
    file_len: u64,
    path: &Path,
) -> Result<(BTreeMap<String, Entry>, u64), OpenError> {
    let damaged = |what: String| OpenError::BadWeights(what, path.to_owned());
    let unreadable = |error| OpenError::Unreadable(error, path.to_owned());
    if file_len < 8 {
        return Err(damaged(format!("it is {file_len} bytes long")));
    }
    let mut len = [0; 8];
    file.read_exact(&mut len).map_err(unreadable)?;
    let len = u64::from_le_bytes(len);
    if len > MAX_HEADER || len > file_len - 8 {
        return Err(damaged(format!("its header claims {len} bytes")));
    }
    let mut json = vec![0; len as usize];
    file.read_exact(&mut json).map_err(unreadable)?;
    let Header(entries) = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;

    let mut places: Vec<_> = entries.iter().map(|(name, entry)| (entry.data_offsets, name, entry)).collect();
    places.sort_unstable_by_key(|(offsets, ..)| *offsets);
    let mut at = 0;
    for ((start, end), name, entry) in places {
        let element_len =
            entry.element_len().ok_or_else(|| damaged(format!("{name} is of type {}", entry.dtype)))?;
        let len = entry.shape.iter().try_fold(element_len, |len, &side| len.checked_mul(side as u64));
        if start != at || len.is_none_or(|len| start.checked_add(len) != Some(end)) {
            return Err(damaged(format!("{name} is not where its shape puts it")));
        }
        at = end;
    }
    if at != file_len - 8 - len {
        return Err(damaged(format!("it is {file_len} bytes long where its header says {}", at + 8 + len)));
    }
    Ok((entries, 8 + len))
}

/// The header's object, refusing a name that comes twice.
struct Header(BTreeMap<String, Entry>);

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
                        BTreeEntry::Vacant(place) => {
                            place.insert(map.next_value()?);
                        }
                        BTreeEntry::Occupied(taken) => {
                            return Err(serde::de::Error::custom(format!("{} comes twice", taken.key())));
                        }
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
