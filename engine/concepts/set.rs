//! The concepts at hand, and what of a picture's concepts is missing among them.

use std::path::Path;
use std::sync::Arc;

use super::{Concept, ConceptRef};
use crate::format::ellipsize;

/// Concepts in the order they came, one a file. Of two with one token the later one is meant, and
/// the other waits. A clone costs nothing and stays as it is, so that a run keeps what it was asked
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

    /// True if both are the very same list, which is found out at once.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes a concept in, in place of what its file held before.
    pub fn add(&mut self, concept: Concept) {
        self.remove(&concept.source);
        Arc::make_mut(&mut self.0).push(Arc::new(concept));
    }

    /// Forgets the concept of a file.
    pub fn remove(&mut self, source: &Path) {
        Arc::make_mut(&mut self.0).retain(|known| known.source.as_os_str() != source.as_os_str());
    }

    /// The concept that is meant by this one's token, if it is another one.
    pub fn instead_of(&self, concept: &Concept) -> Option<&Arc<Concept>> {
        let meant = self.0.iter().rfind(|known| is_same(&known.token, &concept.token))?;
        (meant.source != concept.source).then_some(meant)
    }

    /// A sentence for each concept of a picture that is not at hand, or only in another version.
    pub fn missing(&self, wanted: &[ConceptRef]) -> Vec<String> {
        wanted.iter().filter_map(|wanted| self.lacks(wanted)).collect()
    }

    fn lacks(&self, wanted: &ConceptRef) -> Option<String> {
        let by_name = |known: &&Arc<Concept>| {
            is_same(&known.token, &wanted.token) || is_same(&known.name(), &wanted.name)
        };
        let name = short(if wanted.token.is_empty() { &wanted.name } else { &wanted.token });
        let Some(known) = self.0.iter().rfind(by_name) else {
            let file = short(&wanted.name);
            return Some(format!(
                "It was made with the concept {name} (file {file}), which is not here: load it, or its word means something else"
            ));
        };
        let is_other_file = !known.sha256.starts_with(&wanted.sha256);
        is_other_file.then(|| {
            let path = known.source.display();
            format!("It was made with another file of the concept {name}, so the picture will differ: {path}")
        })
    }
}

impl PartialEq for ConceptSet {
    fn eq(&self, other: &Self) -> bool {
        // Vectors by the thousand are compared only where it cannot be known otherwise.
        self.is_same(other) || self.0 == other.0
    }
}

/// Letter case aside.
fn is_same(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

/// At most 60 letters of a text from a file, for a sentence.
fn short(text: &str) -> String {
    ellipsize(text, 60)
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
