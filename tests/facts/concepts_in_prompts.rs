//! Concepts in prompts: which words are concepts, which tokens they take, and what they change.

use std::time::Duration;

use engine::concepts::{Concept, ConceptSet, read};
use engine::prompt::{MatchKind, PromptTokenizer};
use serde_json::Value;

use crate::support::cpu_time::assert_cpu_time_below;
use crate::support::models::concept;
use crate::support::models::{model_info, pipeline};
use crate::support::numbers::{Golden, assert_near, golden_folder, notes};

fn words(concepts: impl IntoIterator<Item = Concept>) -> PromptTokenizer {
    model_info().prompt_tokenizer(&concepts.into_iter().collect())
}

/// `<birb-style>` of two vectors, `sea glass` of one, `EasyNegative` of three.
fn three() -> PromptTokenizer {
    words([
        concept("learned_embeds.bin", "<birb-style>", 2),
        concept("sea glass.pt", "sea glass", 1),
        concept("EasyNegative.safetensors", "EasyNegative", 3),
    ])
}

/// The words of a prompt that are concepts, and what each means.
fn found<'a>(words: &PromptTokenizer, prompt: &'a str) -> Vec<(&'a str, String)> {
    let said = |meaning| match meaning {
        MatchKind::Concept(concept) => concept.token.clone(),
        MatchKind::NotUsable { .. } => "misfit".into(),
        MatchKind::Unknown { nearest: Some(nearest) } => format!("perhaps {nearest}"),
        MatchKind::Unknown { nearest: None } => "unknown".into(),
    };
    words.marks(prompt).into_iter().map(|mark| (&prompt[mark.range], said(mark.meaning))).collect()
}

#[test]
fn a_concept_is_known_by_every_name_that_people_use() {
    let words = three();
    let table: &[(&str, &[(&str, &str)])] = &[
        ("a tree", &[]),
        ("a <birb-style> tree", &[("<birb-style>", "<birb-style>")]),
        ("a <BIRB-Style>, tree", &[("<BIRB-Style>", "<birb-style>")]),
        ("learned_embeds", &[("learned_embeds", "<birb-style>")]),
        ("embedding:learned_embeds", &[("embedding:learned_embeds", "<birb-style>")]),
        ("(embedding:learned_embeds.bin:1.2)", &[("embedding:learned_embeds.bin", "<birb-style>")]),
        ("embedding:birb-style, a tree", &[("embedding:birb-style", "<birb-style>")]),
        ("embedding:<birb-style>.", &[("embedding:<birb-style>", "<birb-style>")]),
        ("of SEA \n glass.", &[("SEA \n glass", "sea glass")]),
        ("<sea-glass>", &[("<sea-glass>", "perhaps sea glass")]),
        ("embedding:sub/easynegative.pt", &[("embedding:sub/easynegative.pt", "EasyNegative")]),
        ("easynegative,EASYNEGATIVE", &[("easynegative", "EasyNegative"), ("EASYNEGATIVE", "EasyNegative")]),
        ("<easynegative>", &[("<easynegative>", "EasyNegative")]),
        ("an_easynegative_day", &[("easynegative", "EasyNegative")]),
        ("easynegatives uneasynegative easynegative2 sea glasses", &[]),
        ("<birb-style", &[]),
        ("birb-style", &[]),
        ("<brib-style>", &[("<brib-style>", "perhaps <birb-style>")]),
        ("<lora:birds:0.8>", &[("<lora:birds:0.8>", "unknown")]),
        ("embedding:nowhere", &[("embedding:nowhere", "unknown")]),
        ("a < b > c <3 <> < x> <a b> <|endoftext|> ->", &[]),
        ("embedding: embedding:", &[]),
    ];
    for (prompt, expected) in table {
        let expected: Vec<_> = expected.iter().map(|&(word, token)| (word, token.to_owned())).collect();
        assert_eq!(found(&words, prompt), expected, "{prompt}");
    }
}

#[test]
fn of_names_that_begin_alike_the_longest_is_meant() {
    let words = words(["style", "style-2", "style-2 b"].map(|name| concept(&format!("{name}.pt"), name, 1)));
    let said: Vec<String> =
        found(&words, "style, style-2, style-2 b, style-2 bee").into_iter().map(|(_, token)| token).collect();
    assert_eq!(said, ["style", "style-2", "style-2 b", "style-2"]);
}

