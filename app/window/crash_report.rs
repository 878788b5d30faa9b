//! What is left of a run of the program that went wrong: a text file beside the settings, which the next start points to.
//! Nothing is sent anywhere.
//!
//! While the window is open, a file collects what a report begins with: version, system, device, warnings. A clean end removes
//! it. A panic copies it and adds message and backtrace. What ends the program at once, such as a signal of a graphics
//! driver, leaves it behind, and the next start makes it a report, with what `crash_signal` wrote down.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::SystemTime;

use backtrace::{Backtrace, BacktraceSymbol};
use engine::error::EngineError;
use engine::memory::low_memory::panic_text;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// At most as many bytes are collected before anything goes wrong.
const MAX_COLLECTED: u64 = 1 << 20;

/// The reports of this program, once the window is open.
static REPORTS: OnceLock<CrashReports> = OnceLock::new();

/// The reports in a folder, and the file that collects what the next one begins with.
#[derive(Debug)]
struct CrashReports {
    folder: PathBuf,
    collected: Mutex<File>,
}

/// Collects what a report begins with, until it is dropped: then nothing went wrong, or it is reported already.
pub struct Collecting {
    /// The newest report that no start has pointed to yet.
    pub unseen: Option<PathBuf>,
}

/// Starts to collect, and reports every panic from now on.
///
/// Only the first of several programs with the same settings folder may call this.
pub fn begin(settings_folder: &Path) -> Collecting {
    let folder = settings_folder.join("crash-reports");
    let (reports, unseen) = match CrashReports::begin(folder) {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!("there will be no crash reports: {error}: {}", settings_folder.display());
            return Collecting { unseen: None };
        }
    };
    #[cfg(target_os = "linux")]
    if let Err(error) = super::crash_signal::catch(&reports.folder.join(SIGNAL)) {
        tracing::warn!("the report of a signal will say little: {error}");
    }
    if REPORTS.set(reports).is_ok() {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            usual(info);
            if let Some(reports) = REPORTS.get() {
                reports.report_panic(info);
            }
        }));
    }
    Collecting { unseen }
}

/// Adds a line to what a report begins with.
pub fn collect(line: &str) {
    if let Some(reports) = REPORTS.get() {
        reports.collect(line);
    }
}

/// Names a thread that is to crash: `engine`, `window` or `saver`; with `-signal` behind it by a fault, otherwise by a panic.
const CRASH: &str = "TIDEPOOL_CRASH";

/// Crashes here, once, if the environment asks for it.
///
/// Every build can, because what has to be proved is the program that people have. It harms nobody who does not ask for it.
pub fn crash_if_asked(thread: &str) {
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    let Ok(asked) = env::var(CRASH) else { return };
    match asked.strip_prefix(thread) {
        Some(kind @ ("" | "-signal")) if !IS_DONE.swap(true, Ordering::Relaxed) => {
            assert!(kind == "-signal", "{CRASH} asks for it");
            // SAFETY: there is none: the first page of memory is never mapped, and that ends the program.
            #[allow(unsafe_code)]
            unsafe {
                std::hint::black_box(std::ptr::without_provenance_mut::<u8>(8)).write_volatile(1);
            }
        }
        _ => {}
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        if let Some(reports) = REPORTS.get() {
            // If it stays, the next start tells of a crash that was none; that is no reason to trouble the user now.
            let _ = fs::remove_file(reports.folder.join(COLLECTED));
        }
    }
}

const COLLECTED: &str = "running.txt";
/// Written when a signal ends the program.
#[cfg(target_os = "linux")]
const SIGNAL: &str = "signal.txt";
/// Of reports that no start has pointed to yet.
const UNSEEN: &str = ".new.txt";

impl CrashReports {
    fn begin(folder: PathBuf) -> io::Result<(Self, Option<PathBuf>)> {
        fs::create_dir_all(&folder)?;
        let collected = folder.join(COLLECTED);
        if let Ok(mut text) = fs::read_to_string(&collected) {
            let unknown = "The program ended without a message: by a signal, or with the system.\n";
            text += "\n";
            text += why_it_ended(&folder).as_deref().unwrap_or(unknown);
            fs::write(new_name(&folder), text)?;
        }
        let unseen = see_reports(&folder)?;
        let mut file = File::create(collected)?;
        let system = sysinfo::System::long_os_version().unwrap_or_else(|_| env::consts::OS.to_owned());
        writeln!(file, "Tidepool {}\n{system}, {}", env!("TIDEPOOL_VERSION"), env::consts::ARCH)?;
        Ok((Self { folder, collected: Mutex::new(file) }, unseen))
    }

