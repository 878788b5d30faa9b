//! Looks into the folders of concepts every few seconds, on a thread of its own, and tells what
//! came and went. Where nothing changed it says nothing, so that a window at rest stays at rest.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{RecvTimeoutError, Sender, unbounded};
use engine::concepts::{Concept, concept_files_in, read};

/// Soon enough for somebody who has just put a file there.
const EVERY: Duration = Duration::from_secs(3);

/// What came and went among the files of concepts.
#[derive(Clone, Debug, Default)]
pub struct ConceptsRead {
    pub read: Vec<Concept>,
    /// Files that are none, and why: a sentence.
    pub refused: Vec<(PathBuf, String)>,
    pub gone: Vec<PathBuf>,
}

impl ConceptsRead {
    /// Reads files, each of which is a concept or refused.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut news = Self::default();
        for file in files {
            match read(&file) {
                Ok(concept) => news.read.push(concept),
                Err(error) => news.refused.push((file, error.to_string())),
            }
        }
        news
    }

    pub fn is_empty(&self) -> bool {
        self.read.is_empty() && self.refused.is_empty() && self.gone.is_empty()
    }
}

/// The thread that looks. It ends when this is dropped.
pub struct ConceptWatch {
    folders: Sender<Vec<PathBuf>>,
}

impl ConceptWatch {
    /// Looks nowhere until it is told where.
    pub fn start(tell: impl Fn(ConceptsRead) + Send + 'static) -> Self {
        let (folders, inbox) = unbounded();
        let look = move || {
            let (mut watched, mut look) = (Vec::new(), FolderScan::default());
            loop {
                match inbox.recv_timeout(EVERY) {
                    Ok(folders) => watched = folders,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                let news = look.again(&watched);
                if !news.is_empty() {
                    tell(news);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("concepts".into()).spawn(look) {
            tracing::error!("the thread that watches concept folders could not start: {error}");
        }
        Self { folders }
    }

    /// Looks into these folders from now on, and at once.
    pub fn watch(&self, folders: Vec<PathBuf>) {
        // Without the thread nothing is watched, which has been said.
        let _ = self.folders.send(folders);
    }
}

/// What was there when last looked.
#[derive(Default)]
pub struct FolderScan {
    known: HashMap<PathBuf, Option<(u64, SystemTime)>>,
}

impl FolderScan {
    /// What changed in the folders since the last time.
    pub fn again(&mut self, folders: &[PathBuf]) -> ConceptsRead {
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
