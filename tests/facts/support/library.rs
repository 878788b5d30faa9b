//! Folders of models, and what a scan finds in them.

use std::fs;
use std::path::{Path, PathBuf};

use app::library::{Entry, Library, LibraryRoots, MetadataCache, scan};

use super::weight_files::{TestTensor, save_safetensors};

pub const SD1: &[&str] = &["model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.x"];

pub const SDXL: &[&str] = &["model.diffusion_model.input_blocks.0.0.weight", "conditioner.embedders.1.x"];

pub const VAE: &[&str] = &["decoder.conv_in.weight", "encoder.conv_in.weight"];

pub const CONCEPT: &[&str] = &["emb_params"];

/// Writes a file with these tensors, by which its kind is detected.
pub fn put(path: impl AsRef<Path>, names: &[&str]) -> PathBuf {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes it");
    let tensors: Vec<TestTensor> = names.iter().map(|name| TestTensor::new(name, &[4, 4, 1, 1])).collect();
    save_safetensors(path, &tensors);
    path.to_owned()
}

pub fn scan_folders(folders: &[&Path]) -> Library {
    look_with(folders, None, &mut MetadataCache::default())
}

pub fn look_with(folders: &[&Path], hub: Option<&Path>, cache: &mut MetadataCache) -> Library {
    let folders = folders.iter().map(|folder| folder.to_path_buf()).collect();
    scan(&LibraryRoots { folders, hub: hub.map(Path::to_owned) }, cache, &mut |_| true)
}

pub fn names(library: &Library) -> Vec<&str> {
    library.entries.iter().map(|entry| entry.name.as_str()).collect()
}

pub fn entry<'a>(library: &'a Library, name: &str) -> &'a Entry {
    let found = library.entries.iter().find(|entry| entry.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", names(library)))
}
