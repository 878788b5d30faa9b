//! The built-in model's files and CLIP's vocabulary, inside the program.

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        /// Names within the folder, and contents.
        pub(super) const FILES: &[(&str, &[u8])] =
            &[$(($name, include_bytes!(concat!("../../assets/demo/", $name)))),*];
    };
}

embedded!(
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

/// What a one-file checkpoint of SD 1.x does not bring.
pub(super) const CLIP: &[(&str, &[u8])] = &[
    ("tokenizer/merges.txt", include_bytes!("../../assets/clip/merges.txt")),
    ("tokenizer/vocab.json", include_bytes!("../../assets/clip/vocab.json")),
];
