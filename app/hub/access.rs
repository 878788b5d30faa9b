//! The hub's address and the user's token: `HF_ENDPOINT`, `HF_TOKEN` and related variables, as documented by
//! `huggingface_hub` ("Environment variables").

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::FetchError;
use super::address::Address;

/// The default endpoint; `HF_ENDPOINT` can name a mirror.
const PUBLIC_HUB: &str = "https://huggingface.co";

/// A hub's endpoint, and the token to authenticate with.
#[derive(Clone)]
pub struct Access {
    pub(crate) endpoint: Address,
    pub(crate) token: Option<String>,
}

impl Access {
    /// `variable` reads an environment variable.
    pub fn of_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, FetchError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let endpoint = match set("HF_ENDPOINT") {
            Some(endpoint) => endpoint.to_string_lossy().trim().trim_end_matches('/').to_owned(),
            None => PUBLIC_HUB.to_owned(),
        };
        let endpoint = Address::parse(&endpoint).ok_or(FetchError::BadEndpoint(endpoint))?;
        let token = match set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")) {
            Some(token) => Some(token.to_string_lossy().into_owned()),
            None => token_file(set).and_then(|file| {
                let mut text = String::new();
                // Longer than any token.
                File::open(file).ok()?.take(4096).read_to_string(&mut text).ok()?;
                Some(text)
            }),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(FetchError::BadToken);
        }
        Ok(Self { endpoint, token })
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }
}

// Keeps the token out of logs.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoint, token } = self;
        let token = token.as_ref().map(|_| "…");
        f.debug_struct("Access").field("endpoint", endpoint).field("token", &token).finish()
    }
}

fn token_file(set: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| set(name).map(PathBuf::from);
    let cache =
        || path("XDG_CACHE_HOME").or_else(|| Some(directories::UserDirs::new()?.home_dir().join(".cache")));
    path("HF_TOKEN_PATH")
        .or_else(|| Some(path("HF_HOME")?.join("token")))
        .or_else(|| Some(cache()?.join("huggingface/token")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(set: &[(&str, &str)]) -> Result<Access, FetchError> {
        let nowhere = ("XDG_CACHE_HOME", "/nonexistent");
        Access::of_environment(|name| {
            set.iter().chain([&nowhere]).find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn a_mirror_and_a_token_come_from_the_environment() {
        let plain = access(&[]).expect("the hub");
        assert_eq!((plain.endpoint.to_string(), plain.token), (PUBLIC_HUB.to_owned(), None));
        let set = access(&[("HF_ENDPOINT", "http://mirror.example:81/hub/"), ("HF_TOKEN", " hf_x\n")]);
        let set = set.expect("a mirror");
        assert_eq!(set.endpoint.to_string(), "http://mirror.example:81/hub");
        assert_eq!(set.token.as_deref(), Some("hf_x"));
        assert!(!format!("{set:?}").contains("hf_x"), "the token is not in logs");
    }

    #[test]
    fn a_token_is_read_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("token"), "hf_file\n").expect("writes");
        let home = folder.path().to_str().expect("UTF-8");
        assert_eq!(access(&[("HF_HOME", home)]).expect("reads").token.as_deref(), Some("hf_file"));
        let both = access(&[("HF_HOME", home), ("HF_TOKEN", "hf_given")]).expect("reads");
        assert_eq!(both.token.as_deref(), Some("hf_given"));
        let path = folder.path().join("token");
        let path = path.to_str().expect("UTF-8");
        assert_eq!(access(&[("HF_TOKEN_PATH", path)]).expect("reads").token.as_deref(), Some("hf_file"));
    }

    #[test]
    fn invalid_endpoints_and_tokens_are_refused() {
        for endpoint in ["ftp://hub", "hub", "http://", "https://a b"] {
            assert!(access(&[("HF_ENDPOINT", endpoint)]).is_err(), "{endpoint}");
        }
        assert!(matches!(access(&[("HF_TOKEN", "two words")]), Err(FetchError::BadToken)));
    }
}
