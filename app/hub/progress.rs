//! How far a download is.

/// Reported during a download.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the plan that are on the disk.
    pub done: u64,
    pub total: u64,
    /// The current file.
    pub file: String,
    pub stage: TransferStage,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TransferStage {
    #[default]
    Downloading,
    /// Hashing what was downloaded before a pause.
    Verifying,
    /// The last attempt failed, and the next one starts in `secs` seconds.
    Waiting { cause: String, secs: u64 },
}
