//! Licences in words, by the names that the hub gives them.

use serde::{Deserialize, Serialize};

/// What a model may be used for, as far as its card says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// `creativeml-openrail-m`, or the owner's own name for it.
    pub id: Option<String>,
    /// Where the owner says to read it.
    pub link: Option<String>,
}

/// Name on the hub, name for people, and what it comes down to.
const KNOWN: [(&str, &str, &str); 12] = [
    (
        "creativeml-openrail-m",
        "CreativeML Open RAIL-M",
        "use it freely, for money too, but not to harm, deceive or demean anyone; whoever passes it on, changed or not, passes these terms on with it",
    ),
    ("openrail", "Open RAIL", "use it freely, but not for the harmful purposes that the licence lists"),
    (
        "openrail++",
        "CreativeML Open RAIL++-M",
        "use it freely, for money too, but not for the harmful purposes that the licence lists; whoever passes it on passes these terms on with it",
    ),
    (
        "bigscience-openrail-m",
        "BigScience Open RAIL-M",
        "use it freely, but not for the harmful purposes that the licence lists",
    ),
    ("apache-2.0", "Apache License 2.0", "use it freely, and keep its notices when you pass it on"),
    ("mit", "MIT licence", "use it freely, and keep its notice when you pass it on"),
    ("cc0-1.0", "CC0 1.0", "in the public domain: use it as you like"),
    ("cc-by-4.0", "CC BY 4.0", "use it freely, and name its makers"),
    ("cc-by-sa-4.0", "CC BY-SA 4.0", "use it freely, name its makers, and share what you make of it alike"),
    ("cc-by-nc-4.0", "CC BY-NC 4.0", "not for money; name its makers"),
    (
        "cc-by-nc-sa-4.0",
        "CC BY-NC-SA 4.0",
        "not for money; name its makers, and share what you make of it alike",
    ),
    ("unlicense", "The Unlicense", "in the public domain: use it as you like"),
];

impl Licence {
    pub fn name(&self) -> &str {
        match (&self.id, self.known()) {
            (_, Some((_, name, _))) => name,
            (Some(id), None) => id,
            (None, None) => "No licence is named",
        }
    }

    /// One sentence.
    pub fn in_words(&self) -> String {
        match (&self.id, self.known(), &self.link) {
            (_, Some((_, name, meaning)), _) => format!("{name}: {meaning}"),
            (Some(id), None, Some(link)) => format!("{id}: the owner's own terms, to be read at {link}"),
            (Some(id), None, None) => format!("{id}: the owner's own terms, to be read on the model's page"),
            (None, None, _) => {
                "No licence is named: ask the owner before you use it for more than a look".into()
            }
        }
    }

    fn known(&self) -> Option<(&'static str, &'static str, &'static str)> {
        let id = self.id.as_deref()?;
        KNOWN.into_iter().find(|(known, ..)| id.eq_ignore_ascii_case(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_licence_is_a_sentence() {
        let of = |id: Option<&str>, link: Option<&str>| {
            Licence { id: id.map(str::to_owned), link: link.map(str::to_owned) }.in_words()
        };
        assert!(of(Some("creativeml-openrail-m"), None).starts_with("CreativeML Open RAIL-M"));
        assert!(of(Some("CC-BY-NC-4.0"), None).contains("not for money"));
        assert!(of(Some("house-rules"), Some("https://a.example")).ends_with("https://a.example"));
        assert!(!of(None, None).is_empty());
    }
}
