//! The licence of a model: its name, and where its text is.

use serde::{Deserialize, Serialize};

/// The licence that a model's card names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// The hub's id, such as `creativeml-openrail-m`, or the owner's own name for it.
    pub id: Option<String>,
    /// The owner's link to the text: often an address, sometimes a file name in the repository.
    pub link: Option<String>,
}

/// Id on the hub, name, and address of the text.
const KNOWN: [(&str, &str, &str); 12] = [
    (
        "creativeml-openrail-m",
        "CreativeML Open RAIL-M",
        "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    ),
    ("openrail", "Open RAIL", "https://huggingface.co/blog/open_rail"),
    (
        "openrail++",
        "CreativeML Open RAIL++-M",
        "https://huggingface.co/stabilityai/stable-diffusion-2/blob/main/LICENSE-MODEL",
    ),
    (
        "bigscience-openrail-m",
        "BigScience Open RAIL-M",
        "https://bigscience.huggingface.co/blog/bigscience-openrail-m",
    ),
    ("apache-2.0", "Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    ("mit", "MIT License", "https://opensource.org/license/mit"),
    ("cc0-1.0", "CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    ("cc-by-4.0", "CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    ("cc-by-sa-4.0", "CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    ("cc-by-nc-4.0", "CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"),
    ("cc-by-nc-sa-4.0", "CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
    ("unlicense", "The Unlicense", "https://unlicense.org"),
];

impl Licence {
    pub fn name(&self) -> &str {
        match (self.known(), &self.id) {
            (Some((_, name, _)), _) => name,
            (None, Some(id)) => id,
            (None, None) => "not named; ask the model's owner",
        }
    }

    /// The address of the licence's text, if known; otherwise the model's page has it.
    pub fn url(&self) -> Option<&str> {
        let link = self.link.as_deref().filter(|link| link.starts_with("https://"));
        link.or(self.known().map(|(_, _, url)| url))
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
    fn a_licence_has_a_name_and_a_link_to_its_text() {
        let licence = |id: Option<&str>, link: Option<&str>| Licence {
            id: id.map(str::to_owned),
            link: link.map(str::to_owned),
        };
        let known = licence(Some("CC-BY-NC-4.0"), Some("LICENSE.md"));
        assert_eq!(known.name(), "CC BY-NC 4.0");
        assert!(known.url().is_some_and(|url| url.ends_with("by-nc/4.0/")), "a file name is not an address");
        let own = licence(Some("house-rules"), Some("https://a.example"));
        assert_eq!((own.name(), own.url()), ("house-rules", Some("https://a.example")));
        assert_eq!(licence(None, None).url(), None);
    }
}
