//! The element types that weights come in, and their numbers as f32.

use half::prelude::*;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The element types that weights come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TensorKind {
    F16,
    BF16,
    F32,
}

/// Little-endian numbers as f32.
pub(super) fn to_f32(bytes: &[u8], kind: TensorKind) -> Vec<f32> {
    let halves =
        || -> Vec<u16> { bytes.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect() };
    let mut values = vec![0.0; bytes.len() / if kind == TensorKind::F32 { 4 } else { 2 }];
    match kind {
        TensorKind::F16 => halves().reinterpret_cast::<f16>().convert_to_f32_slice(&mut values),
        TensorKind::BF16 => halves().reinterpret_cast::<bf16>().convert_to_f32_slice(&mut values),
        TensorKind::F32 => {
            let words = bytes.as_chunks().0.iter();
            values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from_le_bytes(*word));
        }
    }
    values
}
