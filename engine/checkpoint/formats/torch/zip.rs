//! Reads the zip archives that PyTorch writes, with limits on everything that a hostile file could inflate.
//!
//! The `zip` crate, which writes concepts, is not used here: it reads a directory of any size into memory
//! before its entries can be counted, keeps only the last of two entries with one name, and shifts offsets
//! to skip leading data.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};

use flate2::read::DeflateDecoder;

use crate::checkpoint::formats::tensor_bytes::read_exact_at;

/// A checkpoint of SD 1.x has 1,500.
const MAX_ENTRIES: u64 = 20_000;
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;
/// Weights do not compress better than this.
const MAX_RATIO: u64 = 20;

const ENTRY: u32 = 0x0403_4b50;
const DIRECTORY_ENTRY: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// An entry of an archive.
#[derive(Clone, Debug)]
pub struct ZipEntry {
    /// The offset of its local header.
    header: u64,
    stored_len: u64,
    /// Bytes when unpacked.
    pub len: u64,
    pub deflated: bool,
}

impl ZipEntry {
    /// Its offset in the file.
    pub fn offset(&self) -> u64 {
        self.header
    }
}

/// Reads the central directory. `Err` is a clause.
pub fn directory(file: &File, file_len: u64) -> Result<BTreeMap<String, ZipEntry>, String> {
    let (count, len, start) = find_directory(file, file_len)?;
    if count > MAX_ENTRIES || len > MAX_DIRECTORY_BYTES {
        return Err(format!("its archive claims {count} entries"));
    }
    if start.checked_add(len).is_none_or(|end| end > file_len) {
        return Err("its archive's directory is outside the file".into());
    }
    let bytes = read_at(file, start, len)?;
    let mut rest = bytes.as_slice();
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let (name, entry) = next_entry(&mut rest).ok_or("its archive's directory is damaged")??;
        if entry.header.checked_add(entry.stored_len).is_none_or(|end| end > file_len) {
            return Err(format!("its entry {name} is outside the file"));
        }
        if entry.len > entry.stored_len.saturating_mul(MAX_RATIO).saturating_add(64) {
            return Err(format!(
                "its entry {name} would unpack from {} to {} bytes",
                entry.stored_len, entry.len
            ));
        }
        // At worst, deflate adds five bytes to every few thousand.
        if entry.deflated && entry.stored_len > entry.len + entry.len / 8 + 64 {
            return Err(format!("its entry {name} is larger packed than unpacked"));
        }
        if !entry.deflated && entry.len != entry.stored_len {
            return Err(format!("its entry {name} has two lengths"));
        }
        if entries.insert(name.clone(), entry).is_some() {
            return Err(format!("its entry {name} occurs twice"));
        }
    }
    Ok(entries)
}

/// The offset of the bytes of a stored entry.
pub fn data_start(file: &File, entry: &ZipEntry, file_len: u64) -> Result<u64, String> {
    let header = read_at(file, entry.header, 30)?;
    if u32_at(&header, 0) != Some(ENTRY) {
        return Err("its archive's directory points to a place without an entry".into());
    }
    let names = [26, 28].map(|at| u64::from(u16_at(&header, at).unwrap_or_default()));
    let start = entry.header + 30 + names[0] + names[1];
    match start + entry.stored_len <= file_len {
        true => Ok(start),
        false => Err("it is truncated".into()),
    }
}

/// An entry's bytes, unpacked: at most `len`.
pub fn contents(file: &File, entry: &ZipEntry, file_len: u64) -> Result<Vec<u8>, String> {
    let start = data_start(file, entry, file_len)?;
    let bytes = read_at(file, start, entry.stored_len)?;
    if !entry.deflated {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    DeflateDecoder::new(bytes.as_slice())
        .take(entry.len + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| error.to_string())?;
    match unpacked.len() as u64 == entry.len {
        true => Ok(unpacked),
        false => Err("an entry in it is not as long as its archive says".into()),
    }
}

/// The number of entries, length and offset of the directory, from the record at the end of the file.
fn find_directory(file: &File, file_len: u64) -> Result<(u64, u64, u64), String> {
    let tail_len = file_len.min(22 + 65_535);
    let tail = read_at(file, file_len - tail_len, tail_len)?;
    let truncated = "it is truncated: its archive has no directory";
    let at = (0..tail.len().saturating_sub(21))
        .rev()
        .find(|&at| u32_at(&tail, at) == Some(END))
        .ok_or(truncated)?;
    let small = (
        u64::from(u16_at(&tail, at + 10).ok_or(truncated)?),
        u64::from(u32_at(&tail, at + 12).ok_or(truncated)?),
        u64::from(u32_at(&tail, at + 16).ok_or(truncated)?),
    );
    let locator = at.checked_sub(20).filter(|&at| u32_at(&tail, at) == Some(LOCATOR_64));
    let Some(locator) = locator else { return Ok(small) };
    let end_64 = u64_at(&tail, locator + 8).ok_or(truncated)?;
    if end_64.checked_add(56).is_none_or(|end| end > file_len) {
        return Err("its archive's directory is outside the file".into());
    }
    let record = read_at(file, end_64, 56)?;
    if u32_at(&record, 0) != Some(END_64) {
        return Err("its archive's directory is damaged".into());
    }
    Ok((
        u64_at(&record, 32).ok_or(truncated)?,
        u64_at(&record, 40).ok_or(truncated)?,
        u64_at(&record, 48).ok_or(truncated)?,
    ))
}

/// Reads the next entry of the directory; `None` if it is damaged.
fn next_entry(rest: &mut &[u8]) -> Option<Result<(String, ZipEntry), String>> {
    let fixed = rest.get(..46)?;
    if u32_at(fixed, 0)? != DIRECTORY_ENTRY {
        return None;
    }
    let (flags, method) = (u16_at(fixed, 8)?, u16_at(fixed, 10)?);
    let (mut stored_len, mut len) = (u64::from(u32_at(fixed, 20)?), u64::from(u32_at(fixed, 24)?));
    let mut header = u64::from(u32_at(fixed, 42)?);
    let [name_len, extra_len, comment_len] =
        [28, 30, 32].map(|at| usize::from(u16_at(fixed, at).unwrap_or(0)));
    let name = String::from_utf8_lossy(rest.get(46..46 + name_len)?).into_owned();
    let mut extra = rest.get(46 + name_len..46 + name_len + extra_len)?;
    *rest = rest.get(46 + name_len + extra_len + comment_len..)?;

    // The zip64 record has, in this order, the numbers that do not fit into 32 bits.
    while extra.len() >= 4 {
        let (tag, size) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let mut field = extra.get(4..4 + size)?;
        extra = &extra[4 + size..];
        if tag != 1 {
            continue;
        }
        for value in [&mut len, &mut stored_len, &mut header] {
            if *value == u64::from(u32::MAX) {
                *value = u64_at(field, 0)?;
                field = &field[8..];
            }
        }
    }
    let deflated = match (flags & 1, method) {
        (0, 0) => false,
        (0, 8) => true,
        (1, _) => return Some(Err(format!("its entry {name} is encrypted"))),
        _ => {
            return Some(Err(format!(
                "its entry {name} is compressed by method {method}, which PyTorch does not use"
            )));
        }
    };
    Some(Ok((name, ZipEntry { header, stored_len, len, deflated })))
}

fn read_at(file: &File, start: u64, len: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; len as usize];
    match read_exact_at(file, &mut bytes, start) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err("it is truncated".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
