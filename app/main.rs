//! `tidepool`: the window, or one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    app::cli::main()
}
