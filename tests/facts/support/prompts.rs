//! Prompts: hostile ones, long ones, and those that A1111 and ComfyUI were asked to read.

use std::io::Read;

use engine::prompt::EmbeddingEdit;
use serde_json::Value;

use super::numbers::golden_folder;

pub fn edit(written: &str) -> EmbeddingEdit {
    written.parse().expect("an edit")
}

/// Emoji with joiners, right to left, nothing to see, marks upon marks, brackets that do not match.
pub const HOSTILE_PROMPTS: [&str; 8] = [
    "👩‍👩‍👧‍👦🏳️‍🌈 a",
    "שלום עולם \u{202e}abc\u{202c}",
    "\0\0a\u{feff}\u{200b}\u{200d}",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
    "(((a)) [b:c:(0.5] | :) AND AND AND BREAK BREAK",
    "\u{1F1E9}\u{1F1EA}\u{1F1E9} İstanbul ﬁ ǅ ß",
    "\r\n\t\r\n",
    "<lora:a:1> <birb> embedding: embedding:<",
];

/// Ten thousand tokens.
pub fn long_prompt() -> String {
    "a fox, ".repeat(3334)
}

pub const STEPS: usize = 20;

/// The rows of the table, for the facts about chunks as well.
pub fn table() -> Value {
    let file = std::fs::File::open(golden_folder().join("data/weights.json.gz")).expect("golden weights");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("whole golden weights");
    let table: Value = serde_json::from_str(&text).expect("golden weights are JSON");
    assert_eq!(table["steps"], STEPS);
    table
}

pub fn rows(table: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let rows = table["prompts"].as_array().expect("rows");
    assert!(rows.len() > 290);
    rows.iter().map(|row| (row["prompt"].as_str().expect("a prompt"), row))
}

/// The prompts that Tidepool reads differently on purpose, and why.
pub const READ_DIFFERENTLY: &[(&str, &str)] =
    &[("a fox :٣ AND a boat", "only the digits 0 to 9 make a weight, here as in brackets")];
