//! The two formats of weight files: safetensors and PyTorch's pickles.

pub(crate) mod safetensors;
pub(crate) mod tensor_bytes;
pub(crate) mod torch;
