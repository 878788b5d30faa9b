//! ComfyUI's `extra_model_paths.yaml`: folders of other programs, by sections.
//!
//! A section has a `base_path` and, for each kind of model, one folder a line. As ComfyUI reads it
//! (its `utils/extra_config.py`): `~` and variables stand in `base_path` alone; what is relative is below
//! it, and without one below the file's own folder.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser, ScanError};

use super::layout::Role;

/// A file of paths is a page or two.
const MAX_BYTES: u64 = 1 << 20;

/// The places it names for models and concepts; `Err` is a sentence with the path.
pub fn read(file: &Path) -> Result<Vec<(PathBuf, Role)>, String> {
    let refused =
        |cause: String| format!("The file of model paths makes no sense ({cause}): {}", file.display());
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
        .map_err(|error| refused(error.to_string()))?;
    let settings = settings_in(&text).map_err(|error| refused(error.to_string()))?;
    let beside = file.parent().unwrap_or(Path::new(""));
    let mut places = Vec::new();
    for (section, key, value) in &settings {
        let role = match key.as_str() {
            "checkpoints" | "diffusers" | "vae" => Role::Models,
            "embeddings" => Role::Concepts,
            _ => continue,
        };
        let base = settings.iter().find(|(of, key, _)| of == section && key == "base_path");
        let base = base.map_or_else(|| beside.to_owned(), |(_, _, base)| beside.join(expanded(base)));
        let folders = value.lines().map(str::trim).filter(|line| !line.is_empty());
        places.extend(folders.map(|folder| (base.join(folder), role)));
    }
    Ok(places)
}

/// Section, key and text of everything that lies two levels deep.
fn settings_in(yaml: &str) -> Result<Vec<(String, String, String)>, ScanError> {
    let mut settings = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(yaml) {
        match event?.0 {
            Event::MappingStart(..) => open.push(Open::Map(None)),
            Event::SequenceStart(..) => open.push(Open::List),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                complete(&mut open, "");
            }
            Event::Alias(_) => complete(&mut open, ""),
            Event::Scalar(text, ..) => {
                if let [Open::Map(Some(section)), Open::Map(Some(key)), inner @ ..] = open.as_slice()
                    && matches!(inner, [] | [Open::List])
                {
                    settings.push((section.clone(), key.clone(), text.clone().into_owned()));
                }
                complete(&mut open, &text);
            }
            _ => {}
        }
    }
    Ok(settings)
}

/// A mapping with the key whose value comes next, or a list.
enum Open {
    Map(Option<String>),
    List,
}

/// In a mapping, what was complete is a key, then a value, by turns.
fn complete(open: &mut [Open], text: &str) {
    if let Some(Open::Map(key)) = open.last_mut() {
        *key = if key.is_some() { None } else { Some(text.to_owned()) };
    }
}

fn expanded(path: &str) -> PathBuf {
    let home = || directories::UserDirs::new().map(|user| user.home_dir().to_owned());
    match path.strip_prefix('~').and_then(|rest| Some((home()?, rest))) {
        Some((home, "")) => home,
        Some((home, rest)) if rest.starts_with(['/', '\\']) => home.join(&rest[1..]),
        _ => with_variables(path).into(),
    }
}

/// Puts in `$NAME` and `${NAME}`; one that is not set stays as it is written.
fn with_variables(text: &str) -> String {
    let mut parts = text.split('$');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => {
                part.split_at(part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len()))
            }
        };
        match std::env::var(name).ok().filter(|_| !name.is_empty()) {
            Some(value) => whole.extend([&value, rest]),
            None => whole.extend(["$", part]),
        }
    }
    whole
}
