//! The command line: the engine without a window, for scripts and for tests.
//!
//! Results go to stdout, progress and warnings to stderr. The exit status is 0 for success, 1 for a
//! failure, 2 for a usage error. `args` lists the commands, and each has a file of its own; what they
//! share is in `shared_args` and `run`.

mod animation_args;
mod args;
mod attention;
mod bench;
mod bench_load;
mod bench_orders;
mod concept_args;
mod convert;
mod devices;
mod get;
mod inspect;
mod models;
mod output_files;
mod peak_memory;
mod progress;
mod render;
mod render_args;
mod run;
mod sampling_args;
mod shared_args;
mod text_args;
mod tokens;
mod training_free_args;
mod trajectory_map;
mod weight_info;
mod words;
mod xy_plot;

use std::env;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use engine::images::Provenance;
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use args::{Args, Command};

use crate::window::crash_report::CollectLog;

/// Runs the given command; without one, opens the window.
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    set_runtime_folder();
    let args = Args::parse();
    log_to_stderr();
    // The panic hook has already printed what happened; the exit status should still be one of ours.
    let result = panic::catch_unwind(move || dispatch(args)).unwrap_or_else(|_| {
        Err(Failure::failed(
            "This is a bug in Tidepool; nothing that was saved is lost. Please report the message above",
        ))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, text }) => {
            eprintln!("{text}");
            ExitCode::from(status)
        }
    }
}

/// Sets `XDG_RUNTIME_DIR` to its usual value where it is missing, as in a container or after `su`.
///
/// Mesa's Vulkan layer looks for a Wayland display whenever adapters are listed, and without this variable
/// libwayland prints that as an error, although nothing is wrong.
#[cfg(target_os = "linux")]
fn set_runtime_folder() {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    const NAME: &str = "XDG_RUNTIME_DIR";
    let is_set = env::var_os(NAME).is_some_and(|folder| Path::new(&folder).is_absolute());
    if !is_set && let Ok(process) = fs::metadata("/proc/self") {
        // SAFETY: this is the first thing that the program does, so no other thread reads the environment.
        #[allow(unsafe_code)]
        unsafe {
            env::set_var(NAME, format!("/run/user/{}", process.uid()));
        }
    }
}

fn dispatch(args: Args) -> Result<(), Failure> {
    match args.command {
        None => open_window(args.files),
        Some(Command::Render(args)) => render::render(&args),
        Some(Command::XyPlot(args)) => xy_plot::xy_plot(&args),
        Some(Command::Tokens(args)) => tokens::tokens(&args),
        Some(Command::Words(args)) => words::words(&args),
        Some(Command::Inspect(args)) => inspect::inspect(&args),
        Some(Command::Models(args)) => models::models(&args),
        Some(Command::Get(args)) => get::get(&args),
        Some(Command::Devices(args)) => devices::devices(&args),
        Some(Command::Convert(args)) => convert::convert_all(&args),
        Some(Command::Bench(args)) => bench::bench(&args),
    }
}

/// Logs our warnings, errors of every crate, and whatever else `RUST_LOG` asks for.
fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error,app=warn,engine=warn"));
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_filter(filter);
    tracing_subscriber::registry().with(to_stderr).with(CollectLog).init();
}

/// Prints a result as a line on stdout.
fn print(result: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{result}") {
        // The reader has closed the pipe and wants no more.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("The result could not be printed ({error})")))
        }
        _ => Ok(()),
    }
}

fn open_window(files: Vec<PathBuf>) -> Result<(), Failure> {
    if let Some(missing) = files.iter().find(|file| !file.exists()) {
        return Err(Failure::usage(format!(
            "There is neither a command nor a file of this name; `tidepool --help` lists the commands: {}",
            missing.display()
        )));
    }
    let opened = if has_display() {
        crate::window::run_window(files).map_err(|error| error.to_string())
    } else {
        Err("there is no display (neither WAYLAND_DISPLAY nor DISPLAY is set)".to_owned())
    };
    opened.map_err(|cause| {
        Failure::failed(format!(
            "The window could not be opened: {cause}.\n\
             You can make pictures without it:\n\n    \
             tidepool render \"a red fox in the snow\" -o fox.png\n\n\
             See `tidepool --help` for all commands."
        ))
    })
}

/// False where a window cannot open; only Linux commonly starts without a display.
fn has_display() -> bool {
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY"].iter().any(is_set)
}

/// The recipe as it is written to files: 7.3 stays 7.3, and a path that is not UTF-8 is replaced by the
/// closest text.
fn recipe_json(provenance: &Provenance) -> Value {
    serde_json::from_str(&provenance.recipe_json()).expect("a recipe serializes to JSON")
}

/// Why a command ended early: a sentence for the user, and the exit status.
#[derive(Debug)]
struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    /// The command line was valid and the work failed.
    fn failed(text: impl ToString) -> Self {
        Self { status: 1, text: text.to_string() }
    }

    /// The command line is invalid.
    fn usage(text: impl ToString) -> Self {
        Self { status: 2, text: text.to_string() }
    }
}
