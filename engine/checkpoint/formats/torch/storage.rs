//! The numbers that tensors share, and how they lie in a file.

use crate::checkpoint::dtype::TensorDtype;

/// What a storage is made of. Whole numbers and truths are no weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    F16,
    BF16,
    F32,
    F64,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Element {
    /// Bytes of one.
    pub fn len(self) -> u64 {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// The name that safetensors files have for it.
    pub fn dtype(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
        }
    }

    /// The kind of a weight; `None` for what is no weight.
    pub fn kind(self) -> Option<TensorDtype> {
        match self {
            Self::F16 => Some(TensorDtype::F16),
            Self::BF16 => Some(TensorDtype::BF16),
            Self::F32 => Some(TensorDtype::F32),
            _ => None,
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