    fn collect(&self, line: &str) {
        // In a panic while a line is written, the line is not worth another.
        let Ok(mut file) = self.collected.lock() else { return };
        if file.metadata().is_ok_and(|file| file.len() < MAX_COLLECTED) {
            let _ = writeln!(file, "{}", without_private_text(line));
        }
    }

    fn report_panic(&self, info: &PanicHookInfo<'_>) {
        let message = panic_text(info.payload());
        // The run is repeated in low-memory mode.
        if matches!(EngineError::of_device(message), EngineError::OutOfMemory(_)) {
            return;
        }
        let place = info.location().map_or_else(String::new, |location| {
            format!("{}:{}", source_file(location.file()), location.line())
        });
        let thread = thread::current();
        self.write(thread.name().unwrap_or("without a name"), message, &place);
    }

    fn write(&self, thread: &str, message: &str, place: &str) {
        let collected = fs::read_to_string(self.folder.join(COLLECTED)).unwrap_or_default();
        let message = without_private_text(message);
        let text =
            format!("{collected}\nPanic in the thread {thread} at {place}:\n{message}\n\n{}", frames());
        if let Err(error) = fs::write(new_name(&self.folder), text) {
            // The logger may be what panicked.
            eprintln!("The crash report could not be written: {error}");
        }
    }
}

/// Why a program ended that wrote no report itself, as far as it is known.
#[cfg(target_os = "linux")]
fn why_it_ended(folder: &Path) -> Option<String> {
    let signal = fs::read(folder.join(SIGNAL)).ok()?;
    // It is told now. If it stays, the next one is written over it.
    let _ = fs::remove_file(folder.join(SIGNAL));
    Some(super::crash_signal::describe(&String::from_utf8_lossy(&signal)))
}

#[cfg(not(target_os = "linux"))]
fn why_it_ended(_: &Path) -> Option<String> {
    None
}

/// A file name that no report has.
fn new_name(folder: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let named = |number| folder.join(format!("{now}-{number}{UNSEEN}"));
    (0..).map(named).find(|path| !path.exists()).expect("there are more numbers than files")
}

/// Renames the reports that were not pointed to yet, and returns the newest.
fn see_reports(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(UNSEEN)) {
            let seen = folder.join(format!("{stem}.txt"));
            fs::rename(&path, &seen)?;
            newest = newest.max(Some(seen));
        }
    }
    Ok(newest)
}

/// The address of a function. Packages have no symbols, so other functions are given by their distance from this one, whose
/// address a build with symbols tells.
pub(super) fn anchor() -> usize {
    begin as fn(&Path) -> Collecting as usize
}

/// An address in the program, as a distance from [`anchor`].
pub(super) fn from_anchor(address: usize, anchor: usize) -> String {
    let sign = if address < anchor { '-' } else { '+' };
    format!("crash_report::begin{sign}{:#x}", address.abs_diff(anchor))
}

/// Where the program was.
fn frames() -> String {
    #[cfg(target_os = "linux")]
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    #[cfg(target_os = "linux")]
    let files = super::crash_signal::LoadedFiles::read(&maps);
    #[cfg(target_os = "linux")]
    let place = |address| files.place(address, anchor());
    #[cfg(not(target_os = "linux"))]
    let place = |address| from_anchor(address, anchor());
    let trace = Backtrace::new();
    let frames = trace.frames().iter().enumerate().map(|(index, frame)| {
        let place = place(frame.ip() as usize);
        let name = frame.symbols().iter().find_map(BacktraceSymbol::name);
        let name = name.map_or_else(String::new, |name| format!(" {name:#}"));
        format!("{index:3}: {place}{name}\n")
    });
    frames.collect()
}

/// `egui-0.37.0/src/context.rs` of a path into a package registry.
fn source_file(path: &str) -> &str {
    let in_registry = path.split_once("registry/src/").and_then(|(_, rest)| rest.split_once('/'));
    match in_registry {
        Some((_, file)) => file,
        None if Path::new(path).is_absolute() => path.rsplit(['/', '\\']).next().unwrap_or(path),
        None => path,
    }
}

