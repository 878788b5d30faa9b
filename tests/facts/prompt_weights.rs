//! How prompts are parsed, against the answers of A1111's and ComfyUI's own code.

use std::sync::Arc;
use std::time::Duration;

use engine::prompt::parse::{ParsedPrompt, Segment, parse, parse_single};
use engine::prompt::{PromptPart, PromptWeights};
use serde_json::Value;

use crate::support::cpu_time::assert_cpu_time_below;
use crate::support::prompts::{READ_DIFFERENTLY, STEPS, rows, table};

/// Letters and weight of each run; a break has the weight -1, as A1111 writes it.
fn said(runs: &[Segment]) -> Vec<(&str, f32)> {
    let said = runs.iter().map(|run| match run {
        Segment::Text(text) => (text.text.as_str(), text.weight),
        Segment::Break => ("BREAK", -1.0),
    });
    said.collect()
}

/// The same of the table. Runs without letters say nothing.
fn expected(runs: &Value) -> Vec<(&str, f32)> {
    let runs = runs.as_array().expect("runs").iter();
    let said = runs.map(|run| (run[0].as_str().expect("letters"), run[1].as_f64().expect("a weight") as f32));
    said.filter(|(letters, _)| !letters.is_empty()).collect()
}

fn at(part: &PromptPart<Arc<[Segment]>>, step: usize) -> &[Segment] {
    part.at(step)
}