#[test]
fn letters_of_any_script_are_letters() {
    let words = words(["ñandú", "猫", "straße"].map(|name| concept(&format!("{name}.pt"), name, 1)));
    assert_eq!(
        found(&words, "ÑANDÚ 猫, 黒猫 Straße"),
        [("ÑANDÚ", "ñandú".to_owned()), ("猫", "猫".to_owned()), ("Straße", "straße".to_owned()),]
    );
}

#[test]
fn a_concept_takes_as_many_places_as_it_has_vectors_and_leaves_the_other_words_alone() {
    let words = three();
    let plain = words.tokenize("a fox in the snow at night");
    let with = words.tokenize("a fox in the EasyNegative snow <birb-style> at night");
    assert_eq!(with.used(), plain.used() + 5);
    let splices: Vec<_> = with.concepts().map(|(place, concept)| (place.position, concept.count())).collect();
    let [(first, 3), (second, 2)] = splices[..] else { panic!("{splices:?}") };
    let mut rest = with.chunks[0].ids.clone();
    rest.drain(second..second + 2);
    rest.drain(first..first + 3);
    assert_eq!(rest[..plain.used() + 2], plain.chunks[0].ids[..plain.used() + 2]);
    assert_eq!(with.chunks[0].ids.len(), 77);
    assert_eq!(words.tokenize("a fox").concepts().count(), 0);
}

#[test]
fn a_concept_at_the_end_of_a_chunk_fits_whole_or_not_at_all() {
    let words = three();
    let of_tokens = |count: usize| "a ".repeat(count);
    let whole = words.tokenize(&format!("{}easynegative", of_tokens(72)));
    assert_eq!((whole.used(), whole.concepts().count(), whole.cut.as_str()), (75, 1, ""));
    let cut = words.tokenize(&format!("{}easynegative a fox", of_tokens(73)));
    assert_eq!((cut.used(), cut.concepts().count(), cut.cut.as_str()), (73, 0, "easynegative a fox"));
    let after = words.tokenize(&format!("{}easynegative, a fox", of_tokens(72)));
    assert_eq!((after.used(), after.concepts().count(), after.cut.as_str()), (75, 1, ", a fox"));
}

#[test]
fn a_concept_of_another_width_is_read_as_plain_words_with_a_warning() {
    let wide = read(&golden_folder().join("data/checkpoints/wide.bin")).expect("a concept");
    let prompt = format!("a {} fox", wide.token);
    let words = words([wide.clone()]);
    assert_eq!(words.tokenize(&prompt).concepts().count(), 0);
    let said = words.marks(&prompt)[0].warning(&prompt).expect("a warning");
    for word in [wide.token.as_str(), "1024", "128", "plain words", "wide.bin"] {
        assert!(said.contains(word), "no {word} in: {said}");
    }
}

#[test]
fn of_two_with_one_token_the_later_one_stays() {
    let [first, again, later] = [("a.bin", 1), ("a.bin", 2), ("b.bin", 3)]
        .map(|(file, count)| concept(file, if count == 3 { "<FROST>" } else { "<frost>" }, count));
    let mut concepts: ConceptSet = [first, again.clone(), later.clone()].into_iter().collect();
    let counts = |concepts: &ConceptSet| concepts.iter().map(|concept| concept.count()).collect::<Vec<_>>();
    assert_eq!(counts(&concepts), [2, 3], "a file that is read again counts once");
    assert_eq!(concepts.shadowed_by(&again).map(|concept| concept.count()), Some(3));
    assert_eq!(concepts.shadowed_by(&later), None);
    assert_eq!(model_info().prompt_tokenizer(&concepts).tokenize("<frost>").used(), 3);
    concepts.remove(&later.source);
    assert_eq!(
        model_info().prompt_tokenizer(&concepts).tokenize("<frost>").used(),
        2,
        "the one before is back"
    );
}

