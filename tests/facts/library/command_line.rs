//! The library on the command line.

use std::fs;
use std::path::Path;

use app::features::settings::Settings;
use serde_json::Value;

use crate::support::cli::{CommandOutput, command};
use crate::support::folders::folder;
use crate::support::library::{SD1, SDXL, VAE, put};
use crate::support::weight_files::{Small, save_safetensors};

/// Runs the program with these folders in its settings, and a Hugging Face cache of its own.
fn tidepool(home: &Path, folders: &[&Path], args: &[&str]) -> CommandOutput {
    let model_folders = folders.iter().map(|folder| folder.to_path_buf()).collect();
    let settings = Settings { model_folders, ..Settings::default() };
    settings.save(&home.join(".home")).expect("saves");
    command(home, args).env("HF_HUB_CACHE", home.join("hub")).output().expect("the program starts").into()
}

#[test]
fn the_models_are_listed_in_words_and_in_json() {
    let home = folder();
    let place = home.path().join("models");
    put(place.join("night.safetensors"), SD1);
    put(place.join("big.safetensors"), SDXL);
    fs::create_dir_all(home.path().join("empty")).expect("makes it");
    let said = tidepool(home.path(), &[&place, &home.path().join("gone")], &["models"]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", said.stdout);
    assert!(lines[0].starts_with("night") && lines[0].contains("SD 1.x") && lines[0].contains("f16"));
    assert!(lines[1].starts_with("big") && lines[1].contains("not read"), "{}", lines[1]);
    assert!(said.stderr.contains("gone"), "{}", said.stderr);

    let said = tidepool(home.path(), &[], &["models", "--json", "--hash", "--folder", "models"]);
    let json: Value = serde_json::from_str(&said.stdout).expect("one JSON object");
    let [night, big] = [0, 1].map(|at| &json["models"][at]);
    assert_eq!((&night["name"], &night["kind"]), (&"night".into(), &"stable_diffusion1".into()));
    assert_eq!((&night["opens"], &big["opens"]), (&true.into(), &false.into()));
    assert_eq!((&night["precision"], &night["format"]), (&"f16".into(), &"safetensors".into()));
    let sha256 = night["sha256"].as_str().expect("a hash");
    assert_eq!((sha256.len(), night["hash"].as_str()), (64, Some(&sha256[..10])));
    assert_eq!(json["folders"][0]["layout"], "plain");

    let said = tidepool(home.path(), &[], &["models", "--folder", "empty"]);
    assert_eq!((said.status, said.stdout.trim()), (Some(0), ""));
    assert!(said.stderr.contains("--folder"), "{}", said.stderr);
}

#[test]
fn a_model_is_named_by_its_name_its_hash_or_owner_and_name() {
    let home = folder();
    let place = home.path().join("models");
    let small = Small::new();
    fs::create_dir_all(place.join("a")).expect("makes it");
    save_safetensors(&place.join("a/small.safetensors"), &small.original);
    put(place.join("big.safetensors"), SDXL);
    put(place.join("mse.safetensors"), VAE);
    let snapshot = home.path().join("hub/models--ann--dreams/snapshots/1");
    fs::create_dir_all(&snapshot).expect("makes it");
    small.save_folder(&snapshot, &|folder, stem, tensors| {
        save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
    });
    let listed = tidepool(home.path(), &[&place], &["models", "--json", "--hash"]);
    let listed: Value = serde_json::from_str(&listed.stdout).expect("one JSON object");
    let hash = listed["models"][0]["hash"].as_str().expect("a hash");
    let render = |model: &str| {
        let args =
            ["render", "x", "--device", "cpu", "--size", "64x64", "--steps", "1", "-o", "a.png", "--model"];
        tidepool(home.path(), &[&place], &[&args[..], &[model]].concat())
    };
    for model in ["a/small", "small", "SMALL.safetensors", hash, "ann/dreams"] {
        let said = render(model);
        assert_eq!(said.status, Some(0), "{model}: {}", said.stderr);
    }
    for (model, status, word) in [
        ("big", 1, "SDXL"),
        ("mse", 1, "VAE"),
        ("nowhere", 1, "tidepool models"),
        ("bob/dreams", 1, "bob/dreams"),
    ] {
        let said = render(model);
        assert_eq!(said.status, Some(status), "{model}: {}", said.stderr);
        assert!(said.stderr.contains(word), "{model}: {}", said.stderr);
    }
    save_safetensors(&place.join("small.safetensors"), &small.original);
    fs::create_dir_all(place.join("b")).expect("makes it");
    fs::rename(place.join("small.safetensors"), place.join("b/small.safetensors")).expect("moves");
    let said = render("small");
    assert_eq!(said.status, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("a/small") && said.stderr.contains("b/small"), "{}", said.stderr);
}

#[test]
fn a_model_without_a_vae_is_listed_and_inspected_with_that_remark() {
    let home = folder();
    let small = Small::new();
    let rest = small.original.iter().filter(|given| !given.name.starts_with("first_stage_model."));
    fs::create_dir(home.path().join("models")).expect("makes it");
    save_safetensors(&home.path().join("models/pruned.safetensors"), &rest.cloned().collect::<Vec<_>>());
    small.save_folder(&home.path().join("models/folder"), &|folder, stem, tensors| {
        if !folder.ends_with("vae") {
            save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
        }
    });
    let said = tidepool(home.path(), &[], &["models", "--folder", "models"]);
    let lines: Vec<_> = said.stdout.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("SD 1.x (no VAE)")), "{}", said.stdout);
    let said = tidepool(home.path(), &[], &["models", "--folder", "models", "--json"]);
    let json: Value = serde_json::from_str(&said.stdout).expect("one JSON object");
    for model in json["models"].as_array().expect("models") {
        assert!(model["opens"] == true && model["refusal"].is_null(), "{model}");
        assert!(model["remark"].as_str().is_some_and(|remark| remark.contains("--vae")), "{model}");
    }
    for path in ["models/pruned.safetensors", "models/folder"] {
        let said = tidepool(home.path(), &[], &["inspect", path]);
        assert!(said.stdout.contains("no VAE"), "{path}: {} {}", said.stdout, said.stderr);
    }
}

