//! Numbers and texts as people read them, for sentences and labels.

/// A size in bytes: `12 kB`, `52 MB`, `2.1 GB`.
pub fn human_size(bytes: u64) -> String {
    let size = bytes as f64;
    match bytes {
        0..1_000_000 => format!("{:.0} kB", (size / 1e3).ceil()),
        1_000_000..1_000_000_000 => format!("{:.0} MB", size / 1e6),
        _ => format!("{:.1} GB", size / 1e9),
    }
}

/// The first letters of a text, with an ellipsis if there are more.
pub fn ellipsize(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// At most 60 letters of a text from a file, for a sentence.
pub fn short(text: &str) -> String {
    ellipsize(text, 60)
}

/// The first three names of a list, with an ellipsis if there are more.
pub fn first_few(names: &[&str]) -> String {
    let list = names.iter().take(3).map(|name| ellipsize(name, 100)).collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{list}, …") } else { list }
}

/// Bytes as lowercase hexadecimal digits, as checksums are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_zero_for_something() {
        for (bytes, size) in
            [(0, "0 kB"), (1, "1 kB"), (999_000, "999 kB"), (52_000_000, "52 MB"), (2_132_000_000, "2.1 GB")]
        {
            assert_eq!(human_size(bytes), size);
        }
    }

    #[test]
    fn an_ellipsis_counts_letters_not_bytes() {
        assert_eq!(ellipsize("狐狸", 2), "狐狸");
        assert_eq!(ellipsize("狐狸 fox", 2), "狐狸…");
        assert_eq!(ellipsize("", 0), "");
    }
}
