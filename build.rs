//! Stamps version and commit, and refuses to build a program without its model.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Files without which the built-in model does not open.
const DEMO: [&str; 13] = [
    "concepts/cyanotype/learned_embeds.bin",
    "concepts/raccoon/learned_embeds.bin",
    "image_encoder/config.json",
    "image_encoder/model.safetensors",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for file in DEMO {
        check(&Path::new("assets/demo").join(file));
    }
    println!("cargo:rustc-env=TIDEPOOL_VERSION={}", version());
    windows_icon();
}

/// A file that is there and, for weights, as long as its header says at least.
fn check(file: &Path) {
    println!("cargo:rerun-if-changed={}", file.display());
    let bytes = fs::read(file)
        .unwrap_or_else(|error| panic!("the built-in model is not whole: {error}: {}", file.display()));
    let is_weights = file.extension().is_some_and(|extension| extension == "safetensors");
    let header_len = bytes.first_chunk().map_or(u64::MAX, |len| u64::from_le_bytes(*len));
    assert!(
        !bytes.is_empty() && (!is_weights || header_len < bytes.len() as u64),
        "the built-in model is not whole: cut short, or a pointer to large-file storage: {}",
        file.display()
    );
}

/// "0.1.0 (1a2b3c4d5e)", or without the commit where there is no git.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    // Changes with every commit; a path that does not exist would mean building afresh every time.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    match git(&["rev-parse", "--short=10", "HEAD"]) {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// By the target and not the host, so that a program that is built on Linux has its icon too.
fn windows_icon() {
    let icon = "assets/icon/tidepool.ico";
    println!("cargo:rerun-if-changed={icon}");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "windows")
        && let Err(error) = winresource::WindowsResource::new().set_icon(icon).compile()
    {
        println!("cargo:warning=the program has no icon: {error}");
    }
}
