//! The bytes of a tensor, in a file or in memory, readable in parts.

use std::borrow::Cow;
use std::fs::File;
use std::io;

/// The bytes of a tensor, in order.
pub enum TensorBytes<'a> {
    /// In a file, starting at `start`.
    InFile {
        file: &'a File,
        start: u64,
        len: u64,
    },
    InMemory(Cow<'a, [u8]>),
}

impl TensorBytes<'_> {
    pub fn len(&self) -> u64 {
        match self {
            Self::InFile { len, .. } => *len,
            Self::InMemory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `buffer` with the bytes from `offset` on, which must exist.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::InFile { file, start, .. } => read_exact_at(file, buffer, start + offset),
            Self::InMemory(bytes) => {
                buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
                Ok(())
            }
        }
    }

    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len() as usize];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// Fills `buffer` from an offset in a file; several threads may read from one file at once.
#[cfg(unix)]
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` from an offset in a file; several threads may read from one file at once.
#[cfg(windows)]
pub fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                buffer = &mut buffer[len..];
                offset += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
