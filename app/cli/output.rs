//! Where results go: decided and tried before anything is computed.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::Failure;

/// The files that the pictures of a batch become.
///
/// A name that was given is used, and replaces what is there; without one, the first
/// `tidepool-N.png` that replaces nothing.
pub fn picture_paths(output: Option<&Path>, batch: u32) -> Result<Vec<PathBuf>, Failure> {
    let Some(output) = output else {
        let paths = free_paths(Path::new(""), batch);
        check_writable(&paths[0], "png", "-o")?;
        return Ok(paths);
    };
    check_writable(output, "png", "-o")?;
    if batch == 1 {
        return Ok(vec![output.to_owned()]);
    }
    let paths: Vec<_> = (1..=batch).map(|number| numbered(output, number)).collect();
    for path in &paths {
        check_writable(path, "png", "-o")?;
    }
    Ok(paths)
}

/// Says beforehand what writing `path` would say afterwards.
///
/// `option` is the one to give another name with.
pub fn check_writable(path: &Path, extension: &str, option: &str) -> Result<(), Failure> {
    if !path.extension().is_some_and(|given| given.eq_ignore_ascii_case(extension)) {
        return Err(Failure::usage(format!(
            "The file of {option} must end in .{extension}, since that is what is written: {}",
            path.display()
        )));
    }
    if path.is_dir() {
        return Err(Failure::failed(format!(
            "A folder is in the way: choose another name with {option}: {}",
            path.display()
        )));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(Failure::failed(format!(
            "There is no such folder: make it, or choose another with {option}: {}",
            folder.display()
        )));
    }
    let probe = folder.join(format!(".tidepool-{}.part", std::process::id()));
    let tried = OpenOptions::new().write(true).create_new(true).open(&probe);
    // Best effort: an empty hidden file is all that could stay.
    let _ = fs::remove_file(&probe);
    tried.map(drop).map_err(|error| {
        Failure::failed(format!(
            "Nothing can be written to this folder ({error}): allow it, or choose another with \
             {option}: {}",
            folder.display()
        ))
    })
}

fn free_paths(folder: &Path, batch: u32) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for number in 1_u32.. {
        let path = folder.join(format!("tidepool-{number}.png"));
        if !path.exists() {
            paths.push(path);
        }
        if paths.len() == batch as usize {
            break;
        }
    }
    paths
}

/// `out.png` as `out-3.png`.
fn numbered(output: &Path, number: u32) -> PathBuf {
    let mut name = output.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}."));
    name.push(output.extension().unwrap_or_default());
    output.with_file_name(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_a_batch_are_numbered_before_the_dot() {
        assert_eq!(numbered(Path::new("a.b/fox.v2.PNG"), 3), Path::new("a.b/fox.v2-3.PNG"));
    }

    #[test]
    fn a_name_nobody_gave_replaces_nothing() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::write(folder.path().join("tidepool-2.png"), "mine").expect("writes");
        let names: Vec<_> = free_paths(folder.path(), 3)
            .iter()
            .map(|path| path.file_name().expect("a name").to_owned())
            .collect();
        assert_eq!(names, ["tidepool-1.png", "tidepool-3.png", "tidepool-4.png"]);
    }

    #[test]
    fn what_cannot_be_written_is_said_before() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let says = |path: PathBuf| check_writable(&path, "png", "-o").map_err(|it| it.text);
        assert_eq!(says(folder.path().join("out.png")), Ok(()));
        assert!(says(folder.path().join("out.jpg")).is_err_and(|it| it.contains(".png")));
        assert!(says(folder.path().join("no/out.png")).is_err_and(|it| it.contains("no such")));
        fs::create_dir(folder.path().join("dir.png")).expect("makes a folder");
        assert!(says(folder.path().join("dir.png")).is_err_and(|it| it.contains("in the way")));
        let left = fs::read_dir(folder.path()).expect("reads").count();
        assert_eq!(left, 1, "trying leaves nothing behind");
    }
}
