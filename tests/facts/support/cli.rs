//! Runs the program as a person or a script does.

use std::path::Path;
use std::process::{Command, Output};

/// What a command said and how it ended.
pub struct Said {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs the program in `folder`, with settings and pictures of its own and without a display.
pub fn tidepool(folder: &Path, args: &[&str]) -> Said {
    command(folder, args).output().expect("the program starts").into()
}

pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidepool"));
    command.args(args).current_dir(folder).env("TIDEPOOL_HOME", folder.join(".home"));
    for display in ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"] {
        command.env_remove(display);
    }
    command
}
