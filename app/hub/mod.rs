//! Getting a model from the Hugging Face Hub, or a mirror of it.
//!
//! [`Hub::plan`] asks what a repository holds and chooses the files that are needed: a [`Plan`], which
//! says what it is, under which licence, and how large, before anything is fetched. [`Hub::fetch`]
//! brings them into `NAME.part`, over as many cuts, stalls and restarts as it takes, checks each by
//! length and checksum, and gives the folder its name only when all of it is there.
//!
//! ```text
//! repository, access -> wire -> listing -> plan          what there is, and what is needed of it
//!                       wire -> part -> fetch -> folder  bytes, a file, all files, the folder
//! ```
//! Requests, answers and the hub's own names for them are those of `huggingface_hub`'s documentation
//! and of its source (`constants.py`, `file_download.py`).

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
mod repository;

pub use access::Access;
pub use download_folder::{Unfinished, discard, unfinished};
pub use error::FetchError;
pub use http::Hub;
pub use job::{DownloadOffer, HubCommand, HubEvent, run};
pub use licence::Licence;
pub use plan::{Checksum, DownloadRequest, Layout, Plan, PlannedFile};
pub use repository::Repository;
pub use retry::{Progress, RetryPolicy, TransferStage};

/// What "Get Stable Diffusion 1.5" gets. Its makers' own repository is gone; this is the mirror that
/// diffusers' documentation names in its place.
pub const STABLE_DIFFUSION_1_5: &str = "stable-diffusion-v1-5/stable-diffusion-v1-5";

/// The branch that a repository has unless somebody renamed it.
pub const MAIN: &str = "main";
