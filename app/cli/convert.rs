//! `tidepool convert`: pickles to safetensors files beside them.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, print, progress};
use crate::features::convert::convert;

#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Models and concepts to convert; they stay as they are, and no file is overwritten
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// Converts all files, then fails if any of them could not be converted.
pub fn convert_all(args: &ConvertArgs) -> Result<(), Failure> {
    let failures: Vec<String> = args.files.iter().filter_map(|file| convert_one(file).err()).collect();
    if failures.is_empty() { Ok(()) } else { Err(Failure::failed(failures.join("\n"))) }
}

fn convert_one(file: &Path) -> Result<(), String> {
    let bar = progress::fraction_bar("converting");
    let converted = convert(file, &mut |fraction| {
        progress::set_fraction(&bar, fraction);
        true
    });
    bar.finish_and_clear();
    print(converted?.display()).map_err(|failure| failure.text)
}
