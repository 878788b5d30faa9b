//! `tidepool models`: lists the library; and finds the model that `--model` names.

use std::path::{Path, PathBuf};

use clap::Args;
use engine::checkpoint::ModelSource;
use engine::format::human_size;
use serde_json::{Value, json};

use super::{Failure, print};
use crate::features::settings::{Settings, config_folder};
use crate::library::{Entry, Library, LibraryRoots, MetadataCache, NameMatch, find, hub_cache, scan};

#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// List only this folder: any folder of models, or the folder of A1111, Forge, ComfyUI or SwarmUI
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Hash the files that have no hash yet, which reads each of them from start to end
    #[arg(long)]
    pub hash: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn models(args: &ModelsArgs) -> Result<(), Failure> {
    let (mut cache, mut library) = scan_library(args.folder.as_deref());
    if args.hash {
        for entry in library.entries.iter_mut().filter(|entry| entry.refusal.is_none()) {
            entry.sha256 = cache.hash(&entry.hashed_files, &mut || true);
            cache.save_if_due();
        }
        cache.save();
    }
    for problem in library.folders.iter().filter_map(|folder| folder.problem.as_ref()) {
        eprintln!("{problem}");
    }
    if args.json {
        return print(to_json(&library));
    }
    if library.entries.is_empty() {
        eprintln!(
            "No models were found. Add folders in the window, under Models, or list one with \
             tidepool models --folder DIR"
        );
    }
    print(to_text(&library.entries).trim_end())
}

/// Scans one folder, or the folders of the window.
fn scan_library(folder: Option<&Path>) -> (MetadataCache, Library) {
    let config = config_folder();
    let roots = match folder {
        Some(folder) => LibraryRoots { folders: vec![folder.to_owned()], hub: None },
        None => {
            let (settings, _) = Settings::load(&config);
            let hub = hub_cache(|name| std::env::var_os(name)).filter(|_| !settings.hub_cache_hidden);
            LibraryRoots { folders: settings.model_folders, hub }
        }
    };
    let mut cache = MetadataCache::open(&config);
    let library = scan(&roots, &mut cache, &mut |_| true);
    (cache, library)
}

/// The model that `--model` names: `demo`, a folder or file, or a model of the library by name or hash. A
/// folder named demo is written `./demo`.
pub fn source_of(model: &Path) -> Result<ModelSource, Failure> {
    if model.as_os_str() == "demo" {
        return Ok(ModelSource::BuiltIn);
    }
    if model.exists() {
        return Ok(ModelSource::at(model.to_owned()));
    }
    let name = model.to_string_lossy();
    let (_, library) = scan_library(None);
    match find(&library.entries, &name) {
        NameMatch::One(Entry { refusal: Some(refusal), .. }) => {
            Err(Failure::failed(format!("{refusal}: {name}")))
        }
        NameMatch::One(entry) if !entry.opens() => Err(Failure::failed(format!(
            "This is {}, not a whole model. Choose one of `tidepool models`: {name}",
            entry.kind
        ))),
        NameMatch::One(entry) => Ok(entry.source.clone()),
        NameMatch::Several(entries) => {
            let entries: Vec<Entry> = entries.into_iter().cloned().collect();
            Err(Failure::usage(format!(
                "{name} matches several models: give a full name, more of the hash, or the path:\n{}",
                to_text(&entries).trim_end()
            )))
        }
        NameMatch::Nothing => Err(Failure::failed(format!(
            "There is no such model, neither as a file or folder nor in `tidepool models`. Check the \
             spelling: {name}"
        ))),
    }
}

/// One line per model: name, kind, size, precision, hash, path.
fn to_text(entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let line = |entry: &Entry| {
        let kind = entry.kind.label();
        let kind = match (&entry.refusal, &entry.remark) {
            (Some(_), _) => format!("{kind} (not read)"),
            (None, Some(_)) => format!("{kind} (no VAE)"),
            (None, None) => kind.to_owned(),
        };
        format!(
            "{:width$}  {kind:<22}{:>8}  {:<5} {:<10}  {}\n",
            entry.name,
            human_size(entry.bytes),
            entry.precision_label(),
            entry.short_hash().unwrap_or("-"),
            entry.path().display(),
        )
    };
    entries.iter().map(line).collect()
}

fn to_json(library: &Library) -> Value {
    let models = library.entries.iter().map(|entry| {
        json!({
            "name": entry.name,
            "path": entry.path().display().to_string(),
            "from": entry.root.display().to_string(),
            "kind": entry.kind,
            "format": entry.format,
            "bytes": entry.bytes,
            "precision": entry.precision,
            "sha256": entry.sha256,
            "hash": entry.short_hash(),
            "opens": entry.opens(),
            "refusal": entry.refusal,
            "remark": entry.remark,
        })
    });
    let folders = library.folders.iter().map(|folder| {
        json!({
            "path": folder.path.display().to_string(),
            "layout": folder.layout,
            "count": folder.count,
            "problem": folder.problem,
        })
    });
    let concepts = library.concept_folders.iter().map(|folder| folder.display().to_string());
    json!({
        "models": models.collect::<Vec<_>>(),
        "folders": folders.collect::<Vec<_>>(),
        "concept_folders": concepts.collect::<Vec<_>>(),
    })
}
