//! Hashes, and the cache that keeps them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use app::library::{Library, LibraryRoots, LibraryScanner, MetadataCache, ScanCommand, ScanStatus};
use crossbeam_channel::{Receiver, unbounded};
use engine::checkpoint::WeightKind;

use crate::support::folders::folder;
use crate::support::library::{SD1, SDXL, VAE, look_with, put};
use crate::support::waiting::next;

/// FIPS 180-2, appendix B: "abc", and a million times "a".
#[test]
fn hashes_are_those_that_the_standard_gives() {
    let place = folder();
    let mut cache = MetadataCache::open(place.path());
    let mut hash = |bytes: &[&[u8]]| {
        let files: Vec<_> =
            (0..bytes.len()).map(|at| place.path().join(format!("{at}-{}", bytes[at].len()))).collect();
        files.iter().zip(bytes).for_each(|(file, bytes)| fs::write(file, bytes).expect("writes"));
        cache.hash(&files, &mut || true).expect("a hash")
    };
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
    assert_eq!(hash(&[b"abc"]), abc);
    assert_eq!(hash(&[&vec![b'a'; 1_000_000]]), million);
    assert_eq!(hash(&[b"a", b"bc"]), abc, "several files are hashed as one");
}

#[test]
fn a_hash_is_kept_until_its_file_changes() {
    let place = folder();
    let models = place.path().join("models");
    let file = put(models.join("a.safetensors"), SD1);
    let home = place.path().join("home");
    let mut cache = MetadataCache::open(&home);
    let found = look_with(&[&models], None, &mut cache);
    assert_eq!(found.entries[0].sha256, None, "not hashed yet");
    let hash = cache.hash(&found.entries[0].hashed_files, &mut || true).expect("a hash");
    cache.save();

    let mut cache = MetadataCache::open(&home);
    let found = look_with(&[&models], None, &mut cache);
    assert_eq!(found.entries[0].sha256.as_ref(), Some(&hash), "known at the next start");
    assert!(cache.hash(&found.entries[0].hashed_files, &mut || panic!("it is read again")).is_some());

    // The same size, another time: it may be another model.
    let written = SystemTime::now() + Duration::from_secs(5);
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(written)).expect("touches");
    assert_eq!(look_with(&[&models], None, &mut cache).entries[0].sha256, None);
    put(&file, SDXL);
    let found = look_with(&[&models], None, &mut cache);
    assert_eq!((found.entries[0].kind, &found.entries[0].sha256), (WeightKind::Sdxl, &None));
}

#[test]
fn a_damaged_cache_is_rebuilt() {
    let place = folder();
    let models = place.path().join("models");
    put(models.join("a.safetensors"), SD1);
    for broken in ["", "{\"files\": 3}", "{\"program\":", "[]", "\0\0"] {
        fs::write(place.path().join("library.json"), broken).expect("writes");
        let mut cache = MetadataCache::open(place.path());
        let found = look_with(&[&models], None, &mut cache);
        assert!(cache.hash(&found.entries[0].hashed_files, &mut || true).is_some());
        cache.save();
        let kept = fs::read_to_string(place.path().join("library.json")).expect("they are kept");
        assert!(kept.contains("a.safetensors") && kept.contains("sha256"), "{kept}");
    }
    assert_eq!(fs::read_dir(place.path()).expect("reads").count(), 2, "no draft is left behind");
}

#[test]
fn metadata_of_another_version_is_read_again_and_its_hashes_are_kept() {
    let place = folder();
    let models = place.path().join("models");
    put(models.join("a.safetensors"), SD1);
    let mut cache = MetadataCache::open(place.path());
    let found = look_with(&[&models], None, &mut cache);
    let hash = cache.hash(&found.entries[0].hashed_files, &mut || true);
    cache.save();
    let file = place.path().join("library.json");
    let kept = fs::read_to_string(&file).expect("they are kept");
    let newer = kept.replace("stable_diffusion1", "a_kind_to_come");
    assert_ne!(newer, kept);
    fs::write(&file, newer).expect("writes");
    let found = look_with(&[&models], None, &mut MetadataCache::open(place.path()));
    assert_eq!(found.entries[0].kind, WeightKind::StableDiffusion1);
    assert_eq!(found.entries[0].sha256, hash);
}

/// A running scanner, and what it reports.
fn scanner(home: &Path) -> (LibraryScanner, Receiver<Arc<Library>>) {
    let (tell, told) = unbounded();
    (LibraryScanner::start(home.to_owned(), move |library| drop(tell.send(library))), told)
}

fn until(told: &Receiver<Arc<Library>>, is_so: impl Fn(&Library) -> bool) -> Arc<Library> {
    loop {
        let library = next(told);
        if is_so(&library) {
            return library;
        }
    }
}

#[test]
fn the_scanner_lists_then_hashes_what_opens_and_pauses_when_told() {
    let place = folder();
    let models = place.path().join("models");
    put(models.join("a.safetensors"), SD1);
    put(models.join("b.safetensors"), VAE);
    put(models.join("c.safetensors"), SDXL);
    let (scanner, told) = scanner(place.path());
    scanner.send(ScanCommand::Pause(true));
    scanner.send(ScanCommand::Scan(LibraryRoots { folders: vec![models.clone()], hub: None }));
    let listed = until(&told, |library| library.status == ScanStatus::Hashing { left: 2 });
    assert!(listed.entries.len() == 3 && listed.entries.iter().all(|entry| entry.sha256.is_none()));
    // It answers a second scan without a hash: it has been resting.
    scanner.send(ScanCommand::Scan(LibraryRoots { folders: vec![models.clone()], hub: None }));
    let again = until(&told, |library| library.status == ScanStatus::Hashing { left: 2 });
    assert!(again.entries.iter().all(|entry| entry.sha256.is_none()));
    scanner.send(ScanCommand::Pause(false));
    let done =
        until(&told, |library| library.status == ScanStatus::Done && library.entries[0].sha256.is_some());
    let hashed: Vec<_> = done.entries.iter().map(|entry| entry.sha256.is_some()).collect();
    assert_eq!(hashed, [true, true, false]);
    // The next order is carried out at once, hashing or not.
    put(models.join("d.safetensors"), SD1);
    scanner.send(ScanCommand::Pause(true));
    scanner.send(ScanCommand::Scan(LibraryRoots { folders: vec![models], hub: None }));
    let again = until(&told, |library| library.entries.len() == 4);
    assert_eq!(again.entries[0].sha256, done.entries[0].sha256);
}
