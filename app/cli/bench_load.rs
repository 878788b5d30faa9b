//! `tidepool bench --load`: how long a model takes to open and how much memory, beside the time that
//! the disk takes to read the same bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Instant;

use engine::checkpoint::ModelSource;
use engine::pipeline::Pipeline;
use serde::Serialize;
use serde_json::json;

use super::args::BenchArgs;
use super::bench::median;
use super::models::source_of;
use super::{Failure, peak_memory, print, render};

/// Medians, and what they were measured on.
#[derive(Debug, Serialize)]
struct Figures {
    /// With the files out of the system's cache; null where it cannot be emptied.
    cold: Option<Times>,
    /// With the files in the cache, or as much of them as fits.
    warm: Times,
    /// Bytes of the weight files.
    file_bytes: u64,
    /// Bytes of the weights on the device.
    held_bytes: u64,
    /// Most memory that the process ever had; null where the system does not tell.
    peak_memory_bytes: Option<u64>,
    /// Of that, to `held_bytes`.
    peak_ratio: Option<f64>,
    model: String,
    device: String,
    repeat: u32,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Times {
    /// To read the files from front to back and do nothing with them.
    read_secs: f64,
    open_secs: f64,
    /// Of `open_secs` to `read_secs`.
    ratio: f64,
}

pub fn bench_load(args: &BenchArgs) -> Result<(), Failure> {
    let source = source_of(&args.model)?;
    let open = || render::open(&source, None, args.device.choice());
    let first = open()?;
    let files = first.weight_files().to_vec();
    if source == ModelSource::BuiltIn {
        return Err(Failure::usage(
            "The built-in model is part of the program and has no file: name another with --model",
        ));
    }
    let file_bytes = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    let (held_bytes, info) = (first.held_bytes(), first.info().clone());
    // The peak is to be that of one opening.
    let peak_memory_bytes = peak_memory::peak_bytes();
    drop(first);

    // In turn, so that both have the same neighbours.
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..args.repeat {
        if forget(&files) {
            let read_secs = read_through(&files)?;
            forget(&files);
            cold.push((read_secs, time(open)?));
        }
        // The last opening has brought the files back.
        warm.push((read_through(&files)?, time(open)?));
    }
    let figures = Figures {
        cold: (!cold.is_empty()).then(|| Times::medians(&cold)),
        warm: Times::medians(&warm),
        file_bytes,
        held_bytes,
        peak_memory_bytes,
        peak_ratio: peak_memory_bytes.map(|peak| peak as f64 / held_bytes as f64),
        model: info.name,
        device: info.device.name,
        repeat: args.repeat,
    };
    if args.json { print(json!(figures)) } else { print(in_words(&figures)) }
}

impl Times {
    fn medians(rounds: &[(f64, f64)]) -> Self {
        let read_secs = median(rounds.iter().map(|(read, _)| *read).collect());
        let open_secs = median(rounds.iter().map(|(_, open)| *open).collect());
        Self { read_secs, open_secs, ratio: open_secs / read_secs }
    }
}

fn time(open: impl Fn() -> Result<Pipeline, Failure>) -> Result<f64, Failure> {
    let started = Instant::now();
    let pipeline = open()?;
    let secs = started.elapsed().as_secs_f64();
    drop(pipeline);
    Ok(secs)
}

fn read_through(files: &[PathBuf]) -> Result<f64, Failure> {
    let started = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let mut read = || -> io::Result<()> {
            let mut file = File::open(path)?;
            while file.read(&mut buffer)? > 0 {}
            Ok(())
        };
        read().map_err(|error| {
            Failure::failed(format!("The file cannot be read ({error}): {}", path.display()))
        })?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Takes the files out of the system's cache; false where that cannot be asked for.
#[cfg(target_os = "linux")]
fn forget(files: &[PathBuf]) -> bool {
    use rustix::fs::{Advice, fadvise};
    let forget = |path: &PathBuf| {
        let file = File::open(path)?;
        // Only what is on the disk can be forgotten.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(io::Error::from)
    };
    files.iter().all(|path| forget(path).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn forget(_files: &[PathBuf]) -> bool {
    false
}

fn in_words(figures: &Figures) -> String {
    let Figures { cold, warm, file_bytes, held_bytes, model, device, repeat, .. } = figures;
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let mut lines = vec![format!(
        "{model} on {device}: {:.2} GB of files, {:.2} GB of weights, medians of {repeat}",
        gigabytes(*file_bytes),
        gigabytes(*held_bytes)
    )];
    for (state, times) in [("from the disk", *cold), ("from the cache", Some(*warm))] {
        if let Some(Times { read_secs, open_secs, ratio }) = times {
            lines.push(format!(
                "{state:<16}{open_secs:>8.3} s to open, {read_secs:.3} s to read: {ratio:.2} times as long"
            ));
        }
    }
    if let (Some(peak), Some(ratio)) = (figures.peak_memory_bytes, figures.peak_ratio) {
        let peak = gigabytes(peak);
        lines.push(format!("{:<16}{peak:>8.2} GB, {ratio:.2} times the weights", "peak memory"));
    }
    lines.join("\n")
}
