//! The loaded concepts, and which concepts of a picture are missing among them.

use std::path::Path;
use std::sync::Arc;

use tokenizers::NormalizedString;

use super::{Concept, ConceptRef};
use crate::format::short;

/// Concepts in the order in which they were loaded, one per file. Of two with the same token, the later one
/// is used. A clone is cheap and does not change with the original, so a run keeps the set it started
/// with.
#[derive(Clone, Debug, Default)]
pub struct ConceptSet(Arc<Vec<Arc<Concept>>>);

impl ConceptSet {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Concept>> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if both are the same list in memory, which is cheap to check.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Adds a concept, replacing the previous one of its file.
    pub fn add(&mut self, concept: Concept) {
        self.remove(&concept.source);
        Arc::make_mut(&mut self.0).push(Arc::new(concept));
    }

    /// Removes the concept of a file.
    pub fn remove(&mut self, source: &Path) {
        Arc::make_mut(&mut self.0).retain(|known| known.source.as_os_str() != source.as_os_str());
    }

    /// The concept that is used for this one's token, if it is another one.
    pub fn shadowed_by(&self, concept: &Concept) -> Option<&Arc<Concept>> {
        let token = folded(&concept.token);
        let used = self.0.iter().rfind(|known| folded(&known.token) == token)?;
        (used.source != concept.source).then_some(used)
    }

    /// A sentence for each concept of a picture that is not loaded, or only in another version.
    pub fn missing(&self, references: &[ConceptRef]) -> Vec<String> {
        references.iter().filter_map(|reference| self.missing_note(reference)).collect()
    }

    fn missing_note(&self, reference: &ConceptRef) -> Option<String> {
        let (token, file) = (folded(&reference.token), folded(&reference.name));
        let by_name =
            |concept: &&Arc<Concept>| folded(&concept.token) == token || folded(&concept.name()) == file;
        let name = short(if reference.token.is_empty() { &reference.name } else { &reference.token });
        let Some(known) = self.0.iter().rfind(by_name) else {
            let file = short(&reference.name);
            return Some(format!(
                "It was made with the concept {name} (file {file}), which is not loaded: load it, or its word means something else"
            ));
        };
        let is_other_file = !known.sha256.starts_with(&reference.sha256);
        is_other_file.then(|| {
            let path = known.source.display();
            format!("It was made with another file of the concept {name}, so the picture will differ: {path}")
        })
    }
}

impl PartialEq for ConceptSet {
    fn eq(&self, other: &Self) -> bool {
        // Thousands of vectors are compared only if necessary.
        self.is_same(other) || self.0 == other.0
    }
}

/// A name as names are compared: in lower case and in NFC, where "é" is one character. Some systems and programs write
/// it as two (NFD), which looks the same.
pub(crate) fn folded(name: &str) -> String {
    // The window compares a thousand names in each frame, and ASCII is in NFC.
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let mut name = NormalizedString::from(name);
    name.nfc().get().chars().flat_map(char::to_lowercase).collect()
}

impl FromIterator<Concept> for ConceptSet {
    fn from_iter<T: IntoIterator<Item = Concept>>(concepts: T) -> Self {
        let mut all = Self::default();
        for concept in concepts {
            all.add(concept);
        }
        all
    }
}
