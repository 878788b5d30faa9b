//! Token ids against transformers' tokenizer, on 2,000 prompts of every kind.

use std::io::Read;

use engine::tokenizer::Tokenizer;
use serde_json::Value;

use crate::support::numbers::golden_folder;

fn references() -> Value {
    let file = std::fs::File::open(golden_folder().join("data/tokens.json.gz")).expect("golden tokens");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("whole golden tokens");
    serde_json::from_str(&text).expect("golden tokens are JSON")
}

fn tokenizer(vocabulary: &str) -> Tokenizer {
    let folder = golden_folder().join("../../assets").join(vocabulary);
    let read =
        |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Tokenizer::from_vocabulary(&read("vocab.json"), &read("merges.txt"), 77).expect("a vocabulary")
}

#[test]
fn ids_of_two_thousand_prompts_are_the_references() {
    let references = references();
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
