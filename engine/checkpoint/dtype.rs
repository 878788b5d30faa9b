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
}

impl TensorDtype {
    /// Bytes per number.
    pub(super) fn len(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
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
    if dtype == TensorDtype::F32 {
        let words = bytes.as_chunks().0.iter();
        values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from_le_bytes(*word));
        return;
    }
    let mut piece = [0; PIECE];
    for (values, bytes) in values.chunks_mut(PIECE).zip(bytes.chunks(2 * PIECE)) {
        let halves = &mut piece[..values.len()];
        halves.iter_mut().zip(bytes.as_chunks().0).for_each(|(half, pair)| *half = u16::from_le_bytes(*pair));
        widen_halves(halves, dtype, values);
    }
}

/// Converts 16-bit numbers, given as their bits, to f32.
pub(super) fn widen_halves(halves: &[u16], dtype: TensorDtype, values: &mut [f32]) {
    match dtype {
        TensorDtype::BF16 => halves.reinterpret_cast::<bf16>().convert_to_f32_slice(values),
        _ => halves.reinterpret_cast::<f16>().convert_to_f32_slice(values),
    }
}
