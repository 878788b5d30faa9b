//! The names of entries, and how entries are found by name.

use app::library::{MetadataCache, NameMatch, find};

use crate::support::folders::folder;
use crate::support::library::{SD1, entry, look_with, names, put, scan_folders};
use crate::support::weight_files::{TestTensor, save_torch_zip};

#[test]
fn two_of_one_name_are_told_apart_by_their_endings() {
    let place = folder();
    put(place.path().join("night.safetensors"), SD1);
    let tensors: Vec<TestTensor> = SD1.iter().map(|name| TestTensor::new(name, &[4, 4, 1, 1])).collect();
    save_torch_zip(&place.path().join("night.ckpt"), &tensors);
    put(place.path().join("sub/night.safetensors"), SD1);
    assert_eq!(names(&scan_folders(&[place.path()])), ["night.ckpt", "night.safetensors", "sub/night"]);
}

#[test]
fn an_entry_is_found_by_name_by_file_and_by_hash() {
    let place = folder();
    put(place.path().join("Anime/Night.safetensors"), SD1);
    put(place.path().join("day.safetensors"), SD1);
    put(place.path().join("cafe.safetensors"), SD1);
    let mut found = scan_folders(&[place.path()]);
    let hashes = ["cafe01", "cafe02", "beef03"].map(|start| format!("{start}{}", "0".repeat(58)));
    for (entry, hash) in found.entries.iter_mut().zip(hashes) {
        entry.sha256 = Some(hash);
    }
    let [night, cafe, day] = ["Anime/Night", "cafe", "day"].map(|name| entry(&found, name));
    for (wanted, expected) in [
        ("Anime/Night", night),
        ("anime/night", night),
        ("night", night),
        ("NIGHT.safetensors", night),
        ("cafe", cafe),
        ("cafe01", night),
        ("BEEF", day),
        (day.short_hash().expect("a hash"), day),
    ] {
        assert_eq!(find(&found.entries, wanted), NameMatch::One(expected), "{wanted}");
    }
    assert_eq!(find(&found.entries, "cafe0"), NameMatch::Several(vec![night, cafe]));
    for nothing in ["", "bee", "nowhere", "Anime", "beef04"] {
        assert_eq!(find(&found.entries, nothing), NameMatch::Nothing, "{nothing}");
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf8_is_shown_as_well_as_possible() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let place = folder();
    let folder = place.path().join(OsStr::from_bytes(b"caf\xe9"));
    put(folder.join(OsStr::from_bytes(b"\xff.safetensors")), SD1);
    let cache = &mut MetadataCache::open(place.path());
    let found = look_with(&[place.path()], None, cache);
    assert_eq!(names(&found), ["caf\u{fffd}/\u{fffd}"]);
    assert!(found.entries[0].path().is_file(), "the path itself is as it was");
    assert!(cache.hash(&found.entries[0].hashed_files, &mut || true).is_some());
}
