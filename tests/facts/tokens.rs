//! Token ids against transformers' tokenizer, on 2,000 prompts of every kind, and with added tokens.

use std::fs;
use std::io::Read;
use std::path::Path;

use engine::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::support::folders::folder;
use crate::support::models::open;
use crate::support::numbers::golden_folder;
use crate::support::weight_files::{Small, TestTensor, save_safetensors};

fn references(name: &str) -> Value {
    let file = fs::File::open(golden_folder().join("data").join(name)).expect("golden tokens");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("whole golden tokens");
    serde_json::from_str(&text).expect("golden tokens are JSON")
}

fn tokenizer(vocabulary: &str) -> Tokenizer {
    let folder = golden_folder().join("../../assets").join(vocabulary);
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Tokenizer::from_vocabulary(&read("vocab.json"), &read("merges.txt"), 77).expect("a vocabulary")
}

#[test]
fn ids_of_two_thousand_prompts_are_the_references() {
    let references = references("tokens.json.gz");
    let prompts = references["prompts"].as_array().expect("prompts");
    assert_eq!(prompts.len(), 2000);
    for (name, vocabulary) in [("demo", "demo/tokenizer"), ("clip", "clip")] {
        let tokenizer = tokenizer(vocabulary);
        let mut wrong = Vec::new();
        for (index, prompt) in prompts.iter().enumerate() {
            let prompt = prompt.as_str().expect("a prompt");
            let tokenized = tokenizer.tokenize(prompt);
            let ids: Vec<u32> = serde_json::from_value(references[name]["ids"][index].clone()).expect("ids");
            let uncut = references[name]["uncut_lengths"][index].as_u64().expect("a length") as usize;
            if tokenized.chunks[0].ids != ids || tokenized.cut.is_empty() != (uncut <= 77) {
                wrong.push((prompt, ids, tokenized));
            }
        }
        assert!(wrong.is_empty(), "{} of {name}, the first: {:?}", wrong.len(), wrong[0]);
    }
}

#[test]
fn a_long_prompt_says_what_was_cut() {
    let prompt = format!("{}a fox, a Frog and a whale", "a puppy ".repeat(37));
    let tokenized = tokenizer("demo/tokenizer").tokenize(&prompt);
    assert_eq!((tokenized.used(), tokenized.capacity), (75, 75));
    assert_eq!(tokenized.cut, "fox, a Frog and a whale");
}

#[test]
fn the_lessons_sentence_has_the_lessons_ids() {
    let ids = tokenizer("clip").tokenize("A picture of a puppy.").chunks.swap_remove(0).ids;
    assert_eq!(ids[..8], [49406, 320, 1674, 539, 320, 6829, 269, 49407]);
}

/// Words of the small vocabulary of `tests/golden/tokenizer`, to which tokens are added.
const WORDS: usize = 764;