#[test]
fn inspect_names_the_pipeline_of_a_folder_and_its_parts() {
    let home = folder();
    Small::new().save_folder(&home.path().join("model"), &|folder, stem, tensors| {
        save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
    });
    let path = home.path().join("model/model_index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    let inspect = |index: &str| {
        fs::write(&path, index).expect("writes");
        tidepool(home.path(), &[], &["inspect", "--json", "model"])
    };
    // diffusers writes the class of a custom pipeline as a list, and a component that is absent as nulls.
    index["_class_name"] = serde_json::json!(["my_pipeline", "MyPipeline"]);
    index["safety_checker"] = serde_json::json!([null, null]);
    let said = inspect(&index.to_string());
    let json: Value = serde_json::from_str(&said.stdout).expect("one JSON object");
    assert_eq!(json["class"], "MyPipeline");
    let parts = json["parts"].as_array().expect("parts").iter();
    let parts: Vec<_> = parts.map(|part| part["name"].as_str().expect("a name")).collect();
    assert_eq!(parts, ["scheduler", "text_encoder", "tokenizer", "unet", "vae"]);
    index["_class_name"] = "x".repeat(2 << 20).into();
    let said = inspect(&index.to_string());
    assert_eq!(said.status, Some(1), "{:.200}", said.stdout);
    assert!(said.stderr.trim_end().ends_with("model_index.json"), "the path is last: {}", said.stderr);
}

#[test]
fn inspect_lists_every_tensor_of_a_file_and_of_a_folder() {
    let home = folder();
    let small = Small::new();
    small.save_folder(&home.path().join("model"), &|folder, stem, tensors| {
        save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
    });
    let (_, unet) = small.parts.iter().find(|(part, _)| part == "unet").expect("a part");
    let unet_file = "model/unet/diffusion_pytorch_model.safetensors";
    let said = tidepool(home.path(), &[], &["inspect", "--json", unet_file]);
    let json: Value = serde_json::from_str(&said.stdout).expect("one JSON object");
    let shapes = json["shapes"].as_array().expect("rows");
    assert_eq!((shapes.len(), json["tensors"].as_u64()), (unet.len(), Some(unet.len() as u64)));
    for given in unet {
        let row = shapes.iter().find(|row| row["name"] == given.name.as_str()).expect("a row");
        assert_eq!((&row["shape"], &row["dtype"]), (&serde_json::json!(given.shape), &"F16".into()));
    }
    let said = tidepool(home.path(), &[], &["inspect", "--json", "model"]);
    let json: Value = serde_json::from_str(&said.stdout).expect("one JSON object");
    assert_eq!(json["holds"], "a Stable Diffusion 1.x model");
    let parts = json["parts"].as_array().expect("parts");
    let part = parts.iter().find(|part| part["name"] == "unet").expect("a part");
    assert_eq!(part["weights"]["shapes"], serde_json::json!(shapes));

    for what in [unet_file, "model"] {
        let short = tidepool(home.path(), &[], &["inspect", what]);
        let long = tidepool(home.path(), &[], &["inspect", what, "--shapes"]);
        assert!(!short.stdout.contains("conv_in.weight"), "{}", short.stdout);
        let row = long.stdout.lines().find(|line| line.ends_with("conv_in.weight")).expect("a row");
        assert!(row.contains("F16") && row.contains("[32, 4, 3, 3]"), "{row}");
    }
}
