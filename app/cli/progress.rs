//! Progress bars on stderr, hidden unless stderr is a terminal.

use std::fmt::Write;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A task whose progress is a fraction, such as "opening the model".
pub fn fraction_bar(task: &str) -> ProgressBar {
    bar(1000, &format!("{task} {{wide_bar}} {{percent:>3}} %"))
}

/// Making an X/Y plot: the steps of all its pictures, and which picture is being made.
pub fn xy_plot_bar(steps: u64) -> ProgressBar {
    bar(steps, "{wide_bar} {msg} · step {pos} of {len} · {speed} · {eta} left")
}

/// Sampling: steps, speed and remaining time.
pub fn steps_bar(steps: usize) -> ProgressBar {
    bar(steps as u64, "{wide_bar} step {pos} of {len} · {speed} · {eta} left")
}

/// Downloading a model: bytes, speed and remaining time.
pub fn download_bar(bytes: u64) -> ProgressBar {
    let template =
        "{msg}\n{wide_bar} {decimal_bytes} of {decimal_total_bytes} · {decimal_bytes_per_sec} · {eta} left";
    bar(bytes, template)
}

/// Measuring: rounds.
pub fn bench_bar(rounds: u64) -> ProgressBar {
    bar(rounds, "measuring {wide_bar} {pos} of {len}")
}

/// Sets a [`fraction_bar`], 0 to 1.
pub fn set_fraction(bar: &ProgressBar, fraction: f32) {
    bar.set_position((fraction.clamp(0.0, 1.0) * 1000.0) as u64);
}

fn bar(len: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template)
        .expect("the templates of this file are valid")
        .with_key("speed", |state: &ProgressState, text: &mut dyn Write| {
            // A formatting error cannot be reported from here.
            let _ = write!(text, "{:.1} it/s", state.per_sec());
        })
        .progress_chars("━╸─");
    ProgressBar::new(len).with_style(style)
}
