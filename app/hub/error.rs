//! Why a model could not be downloaded: what, why, what to do, the path or address last.

use std::io;
use std::path::PathBuf;

/// Unless the message says otherwise, the downloaded part is kept and the next try resumes it.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("A model is named OWNER/NAME, as in the address of its page on the hub; correct this name: {0}")]
    InvalidRepository(String),
    #[error("HF_ENDPOINT must be an address such as https://huggingface.co; correct or unset it: {0}")]
    BadEndpoint(String),
    #[error(
        "HF_TOKEN contains characters that tokens do not have: copy it again from your settings on the hub"
    )]
    BadToken,
    #[error(
        "The hub does not show this without an account: it does not exist, is private, or requires a login. \
         Check the name; if it is right, create a token in your settings on the hub and set HF_TOKEN to it: {0}"
    )]
    Unauthorized(String),
    #[error("The hub rejects the token in HF_TOKEN: create a new one in your settings on the hub: {0}")]
    TokenRefused(String),
    #[error(
        "This model is gated: open its page, accept the owner's terms, and set HF_TOKEN to a token of that \
         account: {0}"
    )]
    Gated(String),
    #[error("The hub has no model, branch or file with this name: check the spelling on its pages: {0}")]
    NotFound(String),
    #[error("Tidepool cannot open this model: {why}. Choose a Stable Diffusion 1.x or 2.x model: {name}")]
    NotAModel { why: String, name: String },
    #[error("The hub's response is invalid ({0}): try again later, or set HF_ENDPOINT to another hub: {1}")]
    InvalidResponse(String, String),
    #[error(
        "The server sent a web page instead of the file, as networks that require a login do. Open any page \
         in a browser, log in, and download the model again: {0}"
    )]
    WebPage(String),
    #[error(
        "The server's certificate is not trusted ({0}): check this computer's clock, and whether a proxy \
         intercepts connections: {1}"
    )]
    UntrustedCertificate(String, String),
    #[error(
        "The connection failed {tries} times in a row ({cause}). The downloaded part is kept: download the \
         model again to resume: {place}"
    )]
    Unreachable { tries: u32, cause: String, place: String },
    #[error(
        "The hub accepts no more requests for {minutes} minutes. The downloaded part is kept: download the \
         model again after that; with a token in HF_TOKEN the limit is higher: {place}"
    )]
    Busy { minutes: u64, place: String },
    #[error(
        "A file differs from the hub's listing ({why}): it was changed on the hub, or a proxy changes it. \
         Download the model again: {file}"
    )]
    Changed { why: String, file: String },
    #[error(
        "A file had a wrong checksum twice and was deleted: the hub's copy is damaged, or a proxy changes it. \
         Try another network, or try later: {0}"
    )]
    Damaged(String),
    #[error("The disk has {free} free and {needed} are needed: free some space or choose another folder: {path}", path = path.display())]
    DiskFull { needed: String, free: String, path: PathBuf },
    #[error(
        "The download could not be written ({cause}). The downloaded part is kept: check free space and \
         permissions, and download the model again: {path}", path = path.display()
    )]
    Disk { cause: io::Error, path: PathBuf },
    #[error("This already exists and was not changed: choose another folder: {path}", path = path.display())]
    Exists { path: PathBuf },
    #[error("Another window or terminal is already downloading this model: wait for it, or stop it: {path}", path = path.display())]
    InUse { path: PathBuf },
    #[error("Paused; the downloaded part is kept: {path}", path = path.display())]
    Paused { path: PathBuf },
}
