//! ComfyUI's `extra_model_paths.yaml`: the model folders of other programs, in sections.
//!
//! A section has a `base_path` and, for each kind of model, one folder per line. As in ComfyUI's
//! `utils/extra_config.py`, `~` and variables are expanded in `base_path` only; relative folders are below
//! it, or below the file's own folder if there is none.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine::files::visit_scalars;

use super::layout::Role;

/// Much more than such a file needs.
const MAX_BYTES: u64 = 1 << 20;
/// More than anyone has. Each may repeat a long base path.
const MAX_FOLDERS: usize = 256;

/// The folders it lists for models and concepts. The error is a sentence with the path.
pub fn read(file: &Path) -> Result<Vec<(PathBuf, Role)>, String> {
    let refused = |cause: String| {
        format!("The file of model paths is invalid ({cause}): correct or delete it: {}", file.display())
    };
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(|error| refused(error.to_string()))?;
    // Section, key and text of everything two levels deep.
    let mut settings = Vec::new();
    visit_scalars(&text, &mut |keys, text| {
        if let [section, key] = keys {
            settings.push((Rc::clone(section), Rc::clone(key), text.to_owned()));
        }
    })
    .map_err(refused)?;
    let file_folder = file.parent().unwrap_or(Path::new(""));
    let bases = settings.iter().filter(|(_, key, _)| &**key == "base_path");
    let bases: HashMap<_, _> =
        bases.map(|(section, _, base)| (section, file_folder.join(expanded(base)))).collect();
    let folders = settings.iter().filter_map(|(section, key, value)| {
        let role = match &**key {
            "checkpoints" | "diffusers" | "vae" => Role::Models,
            "embeddings" => Role::Concepts,
            _ => return None,
        };
        let base = bases.get(section).map_or(file_folder, PathBuf::as_path);
        let folders = value.lines().map(str::trim).filter(|line| !line.is_empty());
        Some(folders.map(move |folder| (base.join(folder), role)))
    });
    Ok(folders.flatten().take(MAX_FOLDERS).collect())
}

fn expanded(path: &str) -> PathBuf {
    let home = || directories::UserDirs::new().map(|user| user.home_dir().to_owned());
    match path.strip_prefix('~').and_then(|rest| Some((home()?, rest))) {
        Some((home, "")) => home,
        Some((home, rest)) if rest.starts_with(['/', '\\']) => home.join(&rest[1..]),
        _ => with_variables(path).into(),
    }
}

/// Expands `$NAME` and `${NAME}`; a variable that is not set stays as written.
fn with_variables(text: &str) -> String {
    let mut parts = text.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => {
                part.split_at(part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len()))
            }
        };
        match std::env::var(name).ok().filter(|_| !name.is_empty()) {
            Some(value) => expanded.extend([&value, rest]),
            None => expanded.extend(["$", part]),
        }
    }
    expanded
}