#[test]
fn a_picture_tells_which_of_its_concepts_is_missing() {
    let concepts: ConceptSet = [concept("frost.bin", "<frost>", 1)].into_iter().collect();
    let reference = concept("frost.bin", "<frost>", 1).reference();
    assert_eq!((reference.name.as_str(), reference.sha256.as_str()), ("frost", "0123456789ab"));
    assert!(concepts.missing(std::slice::from_ref(&reference)).is_empty());
    let mut other = reference.clone();
    other.sha256 = "ffffffffffff".into();
    assert!(concepts.missing(&[other.clone()])[0].contains("another file"));
    (other.name, other.token) = ("mist".into(), "<mist>".into());
    assert!(concepts.missing(&[other])[0].contains("<mist>"));
}

#[test]
fn two_vectors_change_exactly_two_embeddings_and_no_output_before_them() {
    let mut pipeline = pipeline("demo");
    let frost = read(&golden_folder().join("data/checkpoints/frost.bin")).expect("a concept");
    let prompt = "a fox and <frost> at night";
    pipeline.set_concepts(&[frost.clone()].into_iter().collect());
    let tokenized = pipeline.tokenize(prompt);
    let (place, _) = tokenized.concepts().next().expect("a concept");
    let placed = place.position..place.position + 2;

    // The same ids with the placeholders' own embeddings, as the encoder would have them.
    let width = frost.width;
    let with = pipeline.token_embeddings(prompt).expect("embeddings").data;
    let with_outputs = pipeline.text_embeddings(prompt).expect("outputs").data;
    let without = Concept { vectors: vec![0.0; 2 * width], ..frost.clone() };
    pipeline.set_concepts(&[without].into_iter().collect());
    let zeros = pipeline.token_embeddings(prompt).expect("embeddings").data;
    let zeros_outputs = pipeline.text_embeddings(prompt).expect("outputs").data;
    let rows = |values: &[f32]| -> Vec<Vec<u32>> {
        values.chunks_exact(width).map(|row| row.iter().map(|value| value.to_bits()).collect()).collect()
    };
    let (with, zeros) = (rows(&with), rows(&zeros));
    let changed: Vec<usize> = (0..with.len()).filter(|&row| with[row] != zeros[row]).collect();
    assert_eq!(changed, placed.clone().collect::<Vec<_>>());
    assert_eq!(with[placed.clone()].concat(), rows(&frost.vectors).concat(), "bit for bit the file's");
    let (outputs, without) = (rows(&with_outputs), rows(&zeros_outputs));
    assert_eq!(outputs[..placed.start], without[..placed.start], "tokens before it do not look ahead");
    assert!((placed.start..with.len()).all(|row| outputs[row] != without[row]), "those after it do");
}

#[test]
fn a_concept_reads_as_diffusers_reads_it() {
    let (numbers, notes) = (Golden::open("concepts.safetensors"), notes("concepts.json"));
    let frost = read(&golden_folder().join("data/checkpoints/frost.bin")).expect("a concept");
    assert_eq!((frost.token.as_str(), &frost.vectors), ("<frost>", &numbers.get("vectors")));
    let mut pipeline = pipeline("demo");
    pipeline.set_concepts(&[frost].into_iter().collect());
    for (index, prompt) in notes["prompts"].as_array().expect("prompts").iter().enumerate() {
        let prompt = prompt.as_str().expect("a prompt");
        let of_text = &notes["tensors"][format!("text.{index}")];
        let places: Vec<usize> =
            pipeline.tokenize(prompt).concepts().map(|(place, _)| place.position).collect();
        assert_eq!(serde_json::to_value(places).expect("numbers"), of_text["places"], "{prompt}");
        let ours = pipeline.text_embeddings(prompt).expect("embeddings").data;
        let stride = of_text["stride"].as_u64().expect("a stride") as usize;
        assert_near(prompt, &ours, &numbers.get(&format!("text.{index}")), stride, 1e-4);
    }
    assert!(notes["versions"]["diffusers"] != Value::Null);
}

#[test]
fn a_thousand_concepts_are_not_searched_one_by_one() {
    let thousand = (0..1000).map(|at| concept(&format!("style-{at}.pt"), &format!("<style-{at}>"), 2));
    let words = words(thousand);
    let prompt = "<style-7>, a large fox in style-998 <stile-3> ".repeat(20);
    assert_eq!(words.marks(&prompt).len(), 60);
    assert_cpu_time_below(Duration::from_millis(500), "a letter", || drop(words.tokenize(&prompt)));
}
