//! The thread that keeps the catalogue: looks through the folders when asked, and hashes when nobody
//! needs the machine.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use thread_priority::{ThreadPriority, set_current_thread_priority};

use super::{Library, LibraryRoots, MetadataCache, ScanStatus, scan};

/// What the librarian is told.
#[derive(Clone, Debug)]
pub enum ScanCommand {
    /// Look through these folders, and forget what was found before.
    Scan(LibraryRoots),
    /// Hash nothing for now, since something else needs disk and cores; or go on.
    Pause(bool),
}

/// So often, at most, is the window shown an unfinished list.
const NEWS_EVERY: Duration = Duration::from_millis(250);

/// The thread. It ends soon after this is dropped; nobody waits for it, since a disk that does not
/// answer may hold it up.
pub struct LibraryScanner {
    orders: Sender<ScanCommand>,
}

impl LibraryScanner {
    /// `notes_folder` is where the notes are kept, and `tell` hears of every change of the catalogue.
    pub fn start(notes_folder: PathBuf, tell: impl Fn(Arc<Library>) + Send + 'static) -> Self {
        let (orders, received) = unbounded();
        let desk = move || {
            // Where the system refuses, it works at the usual pace.
            let _ = set_current_thread_priority(ThreadPriority::Min);
            ScannerThread {
                orders: received,
                next: None,
                is_resting: false,
                is_closed: false,
                notes: MetadataCache::open(&notes_folder),
                catalogue: Library::default(),
                tell: Box::new(tell),
                told: None,
            }
            .work();
        };
        if let Err(error) = std::thread::Builder::new().name("librarian".into()).spawn(desk) {
            tracing::error!("no thread for the library: {error}");
        }
        Self { orders }
    }

    /// Never waits.
    pub fn send(&self, order: ScanCommand) {
        let _ = self.orders.send(order);
    }
}

struct ScannerThread {
    orders: Receiver<ScanCommand>,
    /// Folders to look through as soon as what is at hand has been left.
    next: Option<LibraryRoots>,
    is_resting: bool,
    /// The window is gone.
    is_closed: bool,
    notes: MetadataCache,
    catalogue: Library,
    tell: Box<dyn Fn(Arc<Library>)>,
    told: Option<Instant>,
}

impl ScannerThread {
    fn work(mut self) {
        while !self.is_closed {
            match self.next.take() {
                Some(shelves) => {
                    self.look(&shelves);
                    self.hash();
                }
                None => match self.orders.recv() {
                    Ok(order) => self.take(order),
                    Err(_) => self.is_closed = true,
                },
            }
        }
        self.notes.save();
    }

    fn take(&mut self, order: ScanCommand) {
        match order {
            ScanCommand::Scan(shelves) => self.next = Some(shelves),
            ScanCommand::Pause(rest) => self.is_resting = rest,
        }
    }

    /// Hears what was ordered meanwhile, and answers whether to go on with what is at hand.
    fn goes_on(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.take(order),
                Err(TryRecvError::Empty) => return self.next.is_none(),
                Err(TryRecvError::Disconnected) => {
                    self.is_closed = true;
                    return false;
                }
            }
        }
    }

    fn look(&mut self, shelves: &LibraryRoots) {
        // The notes are lent to the scan while the rest of the desk watches over it.
        let mut notes = std::mem::take(&mut self.notes);
        let catalogue = scan(shelves, &mut notes, &mut |found| {
            if self.told.is_none_or(|told| told.elapsed() >= NEWS_EVERY) && !found.entries.is_empty() {
                let mut found = found.clone();
                found.arrange();
                self.say(found);
            }
            self.goes_on()
        });
        self.notes = notes;
        if self.next.is_none() && !self.is_closed {
            self.catalogue = catalogue;
            self.say(self.catalogue.clone());
        }
    }

    fn say(&mut self, catalogue: Library) {
        self.told = Some(Instant::now());
        (self.tell)(Arc::new(catalogue));
    }

    /// Hashes what Tidepool opens, file by file, in the order of the list.
    fn hash(&mut self) {
        let entries = self.catalogue.entries.iter().enumerate();
        let wanted = entries.filter(|(_, entry)| entry.refusal.is_none() && entry.sha256.is_none());
        let mut wanted: VecDeque<_> =
            wanted.filter(|(_, entry)| !entry.hashed.is_empty()).map(|(at, _)| at).collect();
        while let Some(at) = wanted.pop_front() {
            let files = self.catalogue.entries[at].hashed.clone();
            let mut notes = std::mem::take(&mut self.notes);
            let sha256 = notes.hash(&files, &mut || self.may_hash(wanted.len() + 1));
            self.notes = notes;
            if self.next.is_some() || self.is_closed {
                return;
            }
            self.catalogue.entries[at].sha256 = sha256;
            self.catalogue.work = match wanted.len() {
                0 => ScanStatus::Done,
                left => ScanStatus::Hashing { left },
            };
            if wanted.is_empty() || self.told.is_none_or(|told| told.elapsed() >= NEWS_EVERY) {
                self.say(self.catalogue.clone());
            }
            self.notes.save_at_times();
        }
        self.notes.save();
    }

    /// Waits out a rest; false if there is something else to do.
    fn may_hash(&mut self, left: usize) -> bool {
        if self.catalogue.work == ScanStatus::Done {
            self.catalogue.work = ScanStatus::Hashing { left };
            self.say(self.catalogue.clone());
        }
        while self.goes_on() && self.is_resting {
            match self.orders.recv() {
                Ok(order) => self.take(order),
                Err(_) => self.is_closed = true,
            }
        }
        self.next.is_none() && !self.is_closed
    }
}
