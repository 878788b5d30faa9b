//! The picture that image to image starts from: chosen, read and shown.

mod handle;
pub(crate) mod panel;

use std::path::PathBuf;
use std::sync::Arc;

use engine::images::Pixels;

/// A start image, as shown.
#[derive(Clone, Debug)]
pub struct StartPicture {
    pub pixels: Arc<Pixels>,
    /// Notes, such as that only the first frame is used.
    pub notes: Vec<String>,
}

/// A request about the start image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartImageCommand {
    Choose,
    Paste,
    Use(PathBuf),
    Remove,
}