#[test]
fn a1111s_prompts_are_read_as_a1111_reads_them() {
    let table = table();
    let mut wrong = Vec::new();
    for (prompt, row) in rows(&table) {
        let row = &row["a1111"];
        let Some(parts) = row["parts"].as_array() else { continue };
        if READ_DIFFERENTLY.iter().any(|(odd, _)| *odd == prompt) {
            continue;
        }
        let script = parse(prompt, PromptWeights::A1111, STEPS);
        let weights: Vec<f32> = script.parts.iter().map(|part| part.weight).collect();
        let expected_weights: Vec<f32> =
            parts.iter().map(|part| part["weight"].as_f64().expect("a weight") as f32).collect();
        let mut is_equal = weights == expected_weights;
        for (part, theirs) in script.parts.iter().zip(parts) {
            let schedule = theirs["schedule"].as_array().expect("a schedule");
            for step in 0..=STEPS {
                let text = schedule.iter().find(|row| step as u64 <= row[0].as_u64().expect("a step"));
                let text = text.expect("the last row holds for the last step")[1].as_str().expect("letters");
                is_equal &= said(at(part, step)) == expected(&row["texts"][text]["runs"]);
            }
        }
        if !is_equal {
            wrong.push(format!("{prompt:?}\n  {script:?}\n  {parts:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn comfys_prompts_are_read_as_comfy_reads_them() {
    let table = table();
    let mut wrong = Vec::new();
    for (prompt, row) in rows(&table) {
        let script = parse(prompt, PromptWeights::Comfy, STEPS);
        let [part] = &script.parts[..] else { panic!("one part") };
        let (ours, theirs) = (said(at(part, 0)), expected(&row["comfy"]["runs"]));
        if ours != theirs {
            wrong.push(format!("{prompt:?}\n  {ours:?}\n  {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn without_weights_every_letter_is_meant() {
    for (prompt, _) in rows(&table()) {
        let script = parse(prompt, PromptWeights::None, STEPS);
        assert_eq!(said(at(&script.parts[0], 7)), [(prompt, 1.0)]);
        assert_eq!(script, parse_single(prompt, PromptWeights::None, STEPS));
    }
}

/// Every letter of every run with the letter of the prompt that it claims to be.
fn check_origins(prompt: &str, script: &ParsedPrompt) {
    let runs =
        script.parts.iter().flat_map(|part| part.timeline.values()).flat_map(|segments| segments.iter());
    for text in runs.filter_map(|run| if let Segment::Text(text) = run { Some(text) } else { None }) {
        let mut before = None;
        for (at, c) in text.text.char_indices() {
            let origin = text.origin(at..at + c.len_utf8());
            assert_eq!(prompt.get(origin.clone()), Some(c.encode_utf8(&mut [0; 4]) as &str), "{prompt:?}");
            assert!(before < Some(origin.start), "in order: {prompt:?}");
            before = Some(origin.start);
        }
        let whole = text.origin(0..text.text.len());
        assert!(whole.is_empty() == text.text.is_empty() && prompt.get(whole).is_some(), "{prompt:?}");
    }
}

#[test]
fn every_letter_knows_where_it_was_written() {
    for (prompt, _) in rows(&table()) {
        for weights in PromptWeights::ALL {
            check_origins(prompt, &parse(prompt, weights, STEPS));
            check_origins(prompt, &parse_single(prompt, weights, STEPS));
        }
    }
}

#[test]
fn neighbouring_texts_differ_and_the_last_holds_to_the_end() {
    for (prompt, _) in rows(&table()) {
        for part in parse(prompt, PromptWeights::A1111, STEPS).parts {
            let ends: Vec<usize> = part.timeline.ends().collect();
            assert!(ends.is_sorted_by(|a, b| a < b) && ends.last() == Some(&usize::MAX), "{prompt:?}");
            let texts: Vec<&Arc<[Segment]>> = part.timeline.values().collect();
            for pair in texts.windows(2) {
                assert_ne!(said(pair[0]), said(pair[1]), "{prompt:?}");
            }
        }
    }
}

#[test]
fn a_negative_prompt_is_not_composed() {
    let part = &parse_single("a fox AND [a boat:a lake:0.5] :0.5 ", PromptWeights::A1111, STEPS).parts[0];
    assert_eq!(part.weight, 1.0);
    assert_eq!(said(at(part, 0)), [("a fox AND a boat :0.5 ", 1.0)]);
    assert_eq!(said(at(part, 11)), [("a fox AND a lake :0.5 ", 1.0)]);
}

#[test]
fn what_a1111_fails_at_is_letters() {
    let script = parse("a (fox:...) and (boat:1.2.3)", PromptWeights::A1111, STEPS);
    let expected = [("a ", 1.0), ("fox:...", 1.1), (" and ", 1.0), ("boat:1.2.3", 1.1)];
    assert_eq!(said(at(&script.parts[0], 0)), expected);
    let script = parse("(a fox:inf) (a boat:nan)", PromptWeights::Comfy, STEPS);
    assert_eq!(said(at(&script.parts[0], 0)), [("a fox:inf", 1.1), (" ", 1.0), ("a boat:nan", 1.1)]);
}

#[test]
fn an_escape_belongs_to_the_letters_around_it() {
    let prompt = r"a \(red\) fox";
    for weights in [PromptWeights::A1111, PromptWeights::Comfy] {
        let script = parse(prompt, weights, STEPS);
        let [Segment::Text(text)] = at(&script.parts[0], 0) else { panic!("{script:?}") };
        assert_eq!(text.text, "a (red) fox");
        assert_eq!(&prompt[text.origin(2..7)], r"(red\)");
    }
}

#[test]
fn hostile_prompts_are_parsed_in_one_pass() {
    let many = 100_000;
    let nested = |open: &str, close: &str, count: usize| open.repeat(count) + "a" + &close.repeat(count);
    let prompts = [
        "(".repeat(many),
        ")".repeat(many),
        "[".repeat(many),
        "]".repeat(many),
        ":".repeat(many),
        "|".repeat(many),
        "\\".repeat(many),
        "()".repeat(many),
        "([)]".repeat(many),
        "(a".repeat(many),
        "[a".repeat(many),
        "[a|".repeat(many),
        "[a:".repeat(many),
        "(a:1.2".repeat(many),
        "a:1.2)".repeat(many),
        "(a:1.2)".repeat(many),
        "a BREAK ".repeat(many),
        "a AND ".repeat(10_000),
        "[a|b]".repeat(10_000),
        "[a:b:5]".repeat(10_000),
        "a: ".repeat(many) + &" ".repeat(many),
        " ".repeat(many) + "AND" + &" ".repeat(many),
        format!("({}", ":".to_owned() + &" ".repeat(many)).repeat(2),
        nested("(", ")", many),
        nested("[", "]", many),
        nested("(a", ":1.1)", many),
        nested("[a|", "]", many),
        nested("[a:", ":5]", many),
        nested("[", ":5]", many),
        nested("[[a|b]|", "|c|d]", many / 10),
    ];
    for prompt in &prompts {
        for weights in PromptWeights::ALL {
            for steps in [1, 20, 1000] {
                let beginning: String = prompt.chars().take(20).collect();
                let what = format!("{beginning:?}…, {weights:?}, {steps} steps");
                assert_cpu_time_below(Duration::from_secs(2), &what, || {
                    assert!(!parse(prompt, weights, steps).parts.is_empty());
                });
            }
        }
    }
}

#[test]
fn alternations_of_many_lengths_over_many_steps_do_not_explode() {
    let turns: String = (2..40).map(|count| format!("[{}a]", "a|".repeat(count))).collect();
    let part = &parse_single(&turns, PromptWeights::A1111, 1000).parts[0];
    assert!(part.timeline.ends().count() <= 1000);
    let two = &parse_single("a [fox|boat] at night", PromptWeights::A1111, 1000).parts[0];
    assert_eq!(two.timeline.ends().count(), 1000);
    let shared = two.timeline.values().filter(|segments| Arc::ptr_eq(segments, two.at(0))).count();
    assert_eq!(shared, 500);
}
