//! What the hub says of a repository: its commit, licence and files.

use serde_json::Value;

use super::{Checksum, FetchError, Licence, Repository};

/// An answer of `/api/models/OWNER/NAME/revision/REVISION?blobs=true`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    pub commit: String,
    pub licence: Licence,
    /// The owner asks for consent before files are given out.
    pub is_gated: bool,
    /// Which pipeline of diffusers it is for, if any.
    pub class: Option<String>,
    pub files: Vec<Listed>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub path: String,
    /// Some mirrors do not say.
    pub bytes: Option<u64>,
    pub digest: Checksum,
}

impl Listing {
    /// `revision` stands in for the commit where a mirror does not tell it.
    pub fn read(json: &[u8], repository: &Repository, revision: &str) -> Result<Self, FetchError> {
        let nonsense = |what: &str| FetchError::Nonsense(what.to_owned(), repository.to_string());
        let answer: Value = serde_json::from_slice(json).map_err(|error| nonsense(&error.to_string()))?;
        let files = answer["siblings"].as_array().ok_or_else(|| nonsense("it lists no files"))?;
        let files: Option<Vec<Listed>> = files.iter().map(listed).collect();
        let commit = answer["sha"].as_str().filter(|sha| is_hex(sha, 40)).unwrap_or(revision);
        Ok(Self {
            commit: commit.to_owned(),
            licence: licence(&answer),
            // `false`, `"auto"` or `"manual"`.
            is_gated: answer["gated"].is_string() || answer["gated"] == true,
            class: answer["config"]["diffusers"]["_class_name"].as_str().map(str::to_owned),
            files: files.ok_or_else(|| nonsense("a file has no name"))?,
        })
    }

    pub fn find(&self, path: &str) -> Option<&Listed> {
        self.files.iter().find(|file| file.path == path)
    }
}

fn listed(file: &Value) -> Option<Listed> {
    let digest = match (file["lfs"]["sha256"].as_str(), file["blobId"].as_str()) {
        (Some(sha256), _) if is_hex(sha256, 64) => Checksum::Sha256(sha256.to_ascii_lowercase()),
        // Large files have a blob too: of the pointer, not of what it points to.
        (None, Some(blob)) if file["lfs"].is_null() && is_hex(blob, 40) => {
            Checksum::GitBlob(blob.to_ascii_lowercase())
        }
        _ => Checksum::Unknown,
    };
    let bytes = file["lfs"]["size"].as_u64().or_else(|| file["size"].as_u64());
    Some(Listed { path: file["rfilename"].as_str()?.to_owned(), bytes, digest })
}

/// The card's own word, or else the tag that the hub makes of it.
fn licence(answer: &Value) -> Licence {
    let card = &answer["cardData"];
    let text = |value: &Value| value.as_str().map(|text| text.chars().take(300).collect::<String>());
    let tags = answer["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let tag = tags.filter_map(|tag| tag.strip_prefix("license:")).next().map(str::to_owned);
    let id = text(&card["license"]).or_else(|| text(&card["license"][0])).or(tag);
    let id = match id.as_deref() {
        Some("other") => text(&card["license_name"]).or(id),
        _ => id,
    };
    Licence { id, link: text(&card["license_link"]) }
}

pub fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Listing, FetchError> {
        Listing::read(json.as_bytes(), &"a/b".parse().expect("a name"), "main")
    }

    #[test]
    fn large_files_have_a_sha256_and_small_ones_the_name_of_their_blob() {
        let (sha256, blob) = ("ab".repeat(32), "cd".repeat(20));
        let json = format!(
            r#"{{"sha": "{blob}", "gated": "auto", "cardData": {{"license": "mit"}}, "siblings": [
                {{"rfilename": "big", "size": 9, "blobId": "{blob}", "lfs": {{"sha256": "{sha256}", "size": 9}}}},
                {{"rfilename": "small", "size": 5, "blobId": "{blob}"}},
                {{"rfilename": "mirrored"}}]}}"#
        );
        let listing = read(&json).expect("a listing");
        let digests: Vec<_> = listing.files.iter().map(|file| (file.bytes, file.digest.clone())).collect();
        assert_eq!(
            digests,
            [
                (Some(9), Checksum::Sha256(sha256)),
                (Some(5), Checksum::GitBlob(blob.clone())),
                (None, Checksum::Unknown)
            ]
        );
        assert_eq!((listing.commit, listing.is_gated), (blob, true));
    }

    #[test]
    fn a_licence_stands_in_the_card_or_among_the_tags() {
        let name = |json: &str| read(json).expect("a listing").licence.name().to_owned();
        assert_eq!(name(r#"{"siblings": [], "tags": ["x", "license:mit"]}"#), "MIT licence");
        let own = r#"{"siblings": [], "cardData": {"license": "other", "license_name": "house-rules"}}"#;
        assert_eq!(name(own), "house-rules");
        assert_eq!(name(r#"{"siblings": [], "cardData": {"license": ["cc0-1.0"]}}"#), "CC0 1.0");
        assert_eq!(name(r#"{"siblings": [], "cardData": null}"#), "No licence is named");
    }

    #[test]
    fn an_answer_without_sense_is_refused() {
        for json in ["", "{", "[]", "{}", r#"{"siblings": 3}"#, r#"{"siblings": [{}]}"#, "<html></html>"] {
            assert!(matches!(read(json), Err(FetchError::Nonsense(..))), "{json}");
        }
    }
}
