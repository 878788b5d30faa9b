//! One window a user: a second start hands its files to the window that is open, and ends.
//!
//! A lock on a file in the settings folder decides which start is the first, so two starts at once do no harm, and neither
//! does a program that ended without cleaning up. The first one listens on a local socket. It answers only when the window
//! has taken the files, so a start that meets a closing window waits for its end and opens one of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use directories::BaseDirs;
use sha2::{Digest, Sha256};
#[cfg(windows)]
use uds_windows::{UnixListener, UnixStream};

/// A second start waits at most this long for the window to take its files.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The longest list of files that is read, in bytes.
const MAX_MESSAGE: u64 = 16 << 20;
const TAKEN: &[u8] = b"taken\n";

/// What a start of the program is to do.
pub enum Start {
    /// Open the window.
    First(FirstInstance),
    /// Nothing: the window that is open has taken the files.
    HandedOver,
    /// Open a window beside another that does not answer, or where the settings folder cannot be locked.
    Beside,
}

/// The program whose window takes the files of later starts.
pub struct FirstInstance {
    lock: File,
    listener: UnixListener,
}

/// A later start. If it is dropped without [`taken`](Self::taken), it is made again.
pub struct SecondStart {
    pub files: Vec<PathBuf>,
    taken: Sender<()>,
}

impl SecondStart {
    /// The window has the files, so the other program may end.
    pub fn taken(self) -> Vec<PathBuf> {
        // The other program may be gone already.
        let _ = self.taken.send(());
        self.files
    }
}

