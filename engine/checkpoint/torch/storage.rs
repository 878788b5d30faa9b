//! The numbers that tensors share, and how they lie in a file.

use super::super::numbers::TensorKind;

/// What a storage is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    F16,
    BF16,
    F32,
    F64,
    /// Whole numbers and truths, which are no weights.
    Other {
        bytes: u64,
    },
}

impl Element {
    pub fn len(self) -> u64 {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Other { bytes } => bytes,
        }
    }

    /// The kind of a weight; `None` for what is no weight.
    pub fn kind(self) -> Option<TensorKind> {
        match self {
            Self::F16 => Some(TensorKind::F16),
            Self::BF16 => Some(TensorKind::BF16),
            Self::F32 => Some(TensorKind::F32),
            Self::F64 | Self::Other { .. } => None,
        }
    }
}

/// A storage as a pickle names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRef {
    pub key: String,
    pub element: Element,
    pub elements: u64,
}
