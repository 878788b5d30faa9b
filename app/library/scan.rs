//! Folders into a catalogue.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use engine::checkpoint::{ModelSource, WeightKind};

use super::entry::refusal_of;
use super::file_metadata::FolderMetadata;
use super::find_models::walk;
use super::layout::{Role, recognise};
use super::{Entry, Folder, Format, Layout, Library, LibraryRoots, MetadataCache, ScanStatus, hub_cache};

/// Looks through the folders. `go_on` sees what was found so far, and answers whether to go on.
pub fn scan(
    shelves: &LibraryRoots,
    notes: &mut MetadataCache,
    go_on: &mut dyn FnMut(&Library) -> bool,
) -> Library {
    let mut scan = Scan { catalogue: Library::default(), notes, seen: HashSet::new(), go_on, ended: false };
    scan.catalogue.work = ScanStatus::Scanning;
    for folder in &shelves.folders {
        scan.folder(folder, None);
    }
    // Few people have one, and nobody misses it.
    if let Some(hub) = shelves.hub.as_ref().filter(|hub| hub.is_dir()) {
        scan.folder(hub, Some(Layout::Hub));
    }
    let Scan { mut catalogue, notes, .. } = scan;
    notes.save();
    catalogue.work = ScanStatus::Done;
    catalogue.arrange();
    catalogue
}

struct Scan<'a> {
    catalogue: Library,
    notes: &'a mut MetadataCache,
    /// Real paths: folders may overlap, and links lead to one file from many places.
    seen: HashSet<PathBuf>,
    go_on: &'a mut dyn FnMut(&Library) -> bool,
    ended: bool,
}

/// What is being looked through.
struct ScanFolder<'a> {
    /// The user's folder.
    from: &'a Path,
    /// The place in it that names are relative to.
    place: &'a Path,
    /// `owner/name`, within the Hugging Face cache.
    repository: Option<&'a str>,
}

impl Scan<'_> {
    fn folder(&mut self, root: &Path, layout: Option<Layout>) {
        let recognised = recognise(root);
        let layout = layout.unwrap_or(recognised.layout);
        let before = self.catalogue.entries.len();
        let mut problem = recognised.problem;
        if layout == Layout::Hub {
            for (name, repository) in hub_cache::repositories(root) {
                self.repository(root, &name, &repository);
            }
        } else {
            for (place, role) in recognised.places {
                match role {
                    Role::Concepts if !place.is_dir() => {}
                    Role::Concepts => self.catalogue.concept_folders.push(place),
                    Role::Models => {
                        let said = self.place(&ScanFolder { from: root, place: &place, repository: None });
                        problem = problem.or(said);
                    }
                }
            }
        }
        let count = self.catalogue.entries.len() - before;
        self.catalogue.folders.push(Folder { path: root.to_owned(), layout, count, problem });
    }

    fn repository(&mut self, root: &Path, name: &str, repository: &Path) {
        if let Some(snapshot) = hub_cache::snapshot_of(repository) {
            self.place(&ScanFolder { from: root, place: &snapshot, repository: Some(name) });
        }
    }

    /// Answers with a sentence about what was not looked at.
    fn place(&mut self, shelf: &ScanFolder<'_>) -> Option<String> {
        let Self { catalogue, go_on, ended, .. } = self;
        let walked = walk(shelf.place, &mut || {
            *ended = *ended || !go_on(catalogue);
            !*ended
        });
        for folder in &walked.models {
            self.model(shelf, folder);
        }
        for file in &walked.files {
            self.file(shelf, file);
        }
        for (name, repository) in &walked.repositories {
            self.repository(shelf.from, name, repository);
        }
        walked.problem
    }

    /// Adds a model in diffusers layout.
    fn model(&mut self, shelf: &ScanFolder<'_>, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let facts = FolderMetadata::read(path);
        if facts.unreadable_reason.is_some() && shelf.repository.is_some() {
            return;
        }
        let unet = facts.unet.and_then(|unet| Some((self.notes.facts_of(&unet).ok()?, unet)));
        let hashed = unet.as_ref().map(|(facts, unet)| facts.weight_files(unet)).unwrap_or_default();
        let unreadable_reason =
            facts.unreadable_reason.map(|what| format!("This {what}; Tidepool reads SD 1.x and 2.x"));
        self.catalogue.entries.push(Entry {
            name: name_of(shelf, path, &path.file_name().unwrap_or_default().to_string_lossy()),
            source: ModelSource::Folder(path.to_owned()),
            kind: facts.kind,
            format: Format::Diffusers,
            bytes: facts.bytes,
            precision: unet.and_then(|(facts, _)| facts.precision),
            sha256: self.notes.sha256(&hashed),
            from: shelf.from.to_owned(),
            refusal: unreadable_reason.or_else(|| refusal_of(facts.kind)),
            hashed,
        });
    }

    /// Adds a weight file, unless it is of those that have their place elsewhere.
    fn file(&mut self, shelf: &ScanFolder<'_>, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let facts = self.notes.facts_of(path);
        let (kind, is_pickle, precision, refusal) = match &facts {
            Ok(facts) => (facts.kind, facts.is_pickle, facts.precision, refusal_of(facts.kind)),
            Err(error) => (WeightKind::Unknown, false, None, Some(error.to_string())),
        };
        let is_model = kind.is_model() || kind == WeightKind::Vae;
        // The Hugging Face cache holds models of every trade.
        let is_of_interest = match shelf.repository {
            Some(_) => is_model,
            None => !matches!(kind, WeightKind::Concept | WeightKind::Trace),
        };
        if !is_of_interest {
            return;
        }
        let hashed = facts.map(|facts| facts.weight_files(path)).unwrap_or_default();
        self.catalogue.entries.push(Entry {
            name: name_of(shelf, path, &path.file_stem().unwrap_or_default().to_string_lossy()),
            source: ModelSource::File(path.to_owned()),
            kind,
            format: if is_pickle { Format::Pickle } else { Format::Safetensors },
            bytes: path.metadata().map_or(0, |about| about.len()),
            precision,
            sha256: self.notes.sha256(&hashed),
            from: shelf.from.to_owned(),
            refusal,
            hashed,
        });
    }

    /// False for what was met before, and once the scan was ended.
    fn is_new(&mut self, path: &Path) -> bool {
        self.ended = self.ended || !(self.go_on)(&self.catalogue);
        !self.ended && path.canonicalize().is_ok_and(|real| self.seen.insert(real))
    }
}

