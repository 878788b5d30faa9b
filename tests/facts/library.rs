//! The library of models: what is found where, and what is reported about it.

mod command_line;
mod hashes;
mod layouts;
mod names;
mod repositories;
mod tab;

use std::fs;

use app::library::{LibraryRoots, MetadataCache, scan};
use engine::checkpoint::{ModelSource, TensorDtype, WeightKind};

use crate::support::folders::folder;
use crate::support::library::{SD1, SDXL, VAE, entry, names, put, scan_folders};
use crate::support::weight_files::{Small, safetensors_of, save_safetensors, save_torch_zip};

#[test]
fn an_entry_tells_kind_size_precision_and_whether_it_opens() {
    let place = folder();
    let small = Small::new();
    save_safetensors(&place.path().join("whole.safetensors"), &small.original);
    save_torch_zip(&place.path().join("old.ckpt"), &small.original);
    put(place.path().join("big.safetensors"), SDXL);
    put(place.path().join("vae/mse.safetensors"), VAE);
    small.save_folder(&place.path().join("folder"), &|folder, stem, tensors| {
        save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
    });
    let found = scan_folders(&[place.path()]);
    assert_eq!(names(&found), ["folder", "old", "whole", "vae/mse", "big"], "what opens is first, VAEs next");

    let whole = entry(&found, "whole");
    assert_eq!((whole.kind, whole.opens(), whole.is_vae()), (WeightKind::StableDiffusion1, true, false));
    assert_eq!((whole.precision, whole.format.label()), (Some(TensorDtype::F16), "safetensors"));
    assert_eq!(whole.bytes, fs::metadata(place.path().join("whole.safetensors")).expect("it is there").len());
    assert_eq!(entry(&found, "old").format.label(), "pickle");
    assert_eq!(entry(&found, "old").precision, Some(TensorDtype::F16));

    let parts = entry(&found, "folder");
    assert_eq!((parts.kind, parts.opens()), (WeightKind::StableDiffusion1, true));
    assert_eq!((parts.precision, parts.format.label()), (Some(TensorDtype::F16), "diffusers folder"));
    assert!(matches!(&parts.source, ModelSource::Folder(path) if path.ends_with("folder")));

    assert!(entry(&found, "vae/mse").is_vae());
    let big = entry(&found, "big");
    assert_eq!((big.kind, big.opens()), (WeightKind::Sdxl, false));
    assert!(big.refusal.as_ref().is_some_and(|refusal| refusal.contains("SDXL")));
}

#[test]
fn what_most_bytes_are_is_the_precision() {
    let place = folder();
    let path = place.path().join("mixed.safetensors");
    let header = r#"{"decoder.conv_in.weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},
        "decoder.a":{"dtype":"F16","shape":[4],"data_offsets":[16,24]},
        "decoder.b":{"dtype":"F16","shape":[2],"data_offsets":[24,28]}}"#;
    fs::write(&path, safetensors_of(header, 28)).expect("writes");
    assert_eq!(
        entry(&scan_folders(&[place.path()]), "mixed").precision,
        Some(TensorDtype::F32),
        "16 bytes against 12"
    );
}

#[test]
fn a_broken_file_is_listed_with_what_is_wrong_and_the_rest_is_found() {
    let place = folder();
    put(place.path().join("good.safetensors"), SD1);
    fs::write(place.path().join("pointer.ckpt"), "version https://git-lfs.github.com/spec/v1\n")
        .expect("writes");
    fs::write(place.path().join("cut.safetensors"), b"\x40\0\0\0\0\0\0\0{\"a\":").expect("writes");
    fs::write(place.path().join("empty.pt"), "").expect("writes");
    fs::write(place.path().join("notes.txt"), "no model").expect("writes");
    let found = scan_folders(&[place.path()]);
    assert_eq!(names(&found), ["good", "cut", "empty", "pointer"]);
    for (name, word) in [("pointer", "Git LFS"), ("empty", "empty"), ("cut", "header")] {
        let refusal = entry(&found, name).refusal.as_deref().expect("it is refused");
        assert!(refusal.contains(word), "{refusal}");
    }
}

#[test]
fn an_incomplete_model_folder_says_what_it_lacks() {
    let place = folder();
    Small::new().save_folder(&place.path().join("half"), &|folder, stem, tensors| {
        if !folder.ends_with("vae") {
            save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
        }
    });
    let found = scan_folders(&[place.path()]);
    let refusal = entry(&found, "half").refusal.as_deref().expect("it is refused");
    assert!(refusal.contains("vae"), "{refusal}");
}

#[test]
fn a_scan_can_be_ended() {
    let place = folder();
    for at in 0..50 {
        put(place.path().join(format!("{at}.safetensors")), SD1);
    }
    let mut asked = 0;
    let shelves = LibraryRoots { folders: vec![place.path().to_owned()], hub: None };
    let found = scan(&shelves, &mut MetadataCache::default(), &mut |_| {
        asked += 1;
        asked < 70
    });
    assert!(found.entries.len() < 50, "{}", found.entries.len());
}
