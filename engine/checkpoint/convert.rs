//! A pickle as a safetensors file beside it: the same tensors, in a form that cannot hold code.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::OpenError;
use super::formats::safetensors::MAX_HEADER;
use super::formats::torch::{Tensor, TorchFile};
use super::weight_file::WeightFile;
use crate::files::SaveError;
use crate::files::{IfExists, write_atomically};

/// The name that programs give to a concept that is a tensor and nothing else.
const NAME_OF_BARE: &str = "emb_params";
/// Bytes copied at a time.
const PIECE: u64 = 4 << 20;

/// Why a file was not converted: what, why, what to do, the path last.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("This is no pickle, so there is nothing to convert. It can be used as it is: {0}")]
    NoPickle(PathBuf),
    #[error("It holds no tensors, so there is nothing to convert. Get it again: {0}")]
    Empty(PathBuf),
    #[error(
        "There already is a file of the name that the converted one would have, and it was left alone. Move it away, or use it: {0}"
    )]
    Exists(PathBuf),
    #[error(
        "The converted file could not be written ({0}). It takes as much room as the pickle; make room or allow writing there: {1}"
    )]
    Write(io::Error, PathBuf),
    #[error("Converting was stopped, and nothing was left behind")]
    Stopped,
}

/// A tensor in the header of a safetensors file.
#[derive(Serialize)]
struct Entry<'a> {
    dtype: &'static str,
    shape: &'a [usize],
    data_offsets: (u64, u64),
}

/// Writes the tensors of a pickle into `NAME.safetensors` beside it, names, types and numbers as they
/// are, and says where. It has its name only once it is whole, and no file is ever written over.
///
/// `progress` is told the fraction written, and answers whether to go on.
pub fn convert(path: &Path, progress: &mut dyn FnMut(f32) -> bool) -> Result<PathBuf, ConvertError> {
    let target = path.with_extension("safetensors");
    let source = WeightFile::open(path)?;
    let Some((file, tensors)) = source.torch() else {
        return Err(ConvertError::NoPickle(path.to_owned()));
    };
    if tensors.is_empty() {
        return Err(ConvertError::Empty(path.to_owned()));
    }
    if target.exists() {
        return Err(ConvertError::Exists(target));
    }
    let damaged = |what: String| OpenError::BadWeights(what, path.to_owned());

    // The widest first, so that each lies where its type may.
    let mut order: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, it)| (name.as_str(), it)).collect();
    order.sort_by_key(|(_, tensor)| (Reverse(tensor.element_len()), file.place(tensor)));
    let header = header_of(&order).map_err(damaged)?;
    let total: u64 = order.iter().map(|(_, tensor)| tensor.byte_len()).sum();

    let mut unreadable = None;
    let mut tell = |written: u64| progress((written as f64 / total.max(1) as f64) as f32);
    let saved = write_atomically(&target, IfExists::Refuse, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        let copied = copy_all(file, &order, out, &mut tell);
        copied.map_err(|trouble| match trouble {
            Trouble::Write(error) => error,
            other => {
                unreadable = Some(other);
                io::ErrorKind::Other.into()
            }
        })
    });
    match (saved, unreadable) {
        (Ok(()), _) => Ok(target),
        (_, Some(Trouble::Read(what))) => Err(damaged(what).into()),
        (_, Some(_)) => Err(ConvertError::Stopped),
        (Err(SaveError::Exists { .. } | SaveError::NotAFile { .. }), _) => Err(ConvertError::Exists(target)),
        (Err(SaveError::Write { source, .. } | SaveError::Folder { source, .. }), _) => {
            Err(ConvertError::Write(source, target))
        }
        (Err(other), _) => Err(ConvertError::Write(io::Error::other(other), target)),
    }
}

/// The header, a multiple of eight bytes long.
fn header_of(order: &[(&str, &Tensor)]) -> Result<Vec<u8>, String> {
    let mut entries = BTreeMap::new();
    let mut at = 0;
    for &(name, tensor) in order {
        let name = if name.is_empty() && order.len() == 1 { NAME_OF_BARE } else { name };
        let (dtype, end) = (tensor.dtype(), at + tensor.byte_len());
        let entry = Entry { dtype, shape: &tensor.shape, data_offsets: (at, end) };
        entries.insert(name, json!(entry));
        at = end;
    }
    // What PyTorch's own programs put there, and some ask for.
    if entries.insert("__metadata__", json!({ "format": "pt" })).is_some() {
        return Err("it has a tensor of the name __metadata__, which safetensors does not allow".into());
    }
    let mut header = serde_json::to_vec(&entries).map_err(|error| error.to_string())?;
    header.resize(header.len().next_multiple_of(8), b' ');
    match header.len() as u64 <= MAX_HEADER {
        true => Ok(header),
        false => Err("its tensors have more names than a safetensors file may hold".into()),
    }
}

enum Trouble {
    /// Half a sentence.
    Read(String),
    Write(io::Error),
    Stopped,
}

fn copy_all(
    file: &TorchFile,
    order: &[(&str, &Tensor)],
    out: &mut dyn Write,
    tell: &mut dyn FnMut(u64) -> bool,
) -> Result<(), Trouble> {
    let mut piece = Vec::new();
    let mut written = 0;
    for (name, tensor) in order {
        let bytes = file.bytes(name, tensor).map_err(Trouble::Read)?;
        let mut at = 0;
        while at < bytes.len() {
            piece.resize(PIECE.min(bytes.len() - at) as usize, 0);
            bytes.read_at(at, &mut piece).map_err(|error| Trouble::Read(format!("{name}: {error}")))?;
            out.write_all(&piece).map_err(Trouble::Write)?;
            at += piece.len() as u64;
            written += piece.len() as u64;
            if !tell(written) {
                return Err(Trouble::Stopped);
            }
        }
    }
    Ok(())
}
