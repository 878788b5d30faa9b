//! The thread that keeps the library up to date: scans the folders on request, and hashes the models while
//! nothing else needs the machine.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use thread_priority::{ThreadPriority, set_current_thread_priority};

use super::{Library, LibraryRoots, MetadataCache, ScanStatus, scan};

/// What the scanner is told to do.
#[derive(Clone, Debug)]
pub enum ScanCommand {
    /// Scan these folders and forget the previous results.
    Scan(LibraryRoots),
    /// Pause hashing while something else needs the disk and the cores, or resume it.
    Pause(bool),
}

/// How often an unfinished library is published, at most.
const UPDATE_INTERVAL: Duration = Duration::from_millis(250);

/// A handle to the thread, which ends soon after this is dropped. Dropping does not wait for it, since an
/// unresponsive disk may block it.
pub struct LibraryScanner {
    commands: Sender<ScanCommand>,
}

impl LibraryScanner {
    /// `cache_folder` holds the metadata cache; `publish` receives the library whenever it changes.
    pub fn start(cache_folder: PathBuf, publish: impl Fn(Arc<Library>) + Send + 'static) -> Self {
        let (commands, received) = unbounded();
        let run = move || {
            // If the system refuses, the thread runs at normal priority.
            let _ = set_current_thread_priority(ThreadPriority::Min);
            ScannerThread {
                commands: received,
                next_roots: None,
                is_paused: false,
                is_closed: false,
                cache: MetadataCache::open(&cache_folder),
                library: Library::default(),
                publish: Box::new(publish),
                last_published: None,
            }
            .run();
        };
        if let Err(error) = std::thread::Builder::new().name("library".into()).spawn(run) {
            tracing::error!("the library's thread could not be started: {error}");
        }
        Self { commands }
    }

    /// Never blocks.
    pub fn send(&self, command: ScanCommand) {
        let _ = self.commands.send(command);
    }
}

struct ScannerThread {
    commands: Receiver<ScanCommand>,
    /// Folders to scan next; they interrupt the current work.
    next_roots: Option<LibraryRoots>,
    is_paused: bool,
    /// The handle was dropped.
    is_closed: bool,
    cache: MetadataCache,
    library: Library,
    publish: Box<dyn Fn(Arc<Library>)>,
    last_published: Option<Instant>,
}

impl ScannerThread {
    fn run(mut self) {
        while !self.is_closed {
            match self.next_roots.take() {
                Some(roots) => {
                    self.scan(&roots);
                    self.hash();
                }
                None => self.wait_for_command(),
            }
        }
        self.cache.save();
    }

    fn wait_for_command(&mut self) {
        match self.commands.recv() {
            Ok(command) => self.handle(command),
            Err(_) => self.is_closed = true,
        }
    }

    fn handle(&mut self, command: ScanCommand) {
        match command {
            ScanCommand::Scan(roots) => self.next_roots = Some(roots),
            ScanCommand::Pause(is_paused) => self.is_paused = is_paused,
        }
    }

    /// Handles waiting commands; false if the current work should end.
    fn should_continue(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.handle(command),
                Err(TryRecvError::Empty) => return self.next_roots.is_none(),
                Err(TryRecvError::Disconnected) => {
                    self.is_closed = true;
                    return false;
                }
            }
        }
    }

    fn scan(&mut self, roots: &LibraryRoots) {
        // Taken out, since the callback borrows the rest of `self`.
        let mut cache = std::mem::take(&mut self.cache);
        let library = scan(roots, &mut cache, &mut |found| {
            if self.is_update_due() && !found.entries.is_empty() {
                let mut found = found.clone();
                found.sort();
                self.publish(found);
            }
            self.should_continue()
        });
        self.cache = cache;
        if self.next_roots.is_none() && !self.is_closed {
            self.library = library;
            self.publish(self.library.clone());
        }
    }

    fn is_update_due(&self) -> bool {
        self.last_published.is_none_or(|published| published.elapsed() >= UPDATE_INTERVAL)
    }

    fn publish(&mut self, library: Library) {
        self.last_published = Some(Instant::now());
        (self.publish)(Arc::new(library));
    }

    /// Hashes the models that Tidepool can open, in the order of the list.
    fn hash(&mut self) {
        let entries = self.library.entries.iter().enumerate();
        let unhashed = entries.filter(|(_, entry)| entry.refusal.is_none() && entry.sha256.is_none());
        let mut queue: VecDeque<_> =
            unhashed.filter(|(_, entry)| !entry.hashed_files.is_empty()).map(|(index, _)| index).collect();
        while let Some(index) = queue.pop_front() {
            let files = self.library.entries[index].hashed_files.clone();
            let mut cache = std::mem::take(&mut self.cache);
            let sha256 = cache.hash(&files, &mut || self.may_hash(queue.len() + 1));
            self.cache = cache;
            if self.next_roots.is_some() || self.is_closed {
                return;
            }
            self.library.entries[index].sha256 = sha256;
            self.library.status = match queue.len() {
                0 => ScanStatus::Done,
                left => ScanStatus::Hashing { left },
            };
            if queue.is_empty() || self.is_update_due() {
                self.publish(self.library.clone());
            }
            self.cache.save_if_due();
        }
        self.cache.save();
    }

    /// Waits while hashing is paused; false if it should end.
    fn may_hash(&mut self, left: usize) -> bool {
        if self.library.status == ScanStatus::Done {
            self.library.status = ScanStatus::Hashing { left };
            self.publish(self.library.clone());
        }
        while self.should_continue() && self.is_paused {
            self.wait_for_command();
        }
        self.next_roots.is_none() && !self.is_closed
    }
}
