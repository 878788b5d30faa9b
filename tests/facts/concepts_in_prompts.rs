//! Concepts in prompts: which words are concepts, which tokens they take, and what they change.

use std::time::Duration;

use engine::concepts::{Concept, ConceptSet, read};
use engine::prompt::{MatchKind, PromptTokenizer, PromptWeights, TextOptions, Token};
use serde_json::Value;

use crate::support::cpu_time::assert_cpu_time_below;
use crate::support::models::{concept, model_info, pipeline, text_width};
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
        MatchKind::ExtraNetwork => "extra network".into(),
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
        ("<lora:birds:0.8>", &[("<lora:birds:0.8>", "extra network")]),
        ("<hypernet:EasyNegative>", &[("<hypernet:EasyNegative>", "extra network")]),
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
fn a_name_is_the_same_however_its_letters_are_written() {
    let words = words([
        concept("caf\u{e9}-style.pt", "caf\u{e9}-style", 1),
        // macOS and some archives give names of files in NFD.
        concept("n\u{303}andu\u{301}.pt", "n\u{303}andu\u{301}", 1),
        concept("paren (1).pt", "paren (1)", 1),
        concept("ΟΔΟΣ.pt", "ΟΔΟΣ", 1),
        concept("bad_prompt.pt", "bad_prompt", 1),
        concept("tilde.bin", "<q\u{303}-toy>", 1),
    ]);
    let (cafe, paren, bad) = ("caf\u{e9}-style", "paren (1)", "bad_prompt");
    let table: &[(&str, &[(&str, &str)])] = &[
        ("a caf\u{e9}-style, a", &[("caf\u{e9}-style", cafe)]),
        ("a cafe\u{301}-style, a", &[("cafe\u{301}-style", cafe)]),
        ("CAFE\u{301}-STYLE", &[("CAFE\u{301}-STYLE", cafe)]),
        ("embedding:cafe\u{301}-style.pt", &[("embedding:cafe\u{301}-style.pt", cafe)]),
        ("<cafe\u{301}-style>", &[("<cafe\u{301}-style>", cafe)]),
        ("cafe\u{301}-styles", &[]),
        ("\u{f1}and\u{fa} e\u{301}", &[("\u{f1}and\u{fa}", "n\u{303}andu\u{301}")]),
        ("a n\u{303}andu\u{301}", &[("n\u{303}andu\u{301}", "n\u{303}andu\u{301}")]),
        ("<Q\u{303}-toy>", &[("<Q\u{303}-toy>", "<q\u{303}-toy>")]),
        ("paren (1), fox", &[("paren (1)", paren)]),
        (r"paren \(1\), fox", &[(r"paren \(1\)", paren)]),
        ("(embedding:paren (1):1.2)", &[("embedding:paren (1)", paren)]),
        (r"embedding:Paren \(1\).pt", &[(r"embedding:Paren \(1\).pt", paren)]),
        ("paren (2)", &[]),
        ("embedding:paren (2)", &[("embedding:paren", "unknown")]),
        ("ΟΔΟΣ", &[("ΟΔΟΣ", "ΟΔΟΣ")]),
        (r"bad\_prompt", &[(r"bad\_prompt", bad)]),
        (r"embedding:bad\_prompt", &[(r"embedding:bad\_prompt", bad)]),
        (r"embedding:sub\bad_prompt", &[(r"embedding:sub\bad_prompt", bad)]),
        (r"embedding:sub\more\paren (1).pt", &[(r"embedding:sub\more\paren (1).pt", paren)]),
        (r"\(bad_prompt\)", &[("bad_prompt", bad)]),
        (r"embedding:bad_prompt\)", &[("embedding:bad_prompt", bad)]),
    ];
    for (prompt, expected) in table {
        let expected: Vec<_> = expected.iter().map(|&(word, token)| (word, token.to_owned())).collect();
        assert_eq!(found(&words, prompt), expected, "{prompt}");
    }
}

#[test]
fn the_name_of_a_file_is_the_whole_word_after_embedding() {
    let words = words([
        concept("bad.pt", "bad", 1),
        concept("bad-hands.pt", "bad-hands", 1),
        concept("sea glass.pt", "sea glass", 1),
    ]);
    let is_told = |prompt: &str| words.marks(prompt)[0].warning(prompt).is_some();
    for (prompt, expected) in [
        ("embedding:bad-hands-5", None),
        ("embedding:bad_v2, a", None),
        ("embedding:bad.v2", None),
        ("embedding:bad+", None),
        ("embedding:bad/good", None),
        ("embedding:bad.pt2", None),
        ("embedding:sea", None),
        ("embedding:bad-hands", Some("bad-hands")),
        ("embedding:bad", Some("bad")),
        ("embedding:bad.", Some("bad")),
        ("embedding:bad!?", Some("bad")),
        ("embedding:bad.pt.", Some("bad")),
        ("(embedding:bad:1.2)", Some("bad")),
        ("[embedding:bad|embedding:bad-hands]", Some("bad")),
        ("embedding:sea glass", Some("sea glass")),
    ] {
        let (word, meaning) = found(&words, prompt).swap_remove(0);
        assert_eq!(Some(meaning.as_str()).filter(|_| !is_told(prompt)), expected, "{prompt}: {word}");
    }
}

