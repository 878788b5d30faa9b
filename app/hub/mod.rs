//! Getting a model from the Hugging Face Hub, or a mirror of it.
//!
//! [`Hub::plan`] lists a repository and chooses the files that are needed: a [`Plan`], which tells what the
//! model is, its licence and its size before anything is downloaded. [`Hub::fetch`] downloads the files
//! into `NAME.part`, resumes after interruptions, stalls and restarts, verifies each file's length and
//! checksum, and renames the folder when it is complete.
//!
//! ```text
//! repository, access -> http -> listing -> plan                           what to download
//!                       http -> partial_file -> fetch -> download_folder  bytes, a file, all files, the folder
//! ```
//! Requests, headers and error codes are those of `huggingface_hub`'s documentation and source
//! (`constants.py`, `file_download.py`).

pub(crate) mod download_folder;
pub(crate) mod http;
pub(crate) mod job;
pub(crate) mod partial_file;
pub(crate) mod retry;

mod access;
mod address;
mod error;
mod fetch;
mod licence;
mod listing;
mod plan;
mod progress;
mod repository;

pub use access::Access;
pub use download_folder::{Unfinished, discard, unfinished};
pub use error::FetchError;
pub use http::Hub;
pub use job::{DownloadOffer, HubCommand, HubEvent, run};
pub use licence::Licence;
pub use plan::{Checksum, DownloadRequest, Layout, Plan, PlannedFile};
pub use progress::{Progress, TransferStage};
pub use repository::{Location, Repository};
pub use retry::RetryPolicy;

/// Stable Diffusion 1.5. Its authors deleted their repository; diffusers' documentation names this mirror.
pub const STABLE_DIFFUSION_1_5: &str = "stable-diffusion-v1-5/stable-diffusion-v1-5";

/// The default branch of a repository.
pub const MAIN: &str = "main";
