//! Runs the program as a person or a script does.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};

use super::waiting::wait_until;

/// What a command printed and how it ended.
pub struct CommandOutput {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs the program in `folder`, with settings and pictures of its own and without a display.
pub fn tidepool(folder: &Path, args: &[&str]) -> CommandOutput {
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

/// Waits until a process has computed for a fifth of a second since it was asked, so that a signal meets it
/// at work.
pub fn wait_until_busy(process: &Child) {
    // In the unit of `utime` in proc(5): hundredths of a second on every Linux.
    let computed = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        fields.split(' ').nth(11)?.parse::<u64>().ok()
    };
    // Other systems say nothing, and there the signal comes at once.
    if let Some(before) = computed() {
        wait_until("the work of the process", || computed().is_none_or(|now| now >= before + 20));
    }
}