/// A small model with room for seven added tokens in its text encoder, without the tokenizer's configuration.
fn model_with_room(folder: &Path) {
    const ROWS: usize = WORDS + 7;
    let mut small = Small::new();
    let tensors = small.parts.iter_mut().flat_map(|(_, tensors)| tensors);
    for given in tensors.filter(|given| given.name.ends_with("token_embedding.weight")) {
        *given = TestTensor::new(&given.name, &[ROWS, given.shape[1]]);
    }
    small.save_folder(folder, &|folder, stem, tensors| {
        save_safetensors(&folder.join(format!("{stem}.safetensors")), tensors);
    });
    for name in ["tokenizer/vocab.json", "tokenizer/merges.txt"] {
        fs::copy(golden_folder().join(name), folder.join(name)).expect("copies");
    }
    let path = folder.join("text_encoder/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    config["vocab_size"] = ROWS.into();
    fs::write(path, config.to_string()).expect("writes");
}

/// Writes the files of one form of a tokenizer into a model.
fn write_form(model: &Path, form: &Value) {
    for (name, content) in form["files"].as_object().expect("files") {
        fs::write(model.join("tokenizer").join(name), content.as_str().expect("text")).expect("writes");
    }
    if form["has_vocabulary"] == false {
        for name in ["vocab.json", "merges.txt"] {
            fs::remove_file(model.join("tokenizer").join(name)).expect("removes");
        }
    }
}

#[test]
fn a_tokenizer_in_any_form_gives_the_ids_of_transformers() {
    let references = references("added_tokens.json.gz");
    let mut wrong = Vec::new();
    for (name, form) in references["forms"].as_object().expect("forms") {
        let place = folder();
        model_with_room(place.path());
        write_form(place.path(), form);
        let pipeline = open(place.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (index, prompt) in references["prompts"].as_array().expect("prompts").iter().enumerate() {
            let prompt = prompt.as_str().expect("a prompt");
            let expected: Vec<u32> = serde_json::from_value(form["ids"][index].clone()).expect("ids");
            let ids = pipeline.tokenize(prompt).chunks.swap_remove(0).ids;
            if ids != expected {
                wrong.push(format!("{name}: {prompt:?}\n  {ids:?}\n  {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_added_token_is_a_word_that_is_known_and_covers_no_white_space() {
    let references = references("added_tokens.json.gz");
    let place = folder();
    model_with_room(place.path());
    write_form(place.path(), &references["forms"]["transformers 5"]);
    let pipeline = open(place.path()).expect("a model");
    let prompt = "a <Cat-Toy>, a  sks tail  of <cat-boy>";
    let tokenized = pipeline.tokenize(prompt);
    let added: Vec<&str> = tokenized
        .tokens()
        .filter(|(_, token)| token.id >= WORDS as u32)
        .map(|(_, token)| &prompt[token.range.clone()])
        .collect();
    assert_eq!(added, ["<Cat-Toy>", "sks", "tail"]);
    let marks = pipeline.prompt_tokenizer().marks(prompt);
    let marked: Vec<&str> = marks.iter().map(|mark| &prompt[mark.range.clone()]).collect();
    assert_eq!(marked, ["<cat-boy>"], "the others are known");
}

#[test]
fn tokenizer_files_that_cannot_be_used_are_refused_with_a_remedy() {
    let place = folder();
    model_with_room(place.path());
    let tokenizer = place.path().join("tokenizer");
    let word_piece = json!({ "model": { "type": "WordPiece", "vocab": { "a": 0 } } });
    let unigram = json!({ "model": { "type": "Unigram", "vocab": [["a", 0.0]] } });
    let other_words = json!({ "model": { "type": "BPE", "vocab": { "a": 0 }, "merges": [] } });
    let unmatched = json!({ "model": {
        "vocab": { "<|startoftext|>": 0, "<|endoftext|>": 1 }, "merges": [["a", "b"]],
    } });
    let too_many: Value = (WORDS..800).map(|id| (format!("<{id}>"), json!(id))).collect();
    for (name, content, words) in [
        ("tokenizer.json", word_piece.to_string(), "merges"),
        ("tokenizer.json", unigram.to_string(), "tokenizer.json"),
        ("tokenizer.json", other_words.to_string(), "<|startoftext|>"),
        ("tokenizer.json", unmatched.to_string(), "merges"),
        ("tokenizer.json", "<!doctype html>".to_owned(), "tokenizer.json"),
        ("added_tokens.json", too_many.to_string(), "800 tokens where the text encoder has 771"),
        ("added_tokens.json", "[]".to_owned(), "added_tokens.json"),
        (
            "tokenizer_config.json",
            r#"{"added_tokens_decoder": {"a": {}}}"#.to_owned(),
            "tokenizer_config.json",
        ),
    ] {
        fs::write(tokenizer.join(name), content).expect("writes");
        let error = open(place.path()).err().unwrap_or_else(|| panic!("{name} is taken"));
        assert!(error.contains(words) && error.contains("Download"), "{error}");
        fs::remove_file(tokenizer.join(name)).expect("removes");
    }
    open(place.path()).expect("the model itself opens");
}
