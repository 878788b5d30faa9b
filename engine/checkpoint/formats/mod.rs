//! The two kinds of weight files, as bytes: safetensors and PyTorch's pickles.

pub(crate) mod safetensors;
pub(crate) mod tensor_bytes;
pub(crate) mod torch;
