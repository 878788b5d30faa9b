//! What can still be written down when a signal ends the program, such as that of a faulty graphics driver.
//!
//! A signal handler may neither allocate nor wait for a lock, so it only copies: which files are loaded where, and the
//! addresses on the stack. The next start makes a part of a report of that. Linux alone needs it: macOS and Windows write
//! such reports themselves.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_void, siginfo_t};
use rustix::fs::{Mode, OFlags, open};

use super::crash_report::{anchor, from_anchor};

const SIGNALS: [(c_int, &str); 5] = [
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGSEGV, "SIGSEGV"),
];
/// An endless recursion has many more.
const MAX_FRAMES: usize = 200;
/// After this time the program ends, whatever was written down.
const MAX_SECS: u32 = 10;

static HANDLER: OnceLock<Handler> = OnceLock::new();
static IS_ENDING: AtomicBool = AtomicBool::new(false);

struct Handler {
    file: CString,
    /// What the signals did before: the standard library tells of a stack overflow.
    previous: [libc::sigaction; SIGNALS.len()],
}

/// From now on, a signal that ends the program leaves `file`.
#[allow(unsafe_code)]
pub fn catch(file: &Path) -> io::Result<()> {
    let file = CString::new(file.as_os_str().as_bytes())?;
    // SAFETY: zeros are a valid value of this structure of the C library.
    let mut previous: [libc::sigaction; SIGNALS.len()] = unsafe { std::mem::zeroed() };
    for ((signal, _), previous) in SIGNALS.into_iter().zip(&mut previous) {
        // SAFETY: the pointers are valid, and null asks without changing anything.
        unsafe { libc::sigaction(signal, std::ptr::null(), previous) };
    }
    if HANDLER.set(Handler { file, previous }).is_err() {
        return Ok(());
    }
    for (signal, _) in SIGNALS {
        // SAFETY: as above; the handler keeps the rules of signal-safety(7) but for the unwinder, see `on_signal`.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
            // The stack may be what is full.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &action, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Writes down what can be, and lets the signal do what it did before.
///
/// Walking up the stack is the one thing that is not promised to be safe here: the unwinder may wait for a lock that the
/// interrupted thread holds. So it comes last, and an alarm ends the program if it takes too long.
#[allow(unsafe_code)]
extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    if IS_ENDING.swap(true, Ordering::Relaxed) {
        // The thread that came first ends the program.
        loop {
            // SAFETY: it has no conditions.
            unsafe { libc::pause() };
        }
    }
    let Some(handler) = HANDLER.get() else { return };
    // SAFETY: it has no conditions.
    unsafe { libc::alarm(MAX_SECS) };
    // There is nobody to tell of an error.
    let _ = write_down(&handler.file, signal);
    for ((signal, _), previous) in SIGNALS.iter().zip(&handler.previous) {
        // SAFETY: the pointers are valid. The program continues with an instruction that faults again.
        unsafe { libc::sigaction(*signal, previous, std::ptr::null_mut()) };
    }
    // SAFETY: the system passes a valid pointer.
    let is_sent = unsafe { info.as_ref() }.is_some_and(|info| info.si_code <= 0);
    if is_sent {
        // By a process or by `abort`: no instruction will fault.
        // SAFETY: it has no conditions.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

#[allow(unsafe_code)]
fn write_down(file: &CStr, signal: c_int) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let mut file = File::from(open(file, flags, Mode::RUSR | Mode::WUSR)?);
    writeln!(file, "signal {signal}")?;
    write!(file, "thread ")?;
    copy(c"/proc/thread-self/comm", &mut file)?;
    writeln!(file, "anchor {:#x}", anchor())?;
    copy(c"/proc/self/maps", &mut file)?;
    let mut count = 0;
    // SAFETY: unlike `trace` it does not wait for a thread that walks up its own stack, which does no harm.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            count += 1;
            writeln!(file, "frame {:#x}", frame.ip() as usize).is_ok() && count < MAX_FRAMES
        });
    }
    Ok(())
}