/// The texts of a prompt's tokens at the first step, joined, with the token of a concept for each of its vectors.
fn read_words(words: &PromptTokenizer, prompt: &str, weights: PromptWeights) -> Vec<(String, f32)> {
    let options = TextOptions { weights, ..TextOptions::default() };
    let read = words.read(prompt, &options, 20);
    let tokens = read.parts.iter().flat_map(|part| part.at(0).tokens());
    let word = |token: &Token| match &token.vector {
        Some((concept, _)) => concept.token.clone(),
        None => prompt[token.range.clone()].to_owned(),
    };
    tokens.map(|(_, token)| (word(token), token.weight)).collect()
}

#[test]
fn brackets_and_backslashes_in_the_name_of_a_concept_are_not_syntax() {
    let words = words([
        concept("paren (1).pt", "paren (1)", 1),
        concept("[x].pt", "[x]", 1),
        concept("bad.pt", "bad", 1),
    ]);
    for (prompt, expected) in [
        ("paren (1) fox", &[("paren (1)", 1.0), ("fox", 1.0)][..]),
        (r"paren \(1\) fox", &[("paren (1)", 1.0), ("fox", 1.0)]),
        ("(paren (1):1.5) fox", &[("paren (1)", 1.5), ("fox", 1.0)]),
        ("(embedding:paren (1).pt:1.5)", &[("paren (1)", 1.5)]),
        ("(paren (1)) (fox:1.5)", &[("paren (1)", 1.1), ("fox", 1.5)]),
        (r"embedding:sub\bad fox", &[("bad", 1.0), ("fox", 1.0)]),
        ("[x]", &[("[x]", 1.0)]),
    ] {
        for weights in [PromptWeights::A1111, PromptWeights::Comfy] {
            let read = read_words(&words, prompt, weights);
            let read: Vec<(&str, f32)> = read.iter().map(|(word, weight)| (word.as_str(), *weight)).collect();
            assert_eq!(read, expected, "{prompt} in {weights:?}");
        }
    }
}

#[test]
fn an_extra_network_leaves_the_prompt_in_a1111s_syntax_and_is_told_in_all() {
    let words = words([concept("lora.bin", "<lora:mine>", 1), concept("birb.bin", "<birb-style>", 1)]);
    let letters = |weights, prompt: &str| -> Vec<String> {
        read_words(&words, prompt, weights).into_iter().map(|(word, _)| word).collect()
    };
    for (prompt, left, told) in [
        // A1111's `extra_networks.py` replaces each match of `<(\w+):([^>]+)>` by nothing.
        ("a <lora:foo:0.8> fox", "a fox", 1),
        ("(a <lora:foo:0.8>fox:1.5)", "a fox", 1),
        ("[a:<lora:foo:1>:0.5]", "a", 1),
        ("a <lora:my style:0.8>, <lyco:b>", "a ,", 2),
        ("<hypernet:c:1> <unknown:d:e:f>", "", 2),
        ("a fox<lora:foo:0.8> AND a boat", "a fox a boat", 1),
        ("a <lora:mine> <birb-style>", "a <lora:mine> <birb-style>", 0),
        ("a < b", "a < b", 0),
    ] {
        assert_eq!(letters(PromptWeights::A1111, prompt).join(" "), left, "{prompt}");
        let warnings = words.marks(prompt).iter().filter(|mark| mark.warning(prompt).is_some()).count();
        assert_eq!(warnings, told, "{prompt}");
        // ComfyUI's own nodes read them as words, and without syntax every letter is meant.
        for weights in [PromptWeights::Comfy, PromptWeights::None] {
            let read = letters(weights, prompt).concat();
            assert_eq!(read.contains("foo"), prompt.contains("foo"), "{prompt} in {weights:?}: {read}");
        }
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
    for word in [wide.token.as_str(), "1024", &text_width().to_string(), "plain words", "wide.bin"] {
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
    let accented: ConceptSet = [concept("é.pt", "\u{e9}", 1)].into_iter().collect();
    assert!(accented.missing(&[concept("e.pt", "e\u{301}", 1).reference()]).is_empty());
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
