//! The files of the built-in model and the vocabulary of CLIP, inside the program.

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        /// Paths in the model folder, and contents.
        pub(super) const FILES: &[(&str, &[u8])] =
            &[$(($name, include_bytes!(concat!("../../assets/demo/", $name)))),*];
    };
}

embedded!(
    "image_encoder/config.json",
    "image_encoder/model.safetensors",
    "image_encoder/preprocessor_config.json",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
);

/// The tokenizer files, which one-file checkpoints lack.
pub(super) const CLIP: &[(&str, &[u8])] = &[
    ("tokenizer/merges.txt", include_bytes!("../../assets/clip/merges.txt")),
    ("tokenizer/vocab.json", include_bytes!("../../assets/clip/vocab.json")),
];
