//! Exporting animations: options and progress.

mod handle;
pub(crate) mod panel;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::files::SaveError;
use engine::images::{Animation, AnimationFormat, write_animation};
use engine::pipeline::StopFlag;
use engine::pipeline::animation_export::AnimationOptions;

/// The state of the export card.
#[derive(Clone, Debug, Default)]
pub struct ExportState {
    pub is_open: bool,
    /// The animation shows the plot's pictures, not the run.
    pub is_of_plot: bool,
    pub format: AnimationFormat,
    pub options: AnimationOptions,
    pub phase: ExportPhase,
}

#[derive(Clone, Debug, Default)]
pub enum ExportPhase {
    #[default]
    Idle,
    /// The engine renders every step, 0 to 1; then a thread writes the file, 0 to 1.
    Cutting {
        path: PathBuf,
        fraction: f32,
        stop: StopFlag,
    },
    Writing {
        path: PathBuf,
        fraction: f32,
        stop: StopFlag,
    },
    Done {
        path: PathBuf,
    },
    /// An error sentence.
    Failed {
        text: String,
    },
}

impl ExportPhase {
    /// The stop flag of the export in progress.
    pub fn stop(&self) -> Option<&StopFlag> {
        match self {
            Self::Cutting { stop, .. } | Self::Writing { stop, .. } => Some(stop),
            Self::Idle | Self::Done { .. } | Self::Failed { .. } => None,
        }
    }
}

/// An animation that is ready to be written.
#[derive(Clone, Debug)]
pub struct ExportOrder {
    pub animation: Box<Animation>,
    pub format: AnimationFormat,
    pub path: PathBuf,
    pub stop: StopFlag,
}

/// A request about exporting an animation.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportCommand {
    /// Shows or hides the export card.
    Show(bool),
    /// Shows or hides the export card of the X/Y plot.
    ShowOfSheet(bool),
    Choose(AnimationFormat, AnimationOptions),
    /// Asks for a file name, then exports.
    Start,
    Cancel,
    /// Opens the folder of the exported file.
    OpenFolder,
}

/// Progress of the writing.
#[derive(Clone, Debug)]
pub enum ExportEvent {
    Progress { fraction: f32 },
    Written(PathBuf),
    Stopped,
    Failed(String),
}

/// Progress is reported at most this often.
const NEWS_EVERY: Duration = Duration::from_millis(100);

/// Writes an animation on a separate thread and reports progress.
pub fn write(order: ExportOrder, send: impl Fn(ExportEvent) + Send + 'static) {
    let work = move || {
        let ExportOrder { animation, format, path, stop } = order;
        let mut told = Instant::now();
        let written = write_animation(&path, format, &animation, &mut |fraction| {
            if told.elapsed() >= NEWS_EVERY {
                told = Instant::now();
                send(ExportEvent::Progress { fraction });
            }
            !stop.is_raised()
        });
        send(match written {
            Ok(()) => ExportEvent::Written(path),
            Err(SaveError::Stopped { .. }) => ExportEvent::Stopped,
            Err(error) => ExportEvent::Failed(error.to_string()),
        });
    };
    if let Err(error) = std::thread::Builder::new().name("film".into()).spawn(work) {
        tracing::error!("the export thread could not start: {error}");
    }
}

/// `path` with the extension of its format, which some dialogs leave out.
pub fn with_ending(path: PathBuf, format: AnimationFormat) -> PathBuf {
    let Some(ending) = format.extension() else { return path };
    let has = |ending: &str| path.extension().is_some_and(|given| given.eq_ignore_ascii_case(ending));
    if has(ending) || format == AnimationFormat::Apng && has("apng") {
        return path;
    }
    let mut name = path.into_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}

/// The folder to open once an animation is written.
pub fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.to_owned() } else { path.parent().unwrap_or(path).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gets_the_ending_that_it_lacks_and_no_second_one() {
        let of = |name: &str, format| with_ending(name.into(), format);
        assert_eq!(of("a", AnimationFormat::Gif), Path::new("a.gif"));
        assert_eq!(of("a.GIF", AnimationFormat::Gif), Path::new("a.GIF"));
        assert_eq!(of("seed 3.5", AnimationFormat::Mp4), Path::new("seed 3.5.mp4"));
        assert_eq!(of("a.apng", AnimationFormat::Apng), Path::new("a.apng"));
        assert_eq!(of("frames", AnimationFormat::Sequence), Path::new("frames"));
    }
}
