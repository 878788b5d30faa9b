//! Storages: the numbers that tensors are views of, and their element types.

use crate::checkpoint::dtype::TensorDtype;

/// The element type of a storage. Integers and booleans are not weights.
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
    /// Bytes per element.
    pub fn len(self) -> u64 {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }

    /// Its name in safetensors files.
    pub fn dtype_name(self) -> &'static str {
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

    /// The type as a weight; `None` if it cannot be one.
    pub fn weight_dtype(self) -> Option<TensorDtype> {
        match self {
            Self::F16 => Some(TensorDtype::F16),
            Self::BF16 => Some(TensorDtype::BF16),
            Self::F32 => Some(TensorDtype::F32),
            _ => None,
        }
    }
}

/// A storage as a pickle describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRef {
    pub key: String,
    pub element: Element,
    pub elements: u64,
}
