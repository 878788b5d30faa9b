//! The files of a model, in a folder or inside the program.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::safetensors::WeightFile;
use super::{ModelSource, OpenError, embedded};

/// Larger than any configuration or vocabulary; a file beyond it is something else.
const LARGEST_TEXT: u64 = 32 << 20;

pub(super) struct Files<'a> {
    source: &'a ModelSource,
}

impl<'a> Files<'a> {
    pub fn new(source: &'a ModelSource) -> Self {
        Self { source }
    }

    /// Where a file is, to be shown.
    pub fn path(&self, name: &str) -> PathBuf {
        match self.source {
            ModelSource::BuiltIn => PathBuf::from("built-in").join(name),
            ModelSource::Folder(folder) => folder.join(name),
        }
    }

    /// A configuration or vocabulary file, whole.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, OpenError> {
        let ModelSource::Folder(folder) = self.source else {
            return self.embedded(name).map(Cow::Borrowed);
        };
        let path = folder.join(name);
        let read = || {
            let file = File::open(&path)?;
            if !file.metadata()?.is_file() {
                return Err(std::io::Error::other("it is no regular file"));
            }
            let mut bytes = Vec::new();
            file.take(LARGEST_TEXT).read_to_end(&mut bytes)?;
            Ok(Cow::Owned(bytes))
        };
        read().map_err(|error| OpenError::Unreadable(error, path.clone()))
    }

    /// The weights of a part, under the first of the names that is there.
    pub fn weights(&self, part: &str, names: &[&str]) -> Result<WeightFile, OpenError> {
        let ModelSource::Folder(folder) = self.source else {
            let name = format!("{part}/{}", names[0]);
            return WeightFile::embedded(self.embedded(&name)?, self.path(&name));
        };
        let folder = folder.join(part);
        let path = names.iter().map(|name| folder.join(name)).find(|path| path.exists());
        WeightFile::open(&path.unwrap_or_else(|| folder.join(names[0])))
    }

    fn embedded(&self, name: &str) -> Result<&'static [u8], OpenError> {
        let file = embedded::FILES.iter().find(|(file, _)| *file == name);
        file.map(|(_, bytes)| *bytes).ok_or_else(|| OpenError::Missing(name.into(), self.path(name)))
    }
}
