//! The command line: the engine without a window, for people who script and for tests.
//!
//! Results go to stdout, progress and remarks to stderr. The exit status is 0, 1 when something
//! failed, 2 when the command line itself cannot be meant.

mod concept_args;
mod film_args;
mod output_files;
mod peak_memory;
mod weight_info;
mod xy_plot;

mod args;
mod attention;
mod bench;
mod bench_load;
mod bench_orders;
mod convert;
mod devices;
mod get;
mod inspect;
mod models;
mod progress;
mod render;
mod sampling_args;
mod text_args;
mod tokens;
mod words;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::panic;
use std::process::ExitCode;

use clap::Parser;
use engine::images::Provenance;
use serde_json::Value;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};

/// Runs what the command line asks for; without a command, the window.
pub fn main() -> ExitCode {
    let args = Args::parse();
    log_to_stderr();
    // A panic is our bug and has been told on stderr; it is still no reason for an odd exit status.
    let done = panic::catch_unwind(move || run(args)).unwrap_or_else(|_| {
        Err(Failure::failed(
            "Tidepool made the mistake above; nothing that was saved is lost, and the mistake is \
             worth reporting",
        ))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, text }) => {
            eprintln!("{text}");
            ExitCode::from(status)
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        None => open_window(),
        Some(Command::Render(args)) => render::render(&args),
        Some(Command::Sheet(args)) => xy_plot::sheet(&args),
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

/// Our warnings, everybody's errors, and whatever else `RUST_LOG` asks for.
fn log_to_stderr() {
    let wanted =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error,app=warn,engine=warn"));
    tracing_subscriber::fmt().with_env_filter(wanted).with_writer(io::stderr).init();
}

/// Prints a result on a line of stdout.
fn print(result: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{result}") {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("The result could not be printed ({error})")))
        }
        _ => Ok(()),
    }
}

fn open_window() -> Result<(), Failure> {
    let opened = if has_display() {
        crate::run_window().map_err(|error| error.to_string())
    } else {
        Err("there is no display (neither WAYLAND_DISPLAY nor DISPLAY is set)".to_owned())
    };
    opened.map_err(|cause| {
        Failure::failed(format!(
            "The window could not be opened: {cause}.\n\
             Pictures can be made without one:\n\n    \
             tidepool render \"a red fox in the snow\" -o fox.png\n\n\
             and `tidepool --help` shows what else there is."
        ))
    })
}

/// False where a window has nowhere to go; only Linux starts without a display as a matter of course.
fn has_display() -> bool {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(target_os = "linux") || ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY"].iter().any(is_set)
}

/// The recipe as files have it: 7.3 stays 7.3, and a path that is no text is named as well as can be.
fn recipe_json(provenance: &Provenance) -> Value {
    serde_json::from_str(&provenance.recipe_json()).expect("it was JSON a moment ago")
}

/// Why a command ended early: a sentence for the user, and the exit status.
#[derive(Debug)]
struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    /// It was worth a try and did not work.
    fn failed(text: impl ToString) -> Self {
        Self { status: 1, text: text.to_string() }
    }

    /// The command line cannot be meant.
    fn usage(text: impl ToString) -> Self {
        Self { status: 2, text: text.to_string() }
    }
}
