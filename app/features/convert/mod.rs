//! Converting a pickle to a safetensors file beside it: offered while a pickle is in use, done on a separate
//! thread.

mod handle;
pub(crate) mod panel;

use std::path::{Path, PathBuf};

use engine::checkpoint;
use engine::checkpoint::ModelSource;
use engine::files::{PICKLE_EXTENSIONS, has_extension};
use engine::format::human_size;
use engine::pipeline::StopFlag;

/// The progress of converting a model's file.
#[derive(Clone, Debug, Default)]
pub enum Conversion {
    /// No conversion is under way.
    #[default]
    Idle,
    Running {
        file: PathBuf,
        fraction: f32,
        stop: StopFlag,
    },
    /// The converted file.
    Done(PathBuf),
}

/// A request about converting the current model, which is a pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConvertCommand {
    /// Writes it as safetensors.
    Start,
    Cancel,
    /// Keeps the pickle and does not ask again.
    Decline,
    /// Opens the converted file.
    UseIt,
    Close,
}

/// What the conversion reports.
#[derive(Clone, Debug)]
pub enum ConversionReport {
    Progress(f32),
    /// The converted file, or an error sentence.
    Ended(Result<PathBuf, String>),
}

/// The pickle of a model, if it has no safetensors file beside it yet.
pub fn pickle_of(source: &ModelSource) -> Option<&Path> {
    let ModelSource::File(file) = source else { return None };
    has_extension(file, &PICKLE_EXTENSIONS).then_some(file.as_path())
}

/// Converts a pickle after checking the disk space, and returns the new file.
///
/// `progress` receives the fraction written and returns whether to continue.
pub fn convert(pickle: &Path, progress: &mut dyn FnMut(f32) -> bool) -> Result<PathBuf, String> {
    check_size(pickle, fs4::available_space(pickle.parent().unwrap_or(pickle)).ok())?;
    checkpoint::convert(pickle, progress).map_err(|error| error.to_string())
}

/// A safetensors file is about as large as the pickle. Where the free space is unknown, it is tried.
fn check_size(pickle: &Path, free: Option<u64>) -> Result<(), String> {
    let needed = pickle.metadata().map_or(0, |about| about.len());
    match free {
        Some(free) if free < needed => Err(format!(
            "The converted file needs {}, and {} are free on its disk. Free some space there \
                first: {}",
            human_size(needed),
            human_size(free),
            pickle.display()
        )),
        _ => Ok(()),
    }
}

/// Converts and reports progress; runs on a separate thread.
pub fn run(pickle: &Path, stop: &StopFlag, send: impl Fn(ConversionReport)) {
    let mut told = -1.0;
    let ended = convert(pickle, &mut |fraction| {
        if fraction - told >= 0.01 {
            told = fraction;
            send(ConversionReport::Progress(fraction));
        }
        !stop.is_raised()
    });
    send(ConversionReport::Ended(ended));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_room_nothing_is_begun_and_the_sentence_says_how_much_is_missing() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let pickle = folder.path().join("old.ckpt");
        std::fs::write(&pickle, vec![0; 3_000_000]).expect("writes");
        assert_eq!(check_size(&pickle, Some(3_000_000)), Ok(()));
        assert_eq!(check_size(&pickle, None), Ok(()));
        let text = check_size(&pickle, Some(1_000_000)).expect_err("too little room");
        assert!(text.contains("3 MB") && text.contains("1 MB") && text.ends_with("old.ckpt"), "{text}");
    }

    #[test]
    fn only_models_in_a_pickle_are_offered_it() {
        let file = |name: &str| ModelSource::File(name.into());
        assert_eq!(pickle_of(&file("a.CKPT")), Some(Path::new("a.CKPT")));
        for other in
            [file("a.safetensors"), file("a"), ModelSource::Folder("a.ckpt".into()), ModelSource::BuiltIn]
        {
            assert_eq!(pickle_of(&other), None);
        }
    }
}
