//! `tidepool bench --load`: how long a model takes to open and how much memory it needs, compared with
//! reading the same bytes from the disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Instant;

use engine::checkpoint::ModelSource;
use engine::pipeline::Pipeline;
use serde::Serialize;
use serde_json::json;

use super::bench::{BenchArgs, median};
use super::models::source_of;
use super::run::open;
use super::{Failure, peak_memory, print};

/// Medians, and what was measured.
#[derive(Debug, Serialize)]
struct Measurements {
    /// With the files evicted from the page cache; null where that is not possible.
    cold: Option<Times>,
    /// With the files in the page cache, as far as they fit.
    warm: Times,
    /// Size of the weight files.
    file_bytes: u64,
    /// Size of the weights on the device.
    held_bytes: u64,
    /// Peak memory of the process; null where the system does not count it.
    peak_memory_bytes: Option<u64>,
    /// `peak_memory_bytes` divided by `held_bytes`.
    peak_ratio: Option<f64>,
    model: String,
    device: String,
    repeat: u32,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Times {
    /// Reading the files from start to end without using them.
    read_secs: f64,
    open_secs: f64,
    /// `open_secs` divided by `read_secs`.
    ratio: f64,
}

pub fn bench_load(args: &BenchArgs) -> Result<(), Failure> {
    let source = source_of(&args.model)?;
    let open_model = || open(&source, None, args.device.choice());
    let first = open_model()?;
    let files = first.weight_files().to_vec();
    if source == ModelSource::BuiltIn {
        return Err(Failure::usage(
            "The built-in model is part of the program and has no files: choose another with --model",
        ));
    }
    let file_bytes = files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    let (held_bytes, info) = (first.held_bytes(), first.info().clone());
    // Read it now, so that it is the peak of opening the model once.
    let peak_memory_bytes = peak_memory::peak_bytes();
    drop(first);

    // Alternately, so that other load on the machine affects both alike.
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..args.repeat {
        if evict(&files) {
            let read_secs = read_through(&files)?;
            evict(&files);
            cold.push((read_secs, time(open_model)?));
        }
        // Opening the model has put the files back into the page cache.
        warm.push((read_through(&files)?, time(open_model)?));
    }
    let measurements = Measurements {
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
    if args.json { print(json!(measurements)) } else { print(to_text(&measurements)) }
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
            Failure::failed(format!(
                "This file cannot be read ({error}): check its permissions: {}",
                path.display()
            ))
        })?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Evicts the files from the page cache; false where that is not possible.
#[cfg(target_os = "linux")]
fn evict(files: &[PathBuf]) -> bool {
    use rustix::fs::{Advice, fadvise};
    let evict_file = |path: &PathBuf| {
        let file = File::open(path)?;
        // Only pages that have reached the disk can be evicted.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(io::Error::from)
    };
    files.iter().all(|path| evict_file(path).is_ok())
}

#[cfg(not(target_os = "linux"))]
fn evict(_files: &[PathBuf]) -> bool {
    false
}

fn to_text(measurements: &Measurements) -> String {
    let Measurements { cold, warm, file_bytes, held_bytes, model, device, repeat, .. } = measurements;
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let mut lines = vec![format!(
        "{model} on {device}: {:.2} GB of files, {:.2} GB of weights, medians of {repeat}",
        gigabytes(*file_bytes),
        gigabytes(*held_bytes)
    )];
    for (state, times) in [("from the disk", *cold), ("from the cache", Some(*warm))] {
        if let Some(Times { read_secs, open_secs, ratio }) = times {
            lines.push(format!(
                "{state:<16}{open_secs:>8.3} s to open, {read_secs:.3} s to read, ratio {ratio:.2}"
            ));
        }
    }
    if let (Some(peak), Some(ratio)) = (measurements.peak_memory_bytes, measurements.peak_ratio) {
        let peak = gigabytes(peak);
        lines.push(format!("{:<16}{peak:>8.2} GB, {ratio:.2} times the weights", "peak memory"));
    }
    lines.join("\n")
}
