//! A repository as the hub describes it: its commit, licence and files.

use serde_json::Value;

use super::{Checksum, FetchError, Licence, Repository};

/// The response of `/api/models/OWNER/NAME/revision/REVISION?blobs=true`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    pub commit: String,
    pub licence: Licence,
    /// Users must accept the owner's terms before they can download files.
    pub is_gated: bool,
    /// The diffusers pipeline that the repository is for, if any.
    pub class: Option<String>,
    pub files: Vec<ListedFile>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ListedFile {
    pub path: String,
    /// `None` on mirrors that do not list sizes.
    pub bytes: Option<u64>,
    pub checksum: Checksum,
}

impl Listing {
    /// `revision` replaces the commit on mirrors that do not send it.
    pub fn read(json: &[u8], repository: &Repository, revision: &str) -> Result<Self, FetchError> {
        let invalid = |cause: &str| FetchError::InvalidResponse(cause.to_owned(), repository.to_string());
        let response: Value = serde_json::from_slice(json).map_err(|error| invalid(&error.to_string()))?;
        let files = response["siblings"].as_array().ok_or_else(|| invalid("it lists no files"))?;
        let files: Option<Vec<ListedFile>> = files.iter().map(listed_file).collect();
        let commit = response["sha"].as_str().filter(|sha| is_hex(sha, 40)).unwrap_or(revision);
        Ok(Self {
            commit: commit.to_owned(),
            licence: licence(&response),
            // `false`, `"auto"` or `"manual"`.
            is_gated: response["gated"].is_string() || response["gated"] == true,
            class: response["config"]["diffusers"]["_class_name"].as_str().map(str::to_owned),
            files: files.ok_or_else(|| invalid("a file has no name"))?,
        })
    }

    pub fn find(&self, path: &str) -> Option<&ListedFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

fn listed_file(file: &Value) -> Option<ListedFile> {
    let checksum = match (file["lfs"]["sha256"].as_str(), file["blobId"].as_str()) {
        (Some(sha256), _) if is_hex(sha256, 64) => Checksum::Sha256(sha256.to_ascii_lowercase()),
        // Large files have a blob id too, but it is the hash of their LFS pointer.
        (None, Some(blob)) if file["lfs"].is_null() && is_hex(blob, 40) => {
            Checksum::GitBlob(blob.to_ascii_lowercase())
        }
        _ => Checksum::Unknown,
    };
    let bytes = file["lfs"]["size"].as_u64().or_else(|| file["size"].as_u64());
    Some(ListedFile { path: file["rfilename"].as_str()?.to_owned(), bytes, checksum })
}

/// The licence in the model card, or else the hub's `license:` tag.
fn licence(response: &Value) -> Licence {
    let card = &response["cardData"];
    let text = |value: &Value| value.as_str().map(|text| text.chars().take(300).collect::<String>());
    let tags = response["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
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
    fn large_files_have_a_sha256_and_small_files_a_git_blob_hash() {
        let (sha256, blob) = ("ab".repeat(32), "cd".repeat(20));
        let json = format!(
            r#"{{"sha": "{blob}", "gated": "auto", "cardData": {{"license": "mit"}}, "siblings": [
                {{"rfilename": "big", "size": 9, "blobId": "{blob}", "lfs": {{"sha256": "{sha256}", "size": 9}}}},
                {{"rfilename": "small", "size": 5, "blobId": "{blob}"}},
                {{"rfilename": "mirrored"}}]}}"#
        );
        let listing = read(&json).expect("a listing");
        let checksums: Vec<_> =
            listing.files.iter().map(|file| (file.bytes, file.checksum.clone())).collect();
        assert_eq!(
            checksums,
            [
                (Some(9), Checksum::Sha256(sha256)),
                (Some(5), Checksum::GitBlob(blob.clone())),
                (None, Checksum::Unknown)
            ]
        );
        assert_eq!((listing.commit, listing.is_gated), (blob, true));
    }

    #[test]
    fn the_licence_is_read_from_the_card_or_the_tags() {
        let name = |json: &str| read(json).expect("a listing").licence.name().to_owned();
        assert_eq!(name(r#"{"siblings": [], "tags": ["x", "license:mit"]}"#), "MIT License");
        let own = r#"{"siblings": [], "cardData": {"license": "other", "license_name": "house-rules"}}"#;
        assert_eq!(name(own), "house-rules");
        assert_eq!(name(r#"{"siblings": [], "cardData": {"license": ["cc0-1.0"]}}"#), "CC0 1.0");
        assert_eq!(name(r#"{"siblings": [], "cardData": null}"#), "not named; ask the model's owner");
    }

    #[test]
    fn an_invalid_response_is_refused() {
        for json in ["", "{", "[]", "{}", r#"{"siblings": 3}"#, r#"{"siblings": [{}]}"#, "<html></html>"] {
            assert!(matches!(read(json), Err(FetchError::InvalidResponse(..))), "{json}");
        }
    }
}
