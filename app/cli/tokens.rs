//! `tidepool tokens`: a prompt as the text encoder sees it.

use clap::Args;
use engine::pipeline::Pipeline;
use engine::prompt::{Chunk, PromptTokenizer, Token, Tokenized};
use engine::recipe::Recipe;
use serde_json::{Value, json};

use super::concept_args::{ConceptArgs, LoadedConcepts};
use super::models::source_of;
use super::run::open;
use super::shared_args::ModelArgs;
use super::text_args::PromptOptionArgs;
use super::{Failure, print};

#[derive(Debug, Args)]
pub struct TokensArgs {
    /// The prompt to tokenize
    pub prompt: String,
    #[command(flatten)]
    pub prompt_options: PromptOptionArgs,
    /// The step (of 20) at which to read a prompt that changes from step to step
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub step: usize,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub concepts: ConceptArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn tokens(args: &TokensArgs) -> Result<(), Failure> {
    let mut recipe = Recipe { prompt: args.prompt.clone(), ..Recipe::default() };
    args.prompt_options.write_into(&mut recipe);
    recipe.check().map_err(Failure::usage)?;
    let concepts = LoadedConcepts::read(&args.concepts.concepts)?;
    let mut pipeline = open(&source_of(&args.model.model)?, None, args.model.device.choice())?;
    concepts.add_to(&mut pipeline)?;
    let words = pipeline.prompt_tokenizer();
    let parts = words.read_at(
        &words.parse(&recipe.prompt, recipe.text.weights, recipe.steps as usize),
        &recipe.text,
        &recipe.prompt,
        args.step,
    );
    if args.json {
        return print(report(words, &parts));
    }
    for (index, (weight, text)) in parts.iter().enumerate() {
        if parts.len() > 1 {
            print(format!("Part {} of {}, weight {weight}", index + 1, parts.len()))?;
        }
        print_tokens(&pipeline, &recipe.prompt, text)?;
    }
    Ok(())
}

/// The tokens of the first part, and each part if AND composes several.
fn report(words: &PromptTokenizer, parts: &[(f32, Tokenized)]) -> Value {
    let part = |(weight, text): &(f32, Tokenized)| {
        let tokens: Vec<Value> = text.chunks.iter().flat_map(|chunk| tokens_of_chunk(words, chunk)).collect();
        json!({ "weight": decimal(*weight), "chunks": text.chunks.len(), "tokens": tokens, "cut": text.cut })
    };
    let mut report = part(&parts[0]);
    if parts.len() > 1 {
        report["parts"] = parts.iter().map(part).collect();
    }
    report
}

/// The begin token, the prompt's tokens, the end token. `start` and `end` are byte positions in the prompt;
/// the begin and end tokens have empty ranges.
fn tokens_of_chunk(words: &PromptTokenizer, chunk: &Chunk) -> Vec<Value> {
    let special =
        |id: u32, byte: usize| json!({ "id": id, "piece": words.piece(id), "start": byte, "end": byte });
    let from = chunk.tokens.first().map_or(0, |token| token.range.start);
    let to = chunk.tokens.last().map_or(0, |token| token.range.end);
    let tokens = chunk.tokens.iter().map(|token| {
        let mut value = json!({
            "id": token.vector.is_none().then_some(token.id),
            "piece": piece(words, token),
            "start": token.range.start,
            "end": token.range.end,
        });
        if token.weight != 1.0 {
            value["weight"] = decimal(token.weight);
        }
        if let Some((concept, index)) = &token.vector {
            value["concept"] = json!({ "token": concept.token, "vector": index });
        }
        value
    });
    let (begin, end) = (chunk.ids[0], chunk.ids[chunk.tokens.len() + 1]);
    [special(begin, from)].into_iter().chain(tokens).chain([special(end, to)]).collect()
}

/// The shortest decimal that reads back as this `f32`: 1.3 stays 1.3.
fn decimal(value: f32) -> Value {
    serde_json::from_str(&value.to_string()).unwrap_or(Value::Null)
}

fn piece(words: &PromptTokenizer, token: &Token) -> String {
    match &token.vector {
        Some((concept, _)) => concept.token.clone(),
        None => words.piece(token.id).unwrap_or_default(),
    }
}

fn print_tokens(pipeline: &Pipeline, prompt: &str, text: &Tokenized) -> Result<(), Failure> {
    let words = pipeline.prompt_tokenizer();
    for (index, chunk) in text.chunks.iter().enumerate() {
        if text.chunks.len() > 1 {
            print(format!("Chunk {}", index + 1))?;
        }
        print(format!("{:>8}  {:>6}  {}", "position", "id", "piece"))?;
        for (position, token) in (1..).zip(&chunk.tokens) {
            let id = if token.vector.is_some() { "-".to_owned() } else { token.id.to_string() };
            let text = prompt.get(token.range.clone()).unwrap_or_default();
            let weight = if token.weight == 1.0 { String::new() } else { format!("  x{}", token.weight) };
            print(format!("{position:>8}  {id:>6}  {}  {text}{weight}", piece(words, token)))?;
        }
    }
    print(format!("{} of {} tokens", text.used(), text.capacity * text.chunks.len()))?;
    if text.cut.is_empty() { Ok(()) } else { print(format!("Ignored: {}", text.cut)) }
}
