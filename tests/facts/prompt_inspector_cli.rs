//! `tidepool tokens` and `tidepool words`, and the options of a prompt, as scripts meet them.

use std::path::Path;

use serde_json::Value;

use crate::support::cli::{CommandOutput, tidepool};
use crate::support::folders::folder;

fn run(folder: &Path, args: &[&str]) -> CommandOutput {
    let run = tidepool(folder, &[args, &["--device", "cpu"]].concat());
    assert_eq!(run.status, Some(0), "{args:?}: {}", run.stderr);
    run
}

fn json(folder: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&run(folder, &[args, &["--json"]].concat()).stdout).expect("one JSON object")
}

fn pieces(tokens: &Value) -> Vec<&str> {
    let tokens = tokens["tokens"].as_array().expect("tokens");
    tokens.iter().map(|token| token["piece"].as_str().expect("a piece")).collect()
}

#[test]
fn tokens_are_told_with_their_ids_and_where_they_stand() {
    let folder = folder();
    let prompt = "A (puppy:1.3) by the SEA";
    let said = json(folder.path(), &["tokens", prompt]);
    let expected = ["<|startoftext|>", "a</w>", "puppy</w>", "by</w>", "the</w>", "sea</w>", "<|endoftext|>"];
    assert_eq!((pieces(&said), &said["cut"]), (expected.to_vec(), &Value::from("")));
    let tokens = said["tokens"].as_array().expect("tokens");
    let letters = |token: &Value| {
        let at = |end: &str| token[end].as_u64().expect("a byte") as usize;
        prompt[at("start")..at("end")].to_owned()
    };
    assert_eq!(tokens.iter().map(letters).collect::<Vec<_>>(), ["", "A", "puppy", "by", "the", "SEA", ""]);
    assert_eq!(tokens[2]["weight"], 1.3);
    let ids: Vec<u64> = tokens.iter().filter_map(|token| token["id"].as_u64()).collect();
    assert_eq!(ids.len(), 7);

    let plain = json(folder.path(), &["tokens", prompt, "--weights", "none"]);
    assert!(pieces(&plain).contains(&"(</w>"), "{plain}");
    let long = "a fox, ".repeat(40);
    let cut = json(folder.path(), &["tokens", &long, "--long", "cut"]);
    assert!(pieces(&cut).len() == 77 && cut["cut"].as_str().is_some_and(|cut| cut.ends_with("a fox,")));
    let chunks = json(folder.path(), &["tokens", &long]);
    assert_eq!((&chunks["chunks"], &chunks["cut"]), (&Value::from(2), &Value::from("")));
    let both = json(folder.path(), &["tokens", "a fox AND a boat :0.5"]);
    assert_eq!(both["parts"][1]["weight"], 0.5);
    assert_eq!((&both["tokens"], &both["cut"]), (&both["parts"][0]["tokens"], &Value::from("")));
}

#[test]
fn the_nearest_word_is_the_word_itself_and_an_edit_moves_it() {
    let folder = folder();
    let said = json(folder.path(), &["words", "puppy", "--nearest", "10"]);
    let nearest = said["nearest"].as_array().expect("words");
    assert_eq!((nearest.len(), &nearest[0]["piece"]), (10, &Value::from("puppy</w>")));
    let cosines: Vec<f64> = nearest.iter().map(|near| near["cosine"].as_f64().expect("a cosine")).collect();
    assert!((cosines[0] - 1.0).abs() < 1e-5 && cosines.is_sorted_by(|a, b| a >= b), "{cosines:?}");
    let edit = ["words", "puppy", "--edit", "puppy=cat", "--nearest", "1"];
    assert_eq!(json(folder.path(), &edit)["nearest"][0]["piece"], "cat</w>");
    let both = ["words", "puppy fox", "--edit", "fox=owl", "--edit", "puppy=cat", "--nearest", "1"];
    let lines = run(folder.path(), &both).stdout;
    let last = |line: &str| line.split_whitespace().last().map(str::to_owned).unwrap_or_default();
    let said: Vec<String> = lines.lines().map(last).collect();
    assert_eq!(said, ["puppy", "cat</w>", "fox", "owl</w>"], "each under its word, in their order");
    assert_eq!(json(folder.path(), &both)["words"], Value::from(vec!["puppy", "fox"]));
}

#[test]
fn what_is_not_read_is_told_of_every_prompt_as_the_engine_reads_it() {
    let folder = folder();
    let long = "a fox, ".repeat(40);
    let remarks = |args: &[&str]| {
        let small = ["-o", "a.png", "--size", "64x64", "--steps", "1", "--long", "cut"];
        run(folder.path(), &[&["render", "a puppy"], args, &small].concat()).stderr
    };
    let mixed = remarks(&["--mix", &format!("{long} <frost>:0.5")]);
    assert!(mixed.contains("mixed prompt") && mixed.contains("<frost>"), "{mixed}");
    // AND would give each half a chunk of its own.
    let half = "a fox, ".repeat(20);
    let negative = remarks(&["--negative", &format!("{half} AND {half}")]);
    assert!(negative.contains("negative prompt"), "{negative}");
}

