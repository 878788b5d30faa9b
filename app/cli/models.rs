//! `tidepool models`: the library in words; and the models that `--model` can name by it.

use std::path::Path;

use engine::checkpoint::ModelSource;
use serde_json::{Value, json};

use super::args::ModelsArgs;
use super::{Failure, print};
use crate::features::settings::{Settings, config_folder};
use crate::library::{Entry, Library, LibraryRoots, MetadataCache, NameMatch, find, hub_cache, scan};
use engine::format::human_size;

pub fn models(args: &ModelsArgs) -> Result<(), Failure> {
    let (mut notes, mut catalogue) = look(args.folder.as_deref());
    if args.hash {
        for entry in catalogue.entries.iter_mut().filter(|entry| entry.refusal.is_none()) {
            entry.sha256 = notes.hash(&entry.hashed, &mut || true);
            notes.save_at_times();
        }
        notes.save();
    }
    for problem in catalogue.folders.iter().filter_map(|folder| folder.problem.as_ref()) {
        eprintln!("{problem}");
    }
    if args.json {
        return print(to_json(&catalogue));
    }
    if catalogue.entries.is_empty() {
        eprintln!(
            "No models were found. Add folders in the window, under Models, or name one: \
             tidepool models --folder DIR"
        );
    }
    print(in_words(&catalogue.entries).trim_end())
}

/// Looks through one folder, or through those of the window.
fn look(folder: Option<&Path>) -> (MetadataCache, Library) {
    let home = config_folder();
    let shelves = match folder {
        Some(folder) => LibraryRoots { folders: vec![folder.to_owned()], hub: None },
        None => {
            let (settings, _) = Settings::load(&home);
            let hub = hub_cache(|name| std::env::var_os(name)).filter(|_| !settings.hub_cache_hidden);
            LibraryRoots { folders: settings.model_folders, hub }
        }
    };
    let mut notes = MetadataCache::open(&home);
    let catalogue = scan(&shelves, &mut notes, &mut |_| true);
    (notes, catalogue)
}

/// What `--model` names: `demo`, a folder or file, or a model of the library by name or hash. A folder
/// called demo is `./demo`.
pub fn source_of(model: &Path) -> Result<ModelSource, Failure> {
    if model.as_os_str() == "demo" {
        return Ok(ModelSource::BuiltIn);
    }
    if model.exists() {
        return Ok(ModelSource::at(model.to_owned()));
    }
    let wanted = model.to_string_lossy();
    let (_, catalogue) = look(None);
    match find(&catalogue.entries, &wanted) {
        NameMatch::One(Entry { refusal: Some(refusal), .. }) => {
            Err(Failure::failed(format!("{refusal}: {wanted}")))
        }
        NameMatch::One(entry) if !entry.opens() => Err(Failure::failed(format!(
            "This is {}; Tidepool needs a whole model. Choose one of `tidepool models`: {wanted}",
            entry.kind
        ))),
        NameMatch::One(entry) => Ok(entry.source.clone()),
        NameMatch::Several(entries) => {
            let entries: Vec<Entry> = entries.into_iter().cloned().collect();
            Err(Failure::usage(format!(
                "{wanted} could be any of these; give one's whole name, more of its hash, or its path:\n{}",
                in_words(&entries).trim_end()
            )))
        }
        NameMatch::Nothing => Err(Failure::failed(format!(
            "There is no such model: neither a folder or file of that name, nor one of `tidepool models`. \
             Look at its spelling: {wanted}"
        ))),
    }
}

/// A line a model: name, kind, size, precision, hash, path.
fn in_words(entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let line = |entry: &Entry| {
        let kind = if entry.refusal.is_some() {
            format!("{} (not read)", entry.kind.label())
        } else {
            entry.kind.label().to_owned()
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

fn to_json(catalogue: &Library) -> Value {
    let models = catalogue.entries.iter().map(|entry| {
        json!({
            "name": entry.name,
            "path": entry.path().display().to_string(),
            "from": entry.from.display().to_string(),
            "kind": entry.kind,
            "format": entry.format,
            "bytes": entry.bytes,
            "precision": entry.precision,
            "sha256": entry.sha256,
            "hash": entry.short_hash(),
            "opens": entry.opens(),
            "refusal": entry.refusal,
        })
    });
    let folders = catalogue.folders.iter().map(|folder| {
        json!({
            "path": folder.path.display().to_string(),
            "layout": folder.layout,
            "count": folder.count,
            "problem": folder.problem,
        })
    });
    let concepts = catalogue.concept_folders.iter().map(|folder| folder.display().to_string());
    json!({
        "models": models.collect::<Vec<_>>(),
        "folders": folders.collect::<Vec<_>>(),
        "concept_folders": concepts.collect::<Vec<_>>(),
    })
}
