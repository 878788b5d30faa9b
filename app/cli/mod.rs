//! The command line: the engine without a window, for people who script and for tests.
//!
//! Results go to stdout, progress and remarks to stderr. The exit status is 0, 1 when something
//! failed, 2 when the command line itself cannot be meant.

mod args;
mod bench;
mod devices;
mod files;
mod inspect;
mod memory;
mod progress;
mod render;
mod weights;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Runs what the command line asks for; without a command, the window.
pub fn main() -> ExitCode {
    let done = match Args::parse().command {
        None => open_window(),
        Some(Command::Render(args)) => render::render(&args),
        Some(Command::Inspect(args)) => inspect::inspect(&args),
        Some(Command::Devices(args)) => devices::devices(&args),
        Some(Command::Bench(args)) => bench::bench(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, text }) => {
            eprintln!("{text}");
            ExitCode::from(status)
        }
    }
}

fn open_window() -> Result<(), Failure> {
    crate::run_window().map_err(|error| {
        Failure::failed(format!(
            "The window could not be opened: {error}\n\
             Pictures can be made without one:\n\n    \
             tidepool render \"a red fox in the snow\" -o fox.png\n\n\
             and `tidepool --help` shows what else there is."
        ))
    })
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
