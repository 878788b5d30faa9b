//! Storages: the numbers that tensors are views of, and their element types.

use crate::checkpoint::dtype::TensorDtype;

/// An element type, by its names. A name that does not exist is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// The class of its storages in module `torch`.
    class: &'static str,
    /// Its name in module `torch`.
    dtype: &'static str,
    /// Its code in numpy.
    numpy: &'static str,
    /// Its name in safetensors files.
    safetensors: &'static str,
    /// Bytes per element.
    pub len: u64,
}

impl Element {
    const fn new(
        class: &'static str,
        dtype: &'static str,
        numpy: &'static str,
        safetensors: &'static str,
        len: u64,
    ) -> Self {
        Self { class, dtype, numpy, safetensors, len }
    }

    /// The element type of storages without a type: bytes.
    pub const BYTE: Self = Self::new("ByteStorage", "uint8", "u1", "U8", 1);

    /// The types that PyTorch writes.
    const ALL: [Self; 25] = [
        Self::new("FloatStorage", "float32", "f4", "F32", 4),
        Self::new("HalfStorage", "float16", "f2", "F16", 2),
        Self::new("BFloat16Storage", "bfloat16", "", "BF16", 2),
        Self::new("DoubleStorage", "float64", "f8", "F64", 8),
        Self::new("LongStorage", "int64", "i8", "I64", 8),
        Self::new("IntStorage", "int32", "i4", "I32", 4),
        Self::new("ShortStorage", "int16", "i2", "I16", 2),
        Self::new("CharStorage", "int8", "i1", "I8", 1),
        Self::BYTE,
        Self::new("BoolStorage", "bool", "b1", "BOOL", 1),
        Self::new("ComplexFloatStorage", "complex64", "c8", "C64", 8),
        Self::new("ComplexDoubleStorage", "complex128", "c16", "", 16),
        Self::new("QInt8Storage", "qint8", "", "", 1),
        Self::new("QUInt8Storage", "quint8", "", "", 1),
        Self::new("QInt32Storage", "qint32", "", "", 4),
        Self::new("", "float8_e4m3fn", "", "F8_E4M3", 1),
        Self::new("", "float8_e5m2", "", "F8_E5M2", 1),
        Self::new("", "float8_e4m3fnuz", "", "F8_E4M3FNUZ", 1),
        Self::new("", "float8_e5m2fnuz", "", "F8_E5M2FNUZ", 1),
        Self::new("", "float8_e8m0fnu", "", "F8_E8M0", 1),
        Self::new("", "float4_e2m1fn_x2", "", "", 1),
        Self::new("", "uint16", "u2", "U16", 2),
        Self::new("", "uint32", "u4", "U32", 4),
        Self::new("", "uint64", "u8", "U64", 8),
        Self::new("", "complex32", "", "", 4),
    ];

    pub fn of_class(class: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|element| !class.is_empty() && element.class == class)
    }

    pub fn of_dtype(dtype: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.dtype == dtype)
    }

    pub fn of_numpy(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|element| !code.is_empty() && element.numpy == code)
    }

    /// Its name in safetensors files, if that format has the type.
    pub fn safetensors_name(self) -> Option<&'static str> {
        (!self.safetensors.is_empty()).then_some(self.safetensors)
    }

    /// Its name in safetensors files, or else in PyTorch, for sentences.
    pub fn name(self) -> &'static str {
        self.safetensors_name().unwrap_or(self.dtype)
    }

    /// The type as a weight; `None` if it cannot be one.
    pub fn weight_dtype(self) -> Option<TensorDtype> {
        TensorDtype::named(self.safetensors)
    }
}

/// A storage as a pickle describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRef {
    pub key: StorageKey,
    pub element: Element,
    pub elements: u64,
}

impl StorageRef {
    /// How many elements of another type fit into it.
    pub fn capacity(&self, element: Element) -> u64 {
        self.elements.saturating_mul(self.element.len) / element.len
    }
}

/// Where the numbers of a storage are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageKey {
    /// Beside the pickle, under this name.
    File(String),
    /// In the pickle: a node with bytes.
    Pickle(usize),
}