/// The text without what may be private: absolute paths, which by the custom of our sentences end their line, and what is
/// in quotes, which may be of a prompt.
fn without_private_text(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let path =
            line.char_indices().find(|&(at, _)| starts_path(line, at)).map_or(line.len(), |(at, _)| at);
        let mut kept = String::new();
        for (index, part) in line[..path].split(['"', '`']).enumerate() {
            kept.push_str(if index % 2 == 0 { part } else { "\"…\"" });
        }
        if path < line.len() {
            kept.push_str("<path>");
        }
        kept
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether an absolute path starts at this byte: `/home`, `~/`, `C:\`, `\\server`.
fn starts_path(line: &str, at: usize) -> bool {
    let is_word_start =
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "/\\.~<".contains(before));
    let rest = &line.as_bytes()[at..];
    is_word_start
        && match rest {
            [b'/', next, ..] => !next.is_ascii_whitespace(),
            [b'~', b'/', ..] | [b'\\', b'\\', ..] => true,
            [drive, b':', b'\\' | b'/', ..] => drive.is_ascii_alphabetic(),
            _ => false,
        }
}

/// Collects warnings and errors.
pub struct CollectLog;

impl<S: Subscriber> Layer<S> for CollectLog {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() <= Level::WARN {
            let mut message = Message::default();
            event.record(&mut message);
            collect(&format!("{} {}: {}", metadata.level(), metadata.target(), message.0));
        }
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(folder: &Path) -> (CrashReports, Option<PathBuf>) {
        CrashReports::begin(folder.to_owned()).expect("a folder to write to")
    }

    #[test]
    fn a_program_that_is_killed_leaves_a_report_and_the_next_start_tells_of_it_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (killed, none) = reports(folder.path());
        assert_eq!(none, None);
        killed.collect("Radeon RX 6700 XT (Vulkan), f16");
        killed.collect("WARN engine: the file cannot be read: /home/anna/a model.safetensors");
        drop(killed);
        let (next, report) = reports(folder.path());
        let text = fs::read_to_string(report.expect("a file")).expect("a file");
        assert!(text.starts_with(&format!("Tidepool {}", env!("TIDEPOOL_VERSION"))), "{text}");
        assert!(text.contains("Radeon RX 6700 XT (Vulkan), f16"), "{text}");
        assert!(text.contains("signal"), "{text}");
        assert!(!text.contains("anna") && !text.contains("model.safetensors"), "{text}");
        fs::remove_file(next.folder.join(COLLECTED)).expect("a file");
        assert_eq!(reports(folder.path()).1, None, "it was told before");
    }

    #[test]
    fn a_panic_in_any_thread_is_reported_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let (running, _) = reports(folder.path());
        for thread in ["engine", "saver", "main"] {
            running.write(thread, "index 4 of `a secret prompt`", "app/window/app.rs:1");
        }
        let told = reports(folder.path()).1;
        let texts: Vec<String> = fs::read_dir(folder.path())
            .expect("a file")
            .map(|entry| fs::read_to_string(entry.expect("a file").path()).expect("a file"))
            .filter(|text| text.contains("Panic in the thread"))
            .collect();
        assert_eq!(texts.len(), 3);
        assert!(told.is_some());
        for text in texts {
            assert!(text.contains("app/window/app.rs:1") && text.contains("crash_report::begin"), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn private_text_is_taken_out_and_the_rest_kept() {
        for (text, kept) in [
            ("There is no such file: /home/anna/my pictures/a.png", "There is no such file: <path>"),
            (r"cannot be read: C:\Users\Anna\x.png", "cannot be read: <path>"),
            (r"cannot be read: \\server\anna\x.png", "cannot be read: <path>"),
            ("in ~/models", "in <path>"),
            ("byte 3 of `an otter` is not a boundary", "byte 3 of \"…\" is not a boundary"),
            ("the word \"otter\" and 1/2 or a/b", "the word \"…\" and 1/2 or a/b"),
            ("one line\nand (/tmp/x) another", "one line\nand (<path>"),
        ] {
            assert_eq!(without_private_text(text), kept);
        }
        let registry = "/home/anna/.cargo/registry/src/index-1949cf/egui-0.37.0/src/ui.rs";
        assert_eq!(source_file(registry), "egui-0.37.0/src/ui.rs");
        assert_eq!(source_file("/home/anna/tidepool/app/lib.rs"), "lib.rs");
        assert_eq!(source_file("app/lib.rs"), "app/lib.rs");
    }
}
