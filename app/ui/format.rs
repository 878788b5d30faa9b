//! Texts of any length, where there is room for a few letters.

/// The first letters of a text, and an ellipsis if there are more.
pub fn ellipsize(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
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
