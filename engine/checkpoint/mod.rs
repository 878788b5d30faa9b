//! Weights and configuration files into models.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a model is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// The one inside the program.
    #[default]
    BuiltIn,
    /// A folder in diffusers layout.
    Folder(PathBuf),
}
