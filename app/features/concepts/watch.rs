//! Watches the concept folders on a separate thread: scans them every few seconds and reports
//! changes. It reports nothing where nothing changed, so that an idle window stays idle.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{RecvTimeoutError, Sender, unbounded};
use engine::concepts::{Concept, concept_files_in, read};

/// Soon enough for someone who has just added a file.
const EVERY: Duration = Duration::from_secs(3);

/// Concept files that were read, refused or removed.
#[derive(Clone, Debug, Default)]
pub struct ConceptsRead {
    pub read: Vec<Concept>,
    /// Files that are not concepts, each with the reason.
    pub refused: Vec<(PathBuf, String)>,
    pub gone: Vec<PathBuf>,
}

impl ConceptsRead {
    /// Reads files, each of which is a concept or refused.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut concepts = Self::default();
        for file in files {
            match read(&file) {
                Ok(concept) => concepts.read.push(concept),
                Err(error) => concepts.refused.push((file, error.to_string())),
            }
        }
        concepts
    }

    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.refused.is_empty() && self.gone.is_empty()
    }
}

/// The watching thread. It ends when this is dropped.
pub struct ConceptWatch {
    folders: Sender<Vec<PathBuf>>,
}

impl ConceptWatch {
    /// Watches nothing until it is given folders.
    pub fn start(send: impl Fn(ConceptsRead) + Send + 'static) -> Self {
        let (folders, inbox) = unbounded();
        let watch = move || {
            let (mut watched, mut scan) = (Vec::new(), FolderScan::default());
            loop {
                match inbox.recv_timeout(EVERY) {
                    Ok(folders) => watched = folders,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                let concepts = scan.changes(&watched);
                if !concepts.is_empty() {
                    send(concepts);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("concepts".into()).spawn(watch) {
            tracing::error!("the thread that watches concept folders could not start: {error}");
        }
        Self { folders }
    }

    /// Watches these folders from now on, starting at once.
    pub fn watch(&self, folders: Vec<PathBuf>) {
        // Without the thread nothing is watched; that has been reported.
        let _ = self.folders.send(folders);
    }
}

/// The files at the last scan.
#[derive(Default)]
pub struct FolderScan {
    known: HashMap<PathBuf, Option<(u64, SystemTime)>>,
}

impl FolderScan {
    /// Scans the folders again and returns what changed.
    pub fn changes(&mut self, folders: &[PathBuf]) -> ConceptsRead {
        let files: HashSet<PathBuf> = folders.iter().flat_map(|folder| concept_files_in(folder)).collect();
        let gone: Vec<PathBuf> = self.known.keys().filter(|file| !files.contains(*file)).cloned().collect();
        for file in &gone {
            self.known.remove(file);
        }
        let mut changed = Vec::new();
        for file in files {
            let about = fs::metadata(&file).ok();
            let stamp = about.and_then(|about| Some((about.len(), about.modified().ok()?)));
            if self.known.get(&file) != Some(&stamp) {
                self.known.insert(file.clone(), stamp);
                changed.push(file);
            }
        }
        changed.sort_unstable();
        ConceptsRead { gone, ..ConceptsRead::of(changed) }
    }
}
