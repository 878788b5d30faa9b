//! Scans folders into a [`Library`].

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use engine::checkpoint::{HubSnapshot, MissingNetwork, ModelSource, NETWORK_FILES, WeightKind};

use super::entry::{lack_of, refusal_of};
use super::file_metadata::FolderMetadata;
use super::find_models::find_models;
use super::layout::{Role, recognise};
use super::{Entry, Folder, Format, Layout, Library, LibraryRoots, MetadataCache, ScanStatus, hub_cache};

/// Scans the folders. `should_continue` sees what was found so far, and returns false to end the scan.
pub fn scan(
    roots: &LibraryRoots,
    cache: &mut MetadataCache,
    should_continue: &mut dyn FnMut(&Library) -> bool,
) -> Library {
    let mut scan =
        Scan { library: Library::default(), cache, seen: HashSet::new(), should_continue, ended: false };
    scan.library.status = ScanStatus::Scanning;
    for folder in &roots.folders {
        scan.scan_root(folder, None);
    }
    // A missing Hugging Face cache is not a problem to report.
    if let Some(hub) = roots.hub.as_ref().filter(|hub| hub.is_dir()) {
        scan.scan_root(hub, Some(Layout::Hub));
    }
    let Scan { mut library, cache, .. } = scan;
    cache.save();
    library.status = ScanStatus::Done;
    library.sort();
    library
}

struct Scan<'a> {
    library: Library,
    cache: &'a mut MetadataCache,
    /// Canonical paths, since folders may overlap and several links may lead to one file.
    seen: HashSet<PathBuf>,
    should_continue: &'a mut dyn FnMut(&Library) -> bool,
    ended: bool,
}

/// A folder being scanned.
struct ScanFolder<'a> {
    /// The folder that the user added.
    root: &'a Path,
    /// The folder in it that names are relative to.
    folder: &'a Path,
    /// `owner/name`, in the Hugging Face cache.
    repository: Option<&'a str>,
}

