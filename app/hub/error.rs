//! Why a model could not be fetched: what, why, what to do, the path or address last.

use std::io;
use std::path::PathBuf;

/// Unless the sentence says otherwise, what has come is kept, and asking again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("A model is named OWNER/NAME, as in the address of its page on the hub; this is not: {0}")]
    NoRepository(String),
    #[error("HF_ENDPOINT is to be an address such as https://huggingface.co; correct or unset it: {0}")]
    BadEndpoint(String),
    #[error("HF_TOKEN holds letters that no token has: copy it again from your settings on the hub")]
    BadToken,
    #[error(
        "The hub shows this to nobody unknown: it does not exist, is private, or asks for an account. Check \
         the name; if it is right, make a token in your settings on the hub and put it in HF_TOKEN: {0}"
    )]
    Unknown(String),
    #[error("The hub does not accept the token in HF_TOKEN: make a new one in your settings on the hub: {0}")]
    TokenRefused(String),
    #[error(
        "This model's owner asks for consent first: open its page, accept its terms, and put a token of \
         that account in HF_TOKEN: {0}"
    )]
    Gated(String),
    #[error("The hub has nothing of this name: check it on the hub's pages: {0}")]
    NotFound(String),
    #[error("This is not a model that Tidepool opens: {why}. It opens Stable Diffusion 1.x: {name}")]
    NotAModel { why: String, name: String },
    #[error("The hub's answer makes no sense ({0}); try again later, or set HF_ENDPOINT to another hub: {1}")]
    Nonsense(String, String),
    #[error(
        "A web page came in place of the file: a network that asks for a login does that. Open any page in \
         a browser, log in, and get the model again: {0}"
    )]
    Page(String),
    #[error(
        "The certificate of the server is not trusted ({0}): check this computer's clock, and whether a \
         proxy reads along: {1}"
    )]
    Untrusted(String, String),
    #[error(
        "The line failed {tries} times in a row ({cause}). What has come is kept: get the model again to \
         go on: {place}"
    )]
    Unreachable { tries: u32, cause: String, place: String },
    #[error(
        "The hub wants no more requests for {minutes} minutes. What has come is kept: get the model again \
         after that; with a token in HF_TOKEN more is allowed: {place}"
    )]
    Busy { minutes: u64, place: String },
    #[error(
        "A file is not what the hub's list says ({why}): it was changed meanwhile, or somebody on the way \
         changes it. Get the model again: {file}"
    )]
    Changed { why: String, file: String },
    #[error(
        "A file came twice with a wrong checksum and was thrown away: the hub's copy is damaged, or \
         somebody on the way changes it. Try another network, or later: {0}"
    )]
    Damaged(String),
    #[error("The disk has room for {free} and {needed} are needed: make room or choose another folder: {path}", path = path.display())]
    NoRoom { needed: String, free: String, path: PathBuf },
    #[error(
        "The download could not be written ({cause}). What has come is kept: make room or allow writing \
         there, and get the model again: {path}", path = path.display()
    )]
    Disk { cause: io::Error, path: PathBuf },
    #[error("There already is something of this name, and it was left alone: choose another folder: {path}", path = path.display())]
    Exists { path: PathBuf },
    #[error("This model is being fetched already, in another window or terminal: {path}", path = path.display())]
    InUse { path: PathBuf },
    #[error("Paused; what has come is kept: {path}", path = path.display())]
    Paused { path: PathBuf },
}
