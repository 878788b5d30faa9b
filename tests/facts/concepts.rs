//! Concepts in every format, and files that are not concepts.

use std::fs;
use std::path::Path;

use engine::checkpoint::WeightFile;
use engine::concepts::{Concept, ConceptError, ConceptSet, read};
use engine::prompt::MatchKind;
use serde_json::Value;

use crate::support::cli::tidepool;
use crate::support::folders::folder;
use crate::support::models::{model_info, text_width};
use crate::support::numbers::golden_folder;
use crate::support::weight_files::*;

fn golden_concept(name: &str) -> Concept {
    let path = golden_folder().join("data/checkpoints").join(name);
    read(&path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_form_of_a_concept_holds_its_vectors() {
    let vectors = golden_folder().join("data/checkpoints/vectors.safetensors");
    let vectors = WeightFile::open(&vectors).expect("golden data");
    let [one, two] = ["one", "two"].map(|name| vectors.read(name).expect("golden data").0);
    for form in ["zip", "legacy"] {
        let concept = golden_concept(&format!("diffusers-{form}.bin"));
        assert_eq!((concept.token.as_str(), concept.count(), concept.width), ("<birb-style>", 1, 768));
        assert_eq!(concept.vectors, one, "{form}");
        assert_eq!(concept.name(), format!("diffusers-{form}"));
        concept.check_width(768).expect("it fits SD 1.x");
        for writer in ["a1111", "dict", "bare", "numpy", "fortran", "cpu", "tagged", "objects"] {
            let concept = golden_concept(&format!("{writer}-{form}.pt"));
            assert_eq!(concept.token, format!("{writer}-{form}"), "A1111 goes by the file's name");
            assert_eq!((concept.count(), concept.width), (2, 768));
            assert_eq!(concept.vectors, two, "{writer} {form}");
        }
    }
}

#[test]
fn a_concept_in_safetensors_is_known_by_its_names() {
    let place = folder();
    let path = place.path().join("sea glass.safetensors");
    for (name, shape, token, count) in [
        ("<birb-style>", &[768][..], "<birb-style>", 1),
        ("<birb-style>", &[1, 768], "<birb-style>", 1),
        ("emb_params", &[3, 768], "sea glass", 3),
        ("emb_params", &[75, 768], "sea glass", 75),
        ("ünïcödé", &[768], "ünïcödé", 1),
        // Words that are parts of the keys of networks.
        ("<flora_art>", &[768], "<flora_art>", 1),
        ("<lora_up.weight>", &[768], "<lora_up.weight>", 1),
        ("text_model.x", &[2, 1280], "text_model.x", 2),
        ("decoder.conv_in.weight", &[128], "decoder.conv_in.weight", 1),
        // Keys that are no words: kohya-ss's, and A1111's.
        ("clip_l", &[2, 768], "sea glass", 2),
        ("*", &[768], "sea glass", 1),
    ] {
        let given = TestTensor::new(name, shape);
        save_safetensors(&path, &[given]);
        let concept = read(&path).unwrap_or_else(|error| panic!("{error}"));
        let width = *shape.last().expect("a width");
        assert_eq!((concept.token.as_str(), concept.count(), concept.width), (token, count, width));
    }
}

#[test]
fn two_concepts_under_the_key_of_one_text_encoder_are_both_used() {
    let place = folder();
    let concepts = ["reef", "dune"].map(|name| {
        let path = place.path().join(format!("{name}.safetensors"));
        save_safetensors(&path, &[TestTensor::new("clip_l", &[2, text_width()])]);
        read(&path).unwrap_or_else(|error| panic!("{error}"))
    });
    let set: ConceptSet = concepts.iter().cloned().collect();
    assert!(concepts.iter().all(|concept| set.shadowed_by(concept).is_none()));
    let marks = model_info().prompt_tokenizer(&set).marks("reef and dune");
    let found: Vec<&str> = marks
        .iter()
        .filter_map(|mark| match &mark.meaning {
            MatchKind::Concept(concept) => Some(concept.token.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(found, ["reef", "dune"]);
}

#[test]
fn a_concept_of_64_bits_is_read_and_one_of_whole_numbers_is_refused_by_its_type() {
    let place = folder();
    let path = place.path().join("mine.bin");
    let of = |class: &str| {
        let tensor = tensor(storage(class, "0", 128), 0, &[128], &[1]);
        let data: Vec<u8> = (0..128).flat_map(|at| (f64::from(at) / 4.0).to_le_bytes()).collect();
        fs::write(&path, around(&pickle(&dict(&[("<mine>", tensor)])), &[("0", data)])).expect("writes");
        read(&path)
    };
    let wide = of("DoubleStorage").unwrap_or_else(|error| panic!("{error}"));
    assert!(wide.vectors.iter().zip(0_u16..).all(|(value, at)| *value == f32::from(at) / 4.0));
    let said = of("LongStorage").expect_err("whole numbers are not vectors").to_string();
    assert!(said.contains("I64") && said.contains("not supported") && !said.contains("damaged"), "{said}");
    assert!(said.ends_with(&path.display().to_string()), "the path is last: {said}");
}

#[test]
fn a_width_that_does_not_fit_is_said() {
    let wide = golden_concept("wide.bin");
    assert_eq!(wide.width, 1024);
    let said = wide.check_width(768).expect_err("1024 is not 768").to_string();
    for word in ["1024", "768", "Stable Diffusion 2.x", "wide.bin"] {
        assert!(said.contains(word), "no {word} in: {said}");
    }
}

#[test]
fn what_is_not_a_concept_is_named() {
    let place = folder();
    let path = place.path().join("concept.bin");
    let tensors = |given: &[(&str, &[usize])]| -> Box<dyn Fn(&Path)> {
        let given: Vec<TestTensor> = given.iter().map(|(name, shape)| TestTensor::new(name, shape)).collect();
        Box::new(move |path| save_safetensors(path, &given))
    };
    let bytes = |bytes: &[u8]| -> Box<dyn Fn(&Path)> {
        let bytes = bytes.to_vec();
        Box::new(move |path| fs::write(path, &bytes).expect("writes"))
    };
    let infinite = |bits: u16| -> Box<dyn Fn(&Path)> {
        let mut given = TestTensor::new("<a>", &[768]);
        given.data[6..8].copy_from_slice(&bits.to_le_bytes());
        Box::new(move |path| save_safetensors(path, std::slice::from_ref(&given)))
    };
    let attack = around(&pickle(&call(global("os", "system"), tuple(&[text("id")]))), &[]);
    type Write = Box<dyn Fn(&Path)>;
    let cases: Vec<(&str, Write)> = vec![
        ("empty", bytes(b"")),
        ("Git LFS", bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
        ("web page", bytes(b"<!DOCTYPE html><html>")),
        ("picture", bytes(b"\x89PNG\r\n\x1a\n")),
        ("another kind", bytes(b"a bird, painted")),
        ("os.system", bytes(&attack)),
        ("SDXL", tensors(&[("clip_g", &[2, 1280]), ("clip_l", &[2, 768])])),
        ("2 concepts (<a>, <b>)", tensors(&[("<a>", &[768]), ("<b>", &[768])])),
        (
            "4 concepts (<a>, <b>, <c>, …)",
            tensors(&[("<a>", &[768]), ("<b>", &[768]), ("<c>", &[768]), ("<d>", &[768])]),
        ),
        ("76 vectors", tensors(&[("emb_params", &[76, 768])])),
        ("[0, 768]", tensors(&[("emb_params", &[0, 768])])),
        ("[1, 2, 768]", tensors(&[("<a>", &[1, 2, 768])])),
        ("[5000]", tensors(&[("<a>", &[5000])])),
        ("[]", tensors(&[("<a>", &[])])),
        ("no vectors", tensors(&[])),
        ("a LoRA", tensors(&[("lora_te_text_model.lora_up.weight", &[8, 8])])),
        ("a text encoder", tensors(&[("text_model.embeddings.token_embedding.weight", &[8, 8])])),
        ("an autoencoder", tensors(&[("decoder.conv_in.weight", &[8, 8])])),
        ("not finite", infinite(0x7c00)),
        ("not finite", infinite(0x7e00)),
    ];
    for (word, save) in cases {
        save(&path);
        let said = read(&path).err().unwrap_or_else(|| panic!("{word}: it was read")).to_string();
        assert!(said.contains(word), "no {word:?} in: {said}");
        assert!(said.ends_with(&path.display().to_string()), "the path is last: {said}");
    }
    save_safetensors(&path, &Small::new().original);
    assert!(matches!(read(&path), Err(ConceptError::Model(..))), "a whole model is said to be one");
    assert!(matches!(read(place.path()), Err(ConceptError::Unreadable(..))), "a folder");
    assert!(matches!(read(&place.path().join("nowhere")), Err(ConceptError::Unreadable(..))));
}

#[test]
fn the_command_line_takes_concepts_one_by_one_and_by_the_folder() {
    let place = folder();
    let files = golden_folder().join("data/checkpoints");
    fs::create_dir_all(place.path().join("mine/sub")).expect("makes folders");
    fs::copy(files.join("frost.bin"), place.path().join("mine/sub/learned_embeds.bin")).expect("copies");
    fs::copy(files.join("wide.bin"), place.path().join("mine/wide.bin")).expect("copies");
    fs::write(place.path().join("mine/broken.pt"), "version https://git-lfs").expect("writes");
    let render = |prompt: &str, concept: &str| {
        let mut args = vec!["render", prompt, "-o", "a.png", "--device", "cpu", "--json"];
        args.extend(["--size", "64x64", "--steps", "2", "--concept", concept]);
        tidepool(place.path(), &args)
    };
    let said = render("a <frost> tree, <frots>, <wide>", "mine");
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    let report: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let sha256 = read(&files.join("frost.bin")).expect("a concept").sha256;
    let used = serde_json::json!([{ "name": "learned_embeds", "token": "<frost>", "sha256": sha256[..12] }]);
    assert_eq!(report["concepts"], used);
    let found = engine::images::read_recipe(&place.path().join("a.png")).expect("a PNG").expect("a recipe");
    assert_eq!(serde_json::json!(found.provenance.concepts), used, "the picture remembers");
    for remark in ["Git LFS", "<frost>", "1024"] {
        assert!(report["remarks"].to_string().contains(remark), "no {remark} in {}", report["remarks"]);
        assert!(said.stderr.contains(remark), "no {remark} in {}", said.stderr);
    }
    let said = render("a tree", "mine/sub/learned_embeds.bin");
    assert!(said.stderr.contains("<frost>"), "{}", said.stderr);
    for (concept, why) in [("mine/broken.pt", "Git LFS"), ("mine/wide.bin", "1024"), ("none.pt", "none.pt")] {
        let said = render("a tree", concept);
        assert_eq!(said.status, Some(1), "{concept}");
        assert!(said.stderr.contains(why), "{}", said.stderr);
    }
}

#[test]
fn inspect_says_what_a_concept_is() {
    let files = golden_folder().join("data/checkpoints");
    let inspect = |file: &str, how: &[&str]| {
        let said = tidepool(&files, &[&["inspect", file], how].concat());
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        said.stdout
    };
    let words = inspect("frost.bin", &[]);
    for word in ["a concept", "<frost>", "vectors   2", &text_width().to_string(), "norms"] {
        assert!(words.contains(word), "no {word} in: {words}");
    }
    let facts: Value = serde_json::from_str(&inspect("a1111-zip.pt", &["--json"])).expect("JSON");
    let facts = &facts["concept"];
    assert_eq!((&facts["token"], &facts["vectors"]), (&"a1111-zip".into(), &2.into()));
    assert_eq!((&facts["width"], &facts["family"]), (&768.into(), &"Stable Diffusion 1.x".into()));
    let concept = golden_concept("a1111-zip.pt");
    let norm = concept.vectors[768..].iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    assert!((facts["norms"][1].as_f64().expect("a number") - norm).abs() < 1e-5 * norm);
}
