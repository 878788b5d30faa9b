//! Finds a model by the name that the user types.

use super::Entry;

/// The models that match a name.
#[derive(Debug, PartialEq)]
pub enum NameMatch<'a> {
    One(&'a Entry),
    /// The name is ambiguous.
    Several(Vec<&'a Entry>),
    Nothing,
}

/// Fewer digits could be an ordinary word.
const MIN_HASH_LEN: usize = 4;

/// Finds an entry by its full name, else ignoring case, folder and extension, else by the first digits of
/// its hash.
pub fn find<'a>(entries: &'a [Entry], name: &str) -> NameMatch<'a> {
    let is_hash = name.len() >= MIN_HASH_LEN && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = name.to_lowercase();
    let by_name = |entry: &Entry| entry.name == name;
    let by_loose_name = |entry: &Entry| {
        let file = entry.path().file_name().unwrap_or_default().to_string_lossy();
        let last = entry.name.rsplit('/').next().unwrap_or_default();
        [&entry.name, last, &file].into_iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let by_hash =
        |entry: &Entry| is_hash && entry.sha256.as_ref().is_some_and(|sha256| sha256.starts_with(&hash));
    let criteria: [&dyn Fn(&Entry) -> bool; 3] = [&by_name, &by_loose_name, &by_hash];
    for matches in criteria {
        let mut found: Vec<_> = entries.iter().filter(|entry| matches(entry)).collect();
        match found.len() {
            0 => {}
            1 => return NameMatch::One(found.remove(0)),
            _ => return NameMatch::Several(found),
        }
    }
    NameMatch::Nothing
}