/// Finds out whether this start is the first of those with the same settings folder, and hands `files` over if not.
pub fn start(folder: &Path, files: &[PathBuf]) -> Start {
    let begun = Instant::now();
    loop {
        match FirstInstance::claim(folder) {
            Ok(Some(first)) => return Start::First(first),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    "whether a window is open already cannot be told: {error}: {}",
                    folder.display()
                );
                return Start::Beside;
            }
        }
        // It fails while the other program is just starting or ending.
        if hand_over(folder, files).is_ok() {
            return Start::HandedOver;
        }
        if begun.elapsed() > MAX_WAIT {
            tracing::warn!("another window is open but does not answer");
            return Start::Beside;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

impl FirstInstance {
    /// `None` if another program is the first.
    fn claim(folder: &Path) -> io::Result<Option<Self>> {
        fs::create_dir_all(folder)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join("window.lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let socket = socket_path(folder)?;
        // Of a program that ended without removing it. Whoever holds the lock may.
        let _ = fs::remove_file(&socket);
        Ok(Some(Self { lock, listener: UnixListener::bind(socket)? }))
    }

    /// Sends every later start to the receiver, until that is dropped. `wake` is called after each.
    pub fn listen(self, wake: impl Fn() + Send + 'static) -> Receiver<SecondStart> {
        let (sender, starts) = unbounded();
        let serve = move || {
            let Self { lock: _lock, listener } = self;
            for stream in listener.incoming().flatten() {
                match serve(stream, &sender, &wake) {
                    Ok(true) => {}
                    // The window is gone, so the next start is the first.
                    Ok(false) => break,
                    Err(error) => tracing::warn!("a second start was not understood: {error}"),
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("second starts".to_owned()).spawn(serve) {
            tracing::warn!("later starts will open a window of their own: {error}");
        }
        starts
    }
}

/// Reads one start and answers once its files are taken. Returns whether anyone takes them.
fn serve(stream: UnixStream, starts: &Sender<SecondStart>, wake: &impl Fn()) -> io::Result<bool> {
    stream.set_read_timeout(Some(MAX_WAIT))?;
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    (&mut stream).take(MAX_MESSAGE).read_until(b'\n', &mut line)?;
    let files: Vec<OsString> = serde_json::from_slice(&line)?;
    let (taken, is_taken) = bounded(1);
    let start = SecondStart { files: files.into_iter().map(PathBuf::from).collect(), taken };
    if starts.send(start).is_err() {
        return Ok(false);
    }
    wake();
    // Without an answer, because the window is closing, the other program tries again.
    if is_taken.recv_timeout(MAX_WAIT).is_ok() {
        stream.get_mut().write_all(TAKEN)?;
    }
    Ok(true)
}

/// Sends `files` to the first instance and waits until they are taken.
fn hand_over(folder: &Path, files: &[PathBuf]) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket_path(folder)?)?;
    stream.set_read_timeout(Some(MAX_WAIT))?;
    // The window has another working folder.
    let files: Vec<OsString> = files
        .iter()
        .map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()).into_os_string())
        .collect();
    let mut message = serde_json::to_vec(&files)?;
    message.push(b'\n');
    stream.write_all(&message)?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(TAKEN.len() as u64).read_until(b'\n', &mut answer)?;
    if answer == TAKEN { Ok(()) } else { Err(io::ErrorKind::ConnectionReset.into()) }
}

/// A path that no other settings folder has, in a folder of the user's. It has to be short: the systems allow about a hundred
/// bytes.
fn socket_path(folder: &Path) -> io::Result<PathBuf> {
    let digest = Sha256::digest(fs::canonicalize(folder)?.as_os_str().as_encoded_bytes());
    let id: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let runtime = BaseDirs::new().and_then(|dirs| dirs.runtime_dir().map(Path::to_owned));
    let parent = runtime.filter(|folder| folder.is_dir()).unwrap_or_else(std::env::temp_dir);
    Ok(parent.join(format!("tidepool-{id}.sock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;

    #[test]
    fn of_twenty_starts_at_once_one_opens_a_window_and_it_gets_every_file_of_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let files: Vec<PathBuf> = (0..40).map(|index| folder.path().join(format!("{index}.png"))).collect();
        let (windows, opened) = unbounded();
        let mut received = BTreeSet::new();
        thread::scope(|scope| {
            for files in files.chunks(2) {
                let (folder, windows) = (folder.path(), windows.clone());
                scope.spawn(move || {
                    if let Start::First(first) = start(folder, files) {
                        windows.send((first.listen(|| {}), files)).expect("a receiver");
                    }
                });
            }
            drop(windows);
            let (starts, own) = opened.recv().expect("a start");
            received.extend(own.iter().cloned());
            // Every other start waits until its files are taken.
            while received.len() < files.len() {
                received.extend(starts.recv().expect("a start").taken());
            }
            assert!(opened.recv().is_err(), "a second window opened");
        });
        assert_eq!(received, files.iter().cloned().collect());
    }

    #[test]
    fn a_name_that_is_not_unicode_is_handed_over_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        #[cfg(unix)]
        let name = <OsString as std::os::unix::ffi::OsStringExt>::from_vec(b"/tmp/\xff.png".to_vec());
        #[cfg(windows)]
        let name = <OsString as std::os::windows::ffi::OsStringExt>::from_wide(&[0x43, 0x3a, 0x5c, 0xd800]);
        let Start::First(first) = start(folder.path(), &[]) else { panic!("it is the first") };
        let starts = first.listen(|| {});
        thread::scope(|scope| {
            let second = scope.spawn(|| start(folder.path(), &[PathBuf::from(&name)]));
            assert_eq!(starts.recv().expect("a start").taken(), [PathBuf::from(&name)]);
            assert!(matches!(second.join().expect("no panic"), Start::HandedOver));
        });
    }

    #[test]
    fn after_a_crash_the_next_start_is_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let Start::First(first) = start(folder.path(), &[]) else { panic!("it is the first") };
        // The lock and the listener end with the program; the socket's file stays.
        drop(first);
        assert!(socket_path(folder.path()).expect("a path").exists());
        assert!(matches!(start(folder.path(), &[]), Start::First(_)));
    }

    #[test]
    fn a_start_that_meets_a_closing_window_opens_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let Start::First(first) = start(folder.path(), &[]) else { panic!("it is the first") };
        let starts = first.listen(|| {});
        thread::scope(|scope| {
            let second = scope.spawn(|| start(folder.path(), &["a.png".into()]));
            // The window is closed before it looks at what arrived.
            let unseen = starts.recv().expect("a start");
            drop((unseen, starts));
            assert!(matches!(second.join().expect("no panic"), Start::First(_)));
        });
    }
}
