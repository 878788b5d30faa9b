//! The library of models: what is found where, and what is reported about it.

mod command_line;
mod hashes;
mod layouts;
mod names;
mod repositories;
mod tab;

use std::fs;
use std::path::Path;

use app::library::{LibraryRoots, MetadataCache, scan};
use engine::checkpoint::{ModelSource, TensorDtype, WeightKind};
use serde_json::Value;

use crate::support::folders::folder;
use crate::support::library::{SD1, SDXL, VAE, entry, names, put, scan_folders};
use crate::support::models::{open, open_with_vae};
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

/// What a model lacks, with a VAE chosen and without: a refusal, or a remark on what opens with a VAE.
#[test]
fn the_library_says_what_a_model_lacks_as_opening_it_does() {
    let place = folder();
    let save = |name: &str, small: &Small| {
        small.save_folder(&place.path().join(name), &|folder, stem, tensors| {
            save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
        })
    };
    // One of the model's own family, and one with the factors of SD 1.5, for a model without any configuration of a VAE.
    let vaes = [save("whole", &Small::new()).join("vae"), place.path().join("vae")];
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo/vae");
    let mut config: Value =
        serde_json::from_slice(&fs::read(demo.join("config.json")).expect("reads")).expect("JSON");
    config["scaling_factor"] = 0.18215.into();
    fs::create_dir(&vaes[1]).expect("makes it");
    fs::write(vaes[1].join("config.json"), config.to_string()).expect("writes");
    let weights = "diffusion_pytorch_model.safetensors";
    fs::copy(demo.join(weights), vaes[1].join(weights)).expect("copies");
    let mut models = vec![(place.path().join("whole"), "")];
    for (small, family) in [(Small::new(), "sd1"), (Small::sd2(), "sd2")] {
        for (prefix, word) in
            [("cond_stage_model.", "no text encoder"), ("first_stage_model.", "no VAE"), ("none.", "")]
        {
            let path = place.path().join(format!("{family}-{prefix}safetensors"));
            let rest = small.original.iter().filter(|given| !given.name.starts_with(prefix));
            save_safetensors(&path, &rest.cloned().collect::<Vec<_>>());
            models.push((path, word));
        }
    }
    for (part, file, word) in [
        ("unet", "diffusion_pytorch_model.safetensors", "no UNet"),
        ("unet", "", "no UNet"),
        ("text_encoder", "model.safetensors", "no text encoder"),
        ("text_encoder", "", "no text encoder"),
        ("vae", "diffusion_pytorch_model.safetensors", "no VAE"),
        ("vae", "", "no VAE"),
    ] {
        let model = save(&format!("without-{part}-{}", file.len()), &Small::new());
        match file {
            "" => fs::remove_dir_all(model.join(part)).expect("removes"),
            file => fs::remove_file(model.join(part).join(file)).expect("removes"),
        }
        models.push((model, word));
    }
    let long = save("long", &Small::new());
    let index = format!("{{\"_class_name\": \"{}\"}}", "x".repeat(2 << 20));
    fs::write(long.join("model_index.json"), index).expect("writes");
    models.push((long, "model_index.json"));
    for (model, word) in models {
        let found = scan_folders(&[model.parent().expect("a folder")]);
        let listed = found.entries.iter().find(|entry| entry.path() == model).expect("it is listed");
        let sentence = open(&model).err();
        assert_eq!(listed.refusal.as_ref().or(listed.remark.as_ref()), sentence.as_ref(), "{listed:?}");
        let said = sentence.unwrap_or_default();
        assert!(said.contains(word) && (!word.is_empty() || said.is_empty()), "no {word} in: {said}");
        let opens = vaes.iter().any(|vae| open_with_vae(&model, Some(vae)).is_ok());
        assert_eq!(listed.opens(), opens, "{listed:?}");
        assert_eq!(listed.remark.is_some(), word == "no VAE", "{listed:?}");
    }
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
