//! `tidepool convert`: pickles as safetensors files beside them.

use std::path::Path;

use super::args::ConvertArgs;
use super::{Failure, print, progress};
use crate::features::convert::convert;

/// Converts every file that it can, and fails if there was one that it could not.
pub fn convert_all(args: &ConvertArgs) -> Result<(), Failure> {
    let failures: Vec<String> = args.files.iter().filter_map(|file| convert_one(file).err()).collect();
    if failures.is_empty() { Ok(()) } else { Err(Failure::failed(failures.join("\n"))) }
}

fn convert_one(file: &Path) -> Result<(), String> {
    let bar = progress::converting_bar();
    let converted = convert(file, &mut |fraction| {
        progress::set_fraction(&bar, fraction);
        true
    });
    bar.finish_and_clear();
    print(converted?.display()).map_err(|failure| failure.text)
}
