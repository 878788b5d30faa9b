//! Names of files: how long they may be, and what they tell.

use std::path::Path;

/// Bytes of a file name. Linux and macOS allow as many; Windows counts UTF-16 units, which are never more.
pub const MAX_NAME_BYTES: usize = 255;

/// `stem` and `ending` as one file name, without the end of a stem that is too long.
pub fn file_name(stem: &str, ending: &str) -> String {
    let end = stem.floor_char_boundary(MAX_NAME_BYTES - ending.len());
    format!("{}{ending}", &stem[..end])
}

/// True for the name of a part of sharded weights, such as `model-00001-of-00002.fp16.safetensors`.
pub fn is_shard(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    name.rsplit_once("-of-").is_some_and(|(before, after)| {
        after.split('.').next().is_some_and(is_number)
            && before.rsplit_once('-').is_some_and(|(_, number)| is_number(number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters_and_keeps_its_ending() {
        assert_eq!(file_name("fox", ".png"), "fox.png");
        // Three bytes each, so that 251 bytes end inside the 84th.
        let cut = file_name(&"\u{72d0}".repeat(300), ".png");
        assert_eq!(cut, "\u{72d0}".repeat(83) + ".png");
        assert_eq!(file_name(&"x".repeat(300), ".safetensors").len(), 255);
    }

    #[test]
    fn a_shard_is_known_by_its_two_numbers_wherever_the_variant_stands() {
        for shard in
            ["model-00001-of-00002.safetensors", "m-00001-of-00002.fp16.bin", "m.fp16-00001-of-00002.bin"]
        {
            assert!(is_shard(Path::new(shard)), "{shard}");
        }
        for whole in ["model.safetensors", "best-of-2024.safetensors", "a-1-of-2.bin", "00001-of-00002.bin"] {
            assert!(!is_shard(Path::new(whole)), "{whole}");
        }
    }
}
