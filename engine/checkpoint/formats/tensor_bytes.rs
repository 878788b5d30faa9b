//! Where the bytes of a tensor are, and how any part of them is read.

use std::borrow::Cow;
use std::fs::File;
use std::io;

/// The bytes of a tensor, in order.
pub enum TensorBytes<'a> {
    /// In a file, from `start` on.
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

    /// Fills `buffer` with what comes from byte `at` on, which must be there.
    pub fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::InFile { file, start, .. } => read_exact_at(file, buffer, start + at),
            Self::InMemory(bytes) => {
                buffer.copy_from_slice(&bytes[at as usize..][..buffer.len()]);
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

/// Fills `buffer` from a place in a file, so that many threads may read from one at once.
#[cfg(unix)]
pub fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

/// Fills `buffer` from a place in a file, so that many threads may read from one at once.
#[cfg(windows)]
pub fn read_exact_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                buffer = &mut buffer[len..];
                at += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