/// Names that weights have in every diffusers folder, and that tell nothing.
const NAMES_OF_PARTS: [&str; 3] = ["diffusion_pytorch_model", "pytorch_model", "model"];

/// `sub/folder/name`, below the place or the repository.
fn name_of(shelf: &ScanFolder<'_>, path: &Path, last: &str) -> String {
    let relative = path.strip_prefix(shelf.place).unwrap_or(path);
    let above = relative.parent().into_iter().flat_map(Path::iter);
    let mut parts: Vec<_> = above.map(|part| part.to_string_lossy().into_owned()).collect();
    parts.splice(..0, shelf.repository.map(str::to_owned));
    let is_place = relative.as_os_str().is_empty();
    if parts.is_empty() && NAMES_OF_PARTS.contains(&last) {
        let place = shelf.place.file_name().unwrap_or_default();
        return place.to_string_lossy().into_owned();
    }
    let says_nothing = NAMES_OF_PARTS.contains(&last) || (is_place && shelf.repository.is_some());
    if !says_nothing {
        parts.push(last.to_owned());
    }
    parts.join("/")
}

impl Library {
    /// Tells entries of one name apart, and puts all in order.
    pub(crate) fn arrange(&mut self) {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for entry in &self.entries {
            *counts.entry(entry.name.clone()).or_default() += 1;
        }
        for entry in &mut self.entries {
            let ending = entry.path().extension().map(|ending| ending.to_string_lossy().into_owned());
            if counts[&entry.name] > 1
                && entry.format != Format::Diffusers
                && let Some(ending) = ending
            {
                entry.name = format!("{}.{ending}", entry.name);
            }
        }
        let rank = |entry: &Entry| match (entry.opens(), entry.is_vae()) {
            (true, _) => 0,
            (_, true) => 1,
            _ => 2,
        };
        self.entries
            .sort_by_cached_key(|entry| (rank(entry), entry.name.to_lowercase(), entry.path().to_owned()));
    }
}
