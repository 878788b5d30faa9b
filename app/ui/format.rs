//! Texts and numbers as panels write them.

/// The first letters of a text, and an ellipsis if there are more.
pub fn ellipsize(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// "24 MB", "4.3 GB".
pub fn size_in_words(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    if megabytes < 1000.0 { format!("{megabytes:.0} MB") } else { format!("{:.1} GB", megabytes / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted_not_bytes() {
        assert_eq!(ellipsize("狐狸", 2), "狐狸");
        assert_eq!(ellipsize("狐狸 fox", 2), "狐狸…");
        assert_eq!(ellipsize("", 0), "");
    }
}