/// Copies by pieces that fit on the small stack of a signal handler.
fn copy(from: &CStr, to: &mut File) -> io::Result<()> {
    let mut from = File::from(open(from, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut piece = [0; 512];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            len => to.write_all(&piece[..len])?,
        }
    }
}

/// A part of a loaded file.
struct Mapping<'a> {
    addresses: Range<usize>,
    path: &'a str,
}

impl<'a> Mapping<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(Self { addresses: address(start)?..address(end)?, path: &rest[rest.find('/')?..] })
    }
}

/// The program and its libraries, and where they are loaded.
pub struct LoadedFiles<'a>(Vec<Mapping<'a>>);

impl<'a> LoadedFiles<'a> {
    /// Of the lines of `/proc/self/maps`.
    pub fn read(text: &'a str) -> Self {
        Self(text.lines().filter_map(Mapping::read).collect())
    }

    /// An address in the program as its distance from [`anchor`], and one in a library by its name, without the folder.
    pub fn place(&self, address: usize, anchor: usize) -> String {
        let path_of =
            |address| self.0.iter().find(|part| part.addresses.contains(&address)).map(|part| part.path);
        let Some(path) = path_of(address) else { return format!("{address:#x}") };
        if path_of(anchor) == Some(path) {
            return from_anchor(address, anchor);
        }
        let parts = self.0.iter().filter(|part| part.path == path);
        let start = parts.map(|part| part.addresses.start).min().unwrap_or_default();
        format!("{}+{:#x}", path.rsplit('/').next().unwrap_or(path), address - start)
    }
}

/// What a handler wrote down, as a part of a report.
pub fn describe(text: &str) -> String {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let address = |text: &str| usize::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let number: c_int = field("signal").and_then(|number| number.parse().ok()).unwrap_or_default();
    let name = SIGNALS.iter().find(|(signal, _)| *signal == number).map_or("a signal", |(_, name)| name);
    let thread = field("thread").unwrap_or("without a name");
    let mut report = format!("The program was ended by {name} in the thread {thread}:\n\n");
    let files = LoadedFiles::read(text);
    let anchor = field("anchor").and_then(address).unwrap_or_default();
    let frames = text.lines().filter_map(|line| address(line.strip_prefix("frame ")?));
    for (index, frame) in frames.enumerate() {
        report += &format!("{index:3}: {}\n", files.place(frame, anchor));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_by_its_distance_from_the_anchor_or_by_its_library_without_a_folder() {
        let text = "signal 11\nthread engine\nanchor 0x5500003000\n\
                    5500000000-5500002000 r--p 00000000 fd:00 12    /home/anna/my programs/tidepool\n\
                    5500002000-5500009000 r-xp 00002000 fd:00 12    /home/anna/my programs/tidepool\n\
                    7f0000000000-7f0000010000 r--p 00000000 fd:00 99    /home/anna/lib/libvulkan_lvp.so\n\
                    7f0000010000-7f0000080000 r-xp 00010000 fd:00 99    /home/anna/lib/libvulkan_lvp.so\n\
                    7f0000080000-7f0000081000 rw-p 00000000 00:00 0\n\
                    frame 0x5500002ff0\nframe 0x5500003010\nframe 0x7f0000010123\nframe 0x7f0000080001\nframe 0x1\n";
        assert_eq!(
            describe(text),
            "The program was ended by SIGSEGV in the thread engine:\n\n  \
             0: crash_report::begin-0x10\n  \
             1: crash_report::begin+0x10\n  \
             2: libvulkan_lvp.so+0x10123\n  \
             3: 0x7f0000080001\n  \
             4: 0x1\n"
        );
    }

    #[test]
    fn what_was_cut_short_is_described_as_far_as_it_goes() {
        let thread = "in the thread without a name:\n\n";
        assert_eq!(describe("signal 6\n"), format!("The program was ended by SIGABRT {thread}"));
        assert_eq!(describe(""), format!("The program was ended by a signal {thread}"));
    }
}
