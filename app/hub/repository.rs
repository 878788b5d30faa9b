//! Repository names, and how they are written in addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::FetchError;

/// A model's repository: `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    owner: String,
    name: String,
}

impl Repository {
    /// The name of its folder. This is unambiguous because names contain neither two dashes nor a slash.
    pub fn folder_name(&self) -> String {
        format!("{}--{}", self.owner, self.name)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for Repository {
    type Err = FetchError;

    /// Accepts `owner/name`, and the address of its page as a browser shows it.
    fn from_str(text: &str) -> Result<Self, FetchError> {
        let text = text.trim();
        let path = match text.split_once("://") {
            Some((_, rest)) => path_of(rest),
            None => text,
        };
        let mut parts = path.split('/');
        let (owner, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let is_page = text.contains("://");
        if is_name(owner) && is_name(name) && (is_page || parts.next().is_none()) {
            Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
        } else {
            Err(FetchError::InvalidRepository(text.chars().take(200).collect()))
        }
    }
}

/// What a user asks for: `owner/name`, or an address as a browser shows it, which may lead to a branch or a
/// file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub repository: Repository,
    /// A branch, a tag or a commit.
    pub revision: Option<String>,
    pub file: Option<String>,
}

impl FromStr for Location {
    type Err = FetchError;

    fn from_str(text: &str) -> Result<Self, FetchError> {
        let repository = text.parse()?;
        let path = text.trim().split_once("://").map_or("", |(_, rest)| path_of(rest));
        let mut parts = path.splitn(5, '/').skip(2);
        let page = parts.next();
        // An address may end in a slash.
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(percent_decoded);
        let (revision, file) = (next(), next());
        Ok(match page {
            Some("tree") => Self { repository, revision, file: None },
            Some("blob" | "resolve") => Self { repository, revision, file },
            _ => Self { repository, revision: None, file: None },
        })
    }
}

/// The path of an address without its scheme: what is between the host and the query.
fn path_of(address: &str) -> &str {
    let path = address.split_once('/').map_or("", |(_, path)| path);
    path.split(['?', '#']).next().unwrap_or_default()
}

impl TryFrom<String> for Repository {
    type Error = FetchError;

    fn try_from(text: String) -> Result<Self, FetchError> {
        text.parse()
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.to_string()
    }
}

/// The hub's rule for owners and names: up to 96 letters, digits, `-`, `_` and `.`, with no `-` or `.` at
/// either end and neither `--` nor `..` inside.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=96).contains(&name.len())
        && name.chars().all(allowed)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
        && !name.contains("--")
        && !name.contains("..")
}

/// Encodes everything that is not allowed in a URL path, and slashes too unless `keeps_slashes`.
pub(crate) fn percent_encoded(text: &str, keeps_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte as char),
            b'/' if keeps_slashes => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Decodes what [`percent_encoded`] encodes.
fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => bytes.extend([&[byte], &part.as_bytes()[2..]].concat()),
            None => bytes.extend([b"%", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_an_owner_and_a_name() {
        for (text, expected) in [
            ("stable-diffusion-v1-5/stable-diffusion-v1-5", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
            (" a_b/c.d ", "a_b/c.d"),
            ("https://huggingface.co/owner/name", "owner/name"),
            ("https://huggingface.co/owner/name/tree/main", "owner/name"),
            ("https://huggingface.co/owner/name?library=diffusers#files", "owner/name"),
        ] {
            assert_eq!(text.parse::<Repository>().expect(text).to_string(), expected);
        }
        let long = format!("a/{}", "b".repeat(97));
        for wrong in
            ["", "name", "/", "a/", "/b", "a/b/c", "../b", "a/..", "a/b--c", "-a/b", "a/b.", "a/b c", &long]
        {
            assert!(wrong.parse::<Repository>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_may_lead_to_a_branch_or_a_file() {
        let hub = "https://huggingface.co/owner/name";
        for (rest, revision, file) in [
            ("", None, None),
            ("/", None, None),
            ("/discussions/3", None, None),
            ("/tree/main", Some("main"), None),
            ("/tree/", None, None),
            ("/blob/main/", Some("main"), None),
            ("/tree/fp16/unet", Some("fp16"), None),
            ("/blob/main/a.safetensors", Some("main"), Some("a.safetensors")),
            (
                "/resolve/refs%2Fpr%2F1/sub/a%20b%C3%A9.ckpt?download=true",
                Some("refs/pr/1"),
                Some("sub/a bé.ckpt"),
            ),
        ] {
            let expected = Location {
                repository: "owner/name".parse().expect("a name"),
                revision: revision.map(str::to_owned),
                file: file.map(str::to_owned),
            };
            assert_eq!(format!("{hub}{rest}").parse::<Location>().expect(rest), expected, "{rest}");
        }
        assert_eq!(percent_decoded("100%"), "100%");
    }

    #[test]
    fn characters_with_a_meaning_in_urls_are_encoded() {
        assert_eq!(percent_encoded("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(percent_encoded("unet/a b#?é.bin", true), "unet/a%20b%23%3F%C3%A9.bin");
    }
}
