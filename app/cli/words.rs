//! `tidepool words`: the words nearest to a word's embedding, edited or not, and saving the embedding as
//! a concept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::concepts::save;
use engine::inspect::token::{Neighbour, edited_vectors, nearest_words, word_vector};
use engine::pipeline::Pipeline;
use engine::prompt::{EmbeddingEdit, Source, TextOptions, token_selection};
use engine::recipe::Recipe;
use serde_json::json;

use super::concept_args::{ConceptArgs, LoadedConcepts};
use super::models::source_of;
use super::run::open;
use super::shared_args::ModelArgs;
use super::{Failure, print};

#[derive(Debug, Args)]
pub struct WordsArgs {
    /// A word; for several tokens their mean is used
    pub word: String,
    /// How many words of the vocabulary to list, nearest first
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub nearest: usize,
    /// Edit the embedding of a word first, as `render` does: king=king-man+woman. Can be repeated
    #[arg(long = "edit", value_name = "WORD=SUM")]
    pub edits: Vec<EmbeddingEdit>,
    /// Save the edited embeddings as a concept: a .safetensors, .bin or .pt file
    #[arg(long, value_name = "FILE", requires = "edits")]
    pub save: Option<PathBuf>,
    /// The word that names the concept in prompts [default: the file's name in angle brackets]
    #[arg(long, value_name = "WORD", requires = "save")]
    pub token: Option<String>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub concepts: ConceptArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn words(args: &WordsArgs) -> Result<(), Failure> {
    let concepts = LoadedConcepts::read(&args.concepts.concepts)?;
    let mut pipeline = open(&source_of(&args.model.model)?, None, args.model.device.choice())?;
    concepts.add_to(&mut pipeline)?;
    let recipe = Recipe {
        prompt: args.word.clone(),
        text: TextOptions::PLAIN,
        edits: args.edits.clone(),
        ..Recipe::default()
    };
    if token_count(&pipeline, &args.word) == 0 {
        return Err(Failure::usage(format!("{:?} has no tokens: write a word, such as puppy", args.word)));
    }
    let vectors = if args.edits.is_empty() {
        vec![word_vector(&pipeline, &Source::Word(args.word.clone())).map_err(Failure::failed)?]
    } else {
        edited_vectors(&pipeline, &recipe, &recipe.edits).map_err(Failure::failed)?
    };
    if let Some(path) = &args.save {
        let token = args.token.clone().unwrap_or_else(|| default_token(path));
        save(path, &token, &vectors).map_err(Failure::failed)?;
        if args.json {
            let path = path.display().to_string();
            return print(json!({ "path": path, "token": token, "vectors": vectors.len() }));
        }
        eprintln!("Saved {token}");
        return print(path.display());
    }
    let edited = edited_words(&pipeline, args);
    let nearest = |vector: Vec<f32>| nearest_words(&pipeline, vector, args.nearest).map_err(Failure::failed);
    let nearest: Vec<Vec<Neighbour>> = vectors.into_iter().map(nearest).collect::<Result<_, _>>()?;
    if args.json {
        let to_json = |word: &Neighbour| json!({ "id": word.id, "piece": word.piece, "cosine": word.cosine });
        let lists =
            nearest.iter().map(|list| list.iter().map(to_json).collect::<Vec<_>>()).collect::<Vec<_>>();
        let tokens = token_count(&pipeline, &args.word);
        return print(json!({ "tokens": tokens, "words": edited, "nearest": lists[0], "all": lists }));
    }
    if args.edits.is_empty() && token_count(&pipeline, &args.word) > 1 {
        eprintln!("{} is {} tokens: their mean is used", args.word, token_count(&pipeline, &args.word));
    }
    let has_headings = nearest.len() > 1;
    for (index, list) in nearest.iter().enumerate() {
        if let Some(word) = edited.get(index).filter(|_| has_headings) {
            print(word)?;
        }
        for Neighbour { cosine, id, piece } in list {
            print(format!("{cosine:>6.3}  {id:>6}  {piece}"))?;
        }
    }
    Ok(())
}

/// The edited words in the order of their vectors, which is their order in the prompt.
fn edited_words(pipeline: &Pipeline, args: &WordsArgs) -> Vec<String> {
    let text = pipeline.tokenize(&args.word);
    let position = |edit: &EmbeddingEdit| {
        Some((token_selection::find(&args.word, &text, &edit.selector)?, edit.selector.to_string()))
    };
    let by_position: BTreeMap<_, _> = args.edits.iter().filter_map(position).collect();
    by_position.into_values().collect()
}

fn token_count(pipeline: &Pipeline, word: &str) -> usize {
    pipeline.tokenize(word).used()
}

/// `<my-style>` for my-style.bin.
fn default_token(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("<{}>", name.split_whitespace().collect::<Vec<_>>().join("-"))
}