/// Pixels of the picture that a command makes.
fn pixels(folder: &Path, args: &[&str]) -> image::RgbImage {
    let small = ["-o", "a.png", "--size", "64x64", "--steps", "3", "--seed", "5"];
    run(folder, &[&["render"], args, &small].concat());
    image::open(folder.join("a.png")).expect("a picture").into_rgb8()
}

#[test]
fn an_edit_and_the_concept_saved_of_it_make_one_picture() {
    let folder = folder();
    let path = folder.path();
    let edit = "puppy=0.5*puppy+0.5*skunk";
    let edited = pixels(path, &["a puppy in the snow", "--edit", edit]);
    assert_ne!(edited, pixels(path, &["a puppy in the snow"]));
    for file in ["mine.safetensors", "mine.bin", "mine.pt"] {
        run(path, &["words", "puppy", "--edit", edit, "--save", file, "--token", "<mine>"]);
        assert_eq!(pixels(path, &["a <mine> in the snow", "--concept", file]), edited, "{file}");
    }
    let said = json(path, &["words", "puppy", "--edit", edit, "--save", "my word.bin"]);
    assert_eq!(said, serde_json::json!({ "path": "my word.bin", "token": "<my-word>", "vectors": 1 }));
}

#[test]
fn edits_and_mixes_are_kept_in_the_picture_and_can_be_used_again() {
    let folder = folder();
    let path = folder.path();
    let args =
        ["a puppy", "--edit", "puppy=cat, scale 1.25", "--mix", "a fox: at night:0.25", "--clip-skip", "2"];
    pixels(path, &args);
    let inspected = tidepool(path, &["inspect", "a.png", "--json"]).stdout;
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    let recipe = &inspected["recipe"];
    assert_eq!(recipe["edits"][0]["scale"], 1.25, "{inspected}");
    assert_eq!(recipe["edits"][0]["replacement"][0]["word"]["word"], "cat");
    assert_eq!(recipe["mix"]["prompts"][0]["prompt"], "a fox: at night");
    assert_eq!(recipe["text"]["clip_skip"], 2);
}

#[test]
fn a_strip_along_a_mix_is_a_sheet_and_a_film() {
    let folder = folder();
    let path = folder.path();
    let small = ["--size", "64x64", "--steps", "2", "--seed", "5", "-o", "strip.png"];
    let vary = ["sheet", "a mouse", "--mix", "a leopard:0.5", "--vary", "mix=0,0.5,1", "--film", "strip.gif"];
    run(path, &[&vary[..], &small].concat());
    let film = std::fs::read(path.join("strip.gif")).expect("a film");
    let frames = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(film)).expect("a GIF");
    let frames = image::AnimationDecoder::into_frames(frames).collect_frames().expect("frames");
    assert_eq!(frames.len(), 3);
    let ends = ["a mouse", "a leopard"].map(|prompt| {
        run(path, &["render", prompt, "--size", "64x64", "--steps", "2", "--seed", "5", "-o", "end.png"]);
        image::open(path.join("end.png")).expect("a picture").into_rgb8()
    });
    let strip = image::open(path.join("strip.png")).expect("a sheet").into_rgb8();
    for end in ends {
        let holds_it = (0..=strip.width() - 64).any(|x| {
            (0..=strip.height() - 64)
                .any(|y| *image::imageops::crop_imm(&strip, x, y, 64, 64).to_image() == *end)
        });
        assert!(holds_it, "the strip begins and ends with the prompts' own pictures");
    }
}

#[test]
fn attention_maps_are_written_as_one_picture() {
    let folder = folder();
    let path = folder.path();
    pixels(path, &["a puppy on the grass", "--attention", "look.png"]);
    let seen = image::open(path.join("look.png")).expect("a picture");
    assert!(seen.width() >= 6 * 64, "the picture and five words: {}", seen.width());
}

#[test]
fn impossible_arguments_are_refused() {
    let folder = folder();
    let refused = |args: &[&str]| {
        let run = tidepool(folder.path(), &[args, &["--device", "cpu"]].concat());
        assert_ne!(run.status, Some(0), "{args:?}");
        run.stderr
    };
    assert!(refused(&["render", "a puppy", "--edit", "puppy"]).contains("puppy="));
    assert!(refused(&["render", "a puppy", "--mix", "a cat"]).contains("a leopard:0.4"));
    assert!(refused(&["render", "a puppy", "--clip-skip", "0"]).contains("24"));
    assert!(refused(&["words", "", "--nearest", "3"]).contains("no tokens"));
    assert!(refused(&["words", "fox", "--edit", "puppy=cat"]).contains("puppy"));
    let sheet = |more: &[&str]| {
        refused(&[&["sheet", "a fox", "--vary", "cfg=1,2", "-o", "s.png", "--film", "s.gif"], more].concat())
    };
    assert!(sheet(&["--film-view", "both"]).contains("--film-view"));
    assert!(sheet(&["--film-full"]).contains("--film-full"));
    assert!(sheet(&["--film-fps", "99"]).contains("50"));
    let ending = ["words", "puppy", "--edit", "puppy=cat", "--save", "mine.png"];
    assert!(refused(&ending).contains(".safetensors"));
}