impl Scan<'_> {
    fn scan_root(&mut self, root: &Path, layout: Option<Layout>) {
        let recognised = recognise(root);
        let layout = layout.unwrap_or(recognised.layout);
        let count_before = self.library.entries.len();
        let mut problem = recognised.problem;
        if let Some(snapshot) = HubSnapshot::at(root) {
            self.scan_snapshot(root, &snapshot);
        } else if layout == Layout::Hub {
            for snapshot in hub_cache::snapshots(root) {
                self.scan_snapshot(root, &snapshot);
            }
        } else {
            for (folder, role) in recognised.folders {
                match role {
                    Role::Concepts if !folder.is_dir() => {}
                    Role::Concepts => self.library.concept_folders.push(folder),
                    Role::Models => {
                        let scanned = ScanFolder { root, folder: &folder, repository: None };
                        problem = problem.or(self.scan_folder(&scanned));
                    }
                }
            }
        }
        let count = self.library.entries.len() - count_before;
        self.library.folders.push(Folder { path: root.to_owned(), layout, count, problem });
    }

    fn scan_snapshot(&mut self, root: &Path, HubSnapshot { repository, folder }: &HubSnapshot) {
        self.scan_folder(&ScanFolder { root, folder, repository: Some(repository) });
    }

    /// Returns a sentence about what was not scanned.
    fn scan_folder(&mut self, scanned: &ScanFolder<'_>) -> Option<String> {
        let Self { library, should_continue, ended, .. } = self;
        let found = find_models(scanned.folder, &mut || {
            *ended = *ended || !should_continue(library);
            !*ended
        });
        for folder in &found.models {
            self.add_model_folder(scanned, folder);
        }
        for file in &found.files {
            self.add_file(scanned, file);
        }
        for snapshot in &found.snapshots {
            self.scan_snapshot(scanned.root, snapshot);
        }
        found.problem
    }

    /// Adds a model in diffusers layout.
    fn add_model_folder(&mut self, scanned: &ScanFolder<'_>, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let metadata = FolderMetadata::read(path);
        let kind = metadata.kind();
        let is_incomplete = !matches!(metadata.missing, None | Some(MissingNetwork::Vae));
        // The Hugging Face cache contains many folders that are not image models, and halves of models.
        if scanned.repository.is_some() && (kind == WeightKind::Unknown || is_incomplete) {
            return;
        }
        let unet = metadata.unet.and_then(|unet| Some((self.cache.metadata_of(&unet).ok()?, unet)));
        let hashed_files = unet.as_ref().map(|(file, unet)| file.weight_files(unet)).unwrap_or_default();
        self.library.entries.push(Entry {
            name: name_of(scanned, path, &path.file_name().unwrap_or_default().to_string_lossy()),
            source: ModelSource::Folder(path.to_owned()),
            kind,
            format: Format::Diffusers,
            bytes: metadata.bytes,
            precision: unet.and_then(|(file, _)| file.precision),
            sha256: self.cache.sha256(&hashed_files),
            root: scanned.root.to_owned(),
            refusal: metadata.refusal,
            remark: metadata.remark,
            hashed_files,
        });
    }

    /// Adds a weight file, unless it is of a kind that the library does not list.
    fn add_file(&mut self, scanned: &ScanFolder<'_>, path: &Path) {
        if !self.is_new(path) {
            return;
        }
        let metadata = self.cache.metadata_of(path);
        let source = ModelSource::File(path.to_owned());
        let (kind, is_pickle, precision, refusal) = match &metadata {
            Ok(file) => (file.kind, file.is_pickle, file.precision, refusal_of(file.kind)),
            Err(error) => (WeightKind::Unknown, false, None, Some(error.to_string())),
        };
        let (lack, remark) = lack_of(metadata.as_ref().ok().and_then(|file| file.missing), &source);
        let is_model = kind.is_model() || kind == WeightKind::Vae;
        // The Hugging Face cache contains many files that are not image models.
        let is_listed = match scanned.repository {
            Some(_) => is_model,
            None => !matches!(kind, WeightKind::Concept | WeightKind::Trace),
        };
        if !is_listed {
            return;
        }
        let hashed_files = metadata.map(|file| file.weight_files(path)).unwrap_or_default();
        self.library.entries.push(Entry {
            name: name_of(scanned, path, &path.file_stem().unwrap_or_default().to_string_lossy()),
            source,
            kind,
            format: if is_pickle { Format::Pickle } else { Format::Safetensors },
            bytes: path.metadata().map_or(0, |file| file.len()),
            precision,
            sha256: self.cache.sha256(&hashed_files),
            root: scanned.root.to_owned(),
            refusal: refusal.or(lack),
            remark,
            hashed_files,
        });
    }

    /// False for a file that was added before, and after the scan was ended.
    fn is_new(&mut self, path: &Path) -> bool {
        self.ended = self.ended || !(self.should_continue)(&self.library);
        !self.ended && path.canonicalize().is_ok_and(|real| self.seen.insert(real))
    }
}

/// True for a file stem of weights in every diffusers folder, which does not identify the model.
fn is_generic(name: &str) -> bool {
    let mut stems = NETWORK_FILES.iter().flat_map(|(_, stems)| stems.with_extensions());
    stems.any(|(stem, _)| stem == name)
}

/// `sub/folder/name`, relative to the scanned folder or the repository.
fn name_of(scanned: &ScanFolder<'_>, path: &Path, last: &str) -> String {
    let relative = path.strip_prefix(scanned.folder).unwrap_or(path);
    let above = relative.parent().into_iter().flat_map(Path::iter);
    let mut parts: Vec<_> = above.map(|part| part.to_string_lossy().into_owned()).collect();
    parts.splice(..0, scanned.repository.map(str::to_owned));
    let is_folder_itself = relative.as_os_str().is_empty();
    if parts.is_empty() && is_generic(last) {
        return scanned.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    }
    let is_named_above = is_generic(last) || (is_folder_itself && scanned.repository.is_some());
    if !is_named_above {
        parts.push(last.to_owned());
    }
    parts.join("/")
}

impl Library {
    /// Sorts the entries, after adding extensions to names that occur twice.
    pub(crate) fn sort(&mut self) {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for entry in &self.entries {
            *counts.entry(entry.name.clone()).or_default() += 1;
        }
        for entry in &mut self.entries {
            let extension = entry.path().extension().map(|it| it.to_string_lossy().into_owned());
            if counts[&entry.name] > 1
                && entry.format != Format::Diffusers
                && let Some(extension) = extension
            {
                entry.name = format!("{}.{extension}", entry.name);
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
