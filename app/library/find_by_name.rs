//! A model by what a person calls it.

use super::Entry;

/// What a name leads to.
#[derive(Debug, PartialEq)]
pub enum NameMatch<'a> {
    One(&'a Entry),
    /// More than one of them could be meant.
    Several(Vec<&'a Entry>),
    Nothing,
}

/// So few digits would be some word's first letters.
const MIN_HASH_LEN: usize = 4;

/// Finds the entry that is called so: by its whole name, else without regard to case, folder and ending,
/// else by the first digits of its hash.
pub fn find<'a>(entries: &'a [Entry], wanted: &str) -> NameMatch<'a> {
    let is_hash = wanted.len() >= MIN_HASH_LEN && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = wanted.to_lowercase();
    let by_name = |entry: &Entry| entry.name == wanted;
    let loosely = |entry: &Entry| {
        let file = entry.path().file_name().unwrap_or_default().to_string_lossy();
        let last = entry.name.rsplit('/').next().unwrap_or_default();
        [&entry.name, last, &file].into_iter().any(|name| name.eq_ignore_ascii_case(wanted))
    };
    let by_hash =
        |entry: &Entry| is_hash && entry.sha256.as_ref().is_some_and(|sha256| sha256.starts_with(&hash));
    let ways: [&dyn Fn(&Entry) -> bool; 3] = [&by_name, &loosely, &by_hash];
    for way in ways {
        let mut found: Vec<_> = entries.iter().filter(|entry| way(entry)).collect();
        match found.len() {
            0 => {}
            1 => return NameMatch::One(found.remove(0)),
            _ => return NameMatch::Several(found),
        }
    }
    NameMatch::Nothing
}
