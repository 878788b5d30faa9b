//! The element types of weights, and their conversion to f32.

use half::prelude::*;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The element type of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TensorDtype {
    F16,
    BF16,
    F32,
    F64,
    /// Three bits of mantissa, no infinity: `float8_e4m3fn`.
    F8E4M3,
    /// Two bits of mantissa: `float8_e5m2`.
    F8E5M2,
}

impl TensorDtype {
    pub const ALL: [Self; 6] = [Self::F16, Self::BF16, Self::F32, Self::F64, Self::F8E4M3, Self::F8E5M2];

    /// Its name in safetensors files.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
        }
    }

    /// The type with this name in safetensors files, if it can be a weight's.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// A short name for lists, such as "f16".
    pub fn label(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::F8E4M3 | Self::F8E5M2 => "f8",
        }
    }

    /// Bytes per number.
    pub(super) fn len(self) -> usize {
        match self {
            Self::F8E4M3 | Self::F8E5M2 => 1,
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Converts little-endian numbers to f32.
pub(super) fn to_f32(bytes: &[u8], dtype: TensorDtype) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / dtype.len()];
    widen(bytes, dtype, &mut values);
    values
}

/// Converts little-endian numbers to f32, into `values`.
pub(super) fn widen(bytes: &[u8], dtype: TensorDtype, values: &mut [f32]) {
    /// Small enough to stay in the first-level cache.
    const PIECE: usize = 2048;
    match dtype {
        TensorDtype::F32 => {
            let words = bytes.as_chunks().0.iter();
            values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from_le_bytes(*word));
        }
        TensorDtype::F64 => {
            let words = bytes.as_chunks().0.iter();
            values.iter_mut().zip(words).for_each(|(value, word)| *value = f64::from_le_bytes(*word) as f32);
        }
        TensorDtype::F8E4M3 | TensorDtype::F8E5M2 => {
            values.iter_mut().zip(bytes).for_each(|(value, byte)| *value = widen_byte(*byte, dtype));
        }
        TensorDtype::F16 | TensorDtype::BF16 => {
            let mut piece = [0; PIECE];
            for (values, bytes) in values.chunks_mut(PIECE).zip(bytes.chunks(2 * PIECE)) {
                let halves = &mut piece[..values.len()];
                let pairs = bytes.as_chunks().0;
                halves.iter_mut().zip(pairs).for_each(|(half, pair)| *half = u16::from_le_bytes(*pair));
                widen_halves(halves, dtype, values);
            }
        }
    }
}

/// Converts 16-bit numbers, given as their bits, to f32.
pub(super) fn widen_halves(halves: &[u16], dtype: TensorDtype, values: &mut [f32]) {
    match dtype {
        TensorDtype::BF16 => halves.reinterpret_cast::<bf16>().convert_to_f32_slice(values),
        _ => halves.reinterpret_cast::<f16>().convert_to_f32_slice(values),
    }
}

/// Converts an 8-bit number to f32 (Micikevicius et al., 2022).
fn widen_byte(byte: u8, dtype: TensorDtype) -> f32 {
    let bits = u16::from(byte);
    match dtype {
        TensorDtype::F8E4M3 if byte & 0x7f == 0x7f => f32::NAN,
        // In the places of an f16, whose bias of the exponent is 15 in place of 7.
        TensorDtype::F8E4M3 => f16::from_bits((bits & 0x80) << 8 | (bits & 0x7f) << 7).to_f32() * 256.0,
        // The upper half of an f16.
        _ => f16::from_bits(bits << 8).to_f32(),
    }
}
