//! Converts a pickle into a safetensors file: the same tensors in a format that cannot contain code.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::OpenError;
use super::formats::safetensors::MAX_HEADER_BYTES;
use super::formats::torch::{TorchFile, TorchTensor};
use super::weight_file::WeightFile;
use crate::files::{IfExists, SaveError, check_name, file_name, write_atomically};

/// The key that programs use for a concept that is a single tensor.
const BARE_TENSOR_NAME: &str = "emb_params";
/// Bytes copied at a time.
const PIECE_BYTES: u64 = 4 << 20;

/// Why a file was not converted: what, why, what to do, path last.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("This is not a pickle, so there is nothing to convert. It can be used as it is: {0}")]
    NotAPickle(PathBuf),
    #[error(
        "The tensor {name} is of type {dtype}, which safetensors files cannot hold. Use the pickle as it is: {path}"
    )]
    UnsupportedType { name: String, dtype: &'static str, path: PathBuf },
    #[error("The file has no tensors, so there is nothing to convert. Download it again: {0}")]
    Empty(PathBuf),
    #[error(
        "A file with the name of the converted one exists already and was left unchanged. Move it, or use it: {0}"
    )]
    Exists(PathBuf),
    #[error(
        "The converted file could not be written ({0}). It takes as much space as the pickle: free some space or allow writing there: {1}"
    )]
    Write(io::Error, PathBuf),
    #[error("The conversion was stopped. Nothing was written")]
    Stopped,
}

/// A tensor in the header of a safetensors file.
#[derive(Serialize)]
struct HeaderEntry<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: (u64, u64),
}

/// Writes the tensors of a pickle to `NAME.safetensors` in the same folder, with unchanged keys, types and
/// numbers, and returns its path. The file is written atomically, and no file is ever overwritten.
///
/// `progress` is called with the fraction written and returns whether to continue.
pub fn convert(path: &Path, progress: &mut dyn FnMut(f32) -> bool) -> Result<PathBuf, ConvertError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let target = match path.with_extension("safetensors") {
        // A shorter ending fitted, and this one does not.
        long if check_name(&long).is_err() => path.with_file_name(file_name(&stem, ".safetensors")),
        target => target,
    };
    let source = WeightFile::open(path)?;
    let Some((file, tensors)) = source.torch() else {
        return Err(ConvertError::NotAPickle(path.to_owned()));
    };
    if tensors.is_empty() {
        return Err(ConvertError::Empty(path.to_owned()));
    }
    if target.exists() {
        return Err(ConvertError::Exists(target));
    }
    let damaged = |what: String| OpenError::BadWeights(what, path.to_owned());

    // The widest types first, so that every tensor is aligned.
    let mut order: Vec<(&str, &TorchTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    order.sort_by_key(|(_, tensor)| (Reverse(tensor.element_len()), file.offset(tensor)));
    for (name, tensor) in &order {
        if tensor.safetensors_dtype().is_none() {
            let (name, dtype) = ((*name).to_owned(), tensor.dtype_name());
            return Err(ConvertError::UnsupportedType { name, dtype, path: path.to_owned() });
        }
    }
    let header = header_of(&order).map_err(damaged)?;
    let total: u64 = order.iter().map(|(_, tensor)| tensor.byte_len()).sum();

    let mut unreadable = None;
    let mut report = |written: u64| progress((written as f64 / total.max(1) as f64) as f32);
    let saved = write_atomically(&target, IfExists::Refuse, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        let copied = copy_all(file, &order, out, &mut report);
        copied.map_err(|error| match error {
            CopyError::Write(error) => error,
            other => {
                unreadable = Some(other);
                io::ErrorKind::Other.into()
            }
        })
    });
    match (saved, unreadable) {
        (Ok(()), _) => Ok(target),
        (_, Some(CopyError::Read(what))) => Err(damaged(what).into()),
        (_, Some(_)) => Err(ConvertError::Stopped),
        (Err(SaveError::Exists { .. } | SaveError::NotAFile { .. }), _) => Err(ConvertError::Exists(target)),
        (Err(SaveError::Write { source, .. } | SaveError::Folder { source, .. }), _) => {
            Err(ConvertError::Write(source, target))
        }
        (Err(other), _) => Err(ConvertError::Write(io::Error::other(other), target)),
    }
}

/// The header, padded to a multiple of eight bytes.
fn header_of(order: &[(&str, &TorchTensor)]) -> Result<Vec<u8>, String> {
    let mut entries = BTreeMap::new();
    let mut offset = 0;
    for &(name, tensor) in order {
        let name = if name.is_empty() && order.len() == 1 { BARE_TENSOR_NAME } else { name };
        let dtype = tensor.safetensors_dtype().expect("the caller checked the types");
        let end = offset + tensor.byte_len();
        let entry = HeaderEntry { dtype, shape: &tensor.shape, data_offsets: (offset, end) };
        entries.insert(name, json!(entry));
        offset = end;
    }
    // PyTorch programs write this, and some require it.
    if entries.insert("__metadata__", json!({ "format": "pt" })).is_some() {
        return Err("it has a tensor named __metadata__, which safetensors does not allow".into());
    }
    let mut header = serde_json::to_vec(&entries).map_err(|error| error.to_string())?;
    header.resize(header.len().next_multiple_of(8), b' ');
    match header.len() as u64 <= MAX_HEADER_BYTES {
        true => Ok(header),
        false => Err("its tensors need a larger header than a safetensors file may have".into()),
    }
}

enum CopyError {
    /// A clause.
    Read(String),
    Write(io::Error),
    Stopped,
}

fn copy_all(
    file: &TorchFile,
    order: &[(&str, &TorchTensor)],
    out: &mut dyn Write,
    report: &mut dyn FnMut(u64) -> bool,
) -> Result<(), CopyError> {
    let mut piece = Vec::new();
    let mut written = 0;
    for (name, tensor) in order {
        let bytes = file.bytes(name, tensor).map_err(CopyError::Read)?;
        let mut offset = 0;
        while offset < bytes.len() {
            piece.resize(PIECE_BYTES.min(bytes.len() - offset) as usize, 0);
            bytes.read_at(offset, &mut piece).map_err(|error| CopyError::Read(format!("{name}: {error}")))?;
            out.write_all(&piece).map_err(CopyError::Write)?;
            offset += piece.len() as u64;
            written += piece.len() as u64;
            if !report(written) {
                return Err(CopyError::Stopped);
            }
        }
    }
    Ok(())
}
