//! Crashes of the program that people have, each asked for with `TIDEPOOL_CRASH`: what is left of one, and what the next start
//! makes of it.
//!
//! The window opens on a screen without a monitor, which a server of its own draws. Leave these facts out with
//! `cargo test --release --workspace -- --skip crashes::`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::support::cli::command;
use crate::support::folders::{folder, names};
use crate::support::waiting::wait_until;

const SIGSEGV: i32 = 11;

/// An X server without a monitor.
struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    fn open() -> Self {
        let server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x720x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut server = server.expect(
            "the window needs a screen. Install one without a monitor (on Debian: `apt-get install xvfb`), or leave \
             these facts out: `cargo test --release --workspace -- --skip crashes::`",
        );
        let mut number = String::new();
        let mut said = BufReader::new(server.stdout.take().expect("a pipe"));
        said.read_line(&mut number).expect("the number of the display");
        Self { server, display: format!(":{}", number.trim()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A settings folder, and the starts of the program with it.
struct Home<'a> {
    folder: &'a Path,
    screen: &'a Screen,
}

impl Home<'_> {
    /// Opens the window. `unknown` is in a warning of its log.
    fn start(&self, crash: &str, unknown: &Path) -> Child {
        // A file that is opened is remembered in the settings, which gives the saver something to do.
        let mut program = command(self.folder, &["start.png"]);
        program.env("DISPLAY", &self.screen.display).env("XDG_RUNTIME_DIR", self.folder);
        program.env("TIDEPOOL_CRASH", crash).env("TIDEPOOL_WINDOW_SYSTEM", unknown);
        program.stderr(Stdio::null()).spawn().expect("the program starts")
    }

    fn report_folder(&self) -> PathBuf {
        self.folder.join(".home/crash-reports")
    }

    /// Whether a start that was given `unknown` has opened its window.
    fn is_open(&self, unknown: &str) -> bool {
        let collected = fs::read_to_string(self.report_folder().join("running.txt")).unwrap_or_default();
        collected.contains(&format!("ignored: {unknown}\n")) && collected.contains("\nWindow: ")
    }
}

/// Closes the window as the end of the session does.
fn close(mut program: Child) -> ExitStatus {
    let kill = Command::new("kill").args(["-TERM", &program.id().to_string()]).status();
    assert!(kill.expect("kill runs").success(), "the program has ended already");
    program.wait().expect("it ends")
}

/// Crashes a thread, starts the program again, and returns how the first one ended and the report.
fn crash(screen: &Screen, crash: &str, survives: bool) -> (ExitStatus, String) {
    let folder = folder();
    let home = Home { folder: folder.path(), screen };
    image::RgbImage::new(64, 64).save(folder.path().join("start.png")).expect("a picture");
    let mut program = home.start(crash, folder.path());
    let status = if survives {
        let is_reported = || names(&home.report_folder()).iter().any(|name| name.ends_with(".new.txt"));
        wait_until("the window and a report", || home.is_open("<path>") && is_reported());
        close(program)
    } else {
        program.wait().expect("it ends")
    };
    let next = home.start("", Path::new("the next"));
    wait_until("the next window", || home.is_open("the next"));
    assert!(close(next).success(), "{crash}: the next start works");
    // It has told of the report, and nothing else is left.
    let [report] = &names(&home.report_folder())[..] else { panic!("{crash}: one report") };
    assert!(!report.ends_with(".new.txt"), "{crash}: {report}");
    let text = fs::read_to_string(home.report_folder().join(report)).expect("a text");
    assert!(text.starts_with("Tidepool "), "{crash}: {text}");
    assert!(text.contains("TIDEPOOL_WINDOW_SYSTEM is neither"), "{crash}: {text}");
    assert!(!text.contains(&*folder.path().to_string_lossy()), "{crash}: {text}");
    assert!(text.lines().filter(|line| line.contains("crash_report::begin")).count() > 3, "{crash}: {text}");
    (status, text)
}

#[test]
fn a_panic_leaves_a_report_and_only_that_of_the_window_ends_the_program() {
    let screen = Screen::open();
    for (thread, name) in [("engine", "engine"), ("saver", "saver"), ("window", "main")] {
        let survives = thread != "window";
        let (status, report) = crash(&screen, thread, survives);
        assert_eq!(status.code(), Some(i32::from(!survives)), "{thread}");
        let begin = format!("Panic in the thread {name} at app/window/crash_report.rs:");
        assert!(report.contains(&begin), "{thread}: {report}");
    }
}

#[test]
fn a_fault_ends_the_program_by_its_signal_and_the_next_start_reports_where_it_was() {
    let screen = Screen::open();
    for (thread, name) in [("engine", "engine"), ("saver", "saver"), ("window", "tidepool")] {
        let (status, report) = crash(&screen, &format!("{thread}-signal"), false);
        assert_eq!(status.signal(), Some(SIGSEGV), "{thread}");
        let begin = format!("ended by SIGSEGV in the thread {name}:");
        assert!(report.contains(&begin), "{thread}: {report}");
        assert!(report.contains("libc.so.6+0x"), "{thread}: {report}");
    }
}
