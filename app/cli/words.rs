//! `tidepool words`: which words are near a word's embedding, as it is or edited, and saving it as a
//! concept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use engine::concepts::save;
use engine::inspect::token::Neighbour;
use engine::pipeline::Pipeline;
use engine::prompt::{EmbeddingEdit, Source, TextOptions, token_selection};
use engine::recipe::Recipe;
use serde_json::json;

use super::args::ModelArgs;
use super::concept_args::{ConceptArgs, LoadedConcepts};
use super::models::source_of;
use super::render::open;
use super::{Failure, print};

#[derive(Debug, ClapArgs)]
pub struct WordsArgs {
    /// A word; of several the mean is meant
    pub word: String,
    /// How many words of the vocabulary to name, the nearest first
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub nearest: usize,
    /// Change the embedding of a word first, as `render` does: king=king-man+woman; may be repeated
    #[arg(long = "edit", value_name = "WORD=SUM")]
    pub edits: Vec<EmbeddingEdit>,
    /// Save what the edits make of their words as a concept: a .safetensors, .bin or .pt
    #[arg(long, value_name = "FILE", requires = "edits")]
    pub save: Option<PathBuf>,
    /// The concept's word [default: the file's name in angle brackets]
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
    concepts.join(&mut pipeline)?;
    let recipe = Recipe {
        prompt: args.word.clone(),
        text: TextOptions::PLAIN,
        edits: args.edits.clone(),
        ..Recipe::default()
    };
    if token_count(&pipeline, &args.word) == 0 {
        return Err(Failure::usage(format!("{:?} is no word: write one, such as puppy", args.word)));
    }
    let vectors = if args.edits.is_empty() {
        vec![pipeline.word_vector(&Source::Word(args.word.clone())).map_err(Failure::failed)?]
    } else {
        pipeline.edited_vectors(&recipe, &recipe.edits).map_err(Failure::failed)?
    };
    if let Some(path) = &args.save {
        let token = args.token.clone().unwrap_or_else(|| token_of(path));
        save(path, &token, &vectors).map_err(Failure::failed)?;
        if args.json {
            let path = path.display().to_string();
            return print(json!({ "path": path, "token": token, "vectors": vectors.len() }));
        }
        eprintln!("{token} is saved");
        return print(path.display());
    }
    let edited = edited_words(&pipeline, args);
    let nearest = |vector: Vec<f32>| pipeline.nearest_to(vector, args.nearest).map_err(Failure::failed);
    let nearest: Vec<Vec<Neighbour>> = vectors.into_iter().map(nearest).collect::<Result<_, _>>()?;
    if args.json {
        let near = |near: &Neighbour| json!({ "id": near.id, "piece": near.piece, "cosine": near.cosine });
        let lists = nearest.iter().map(|list| list.iter().map(near).collect::<Vec<_>>()).collect::<Vec<_>>();
        let tokens = token_count(&pipeline, &args.word);
        return print(json!({ "tokens": tokens, "words": edited, "nearest": lists[0], "all": lists }));
    }
    if args.edits.is_empty() && token_count(&pipeline, &args.word) > 1 {
        eprintln!("{} is {} tokens here: their mean is meant", args.word, token_count(&pipeline, &args.word));
    }
    let has_heads = nearest.len() > 1;
    for (index, list) in nearest.iter().enumerate() {
        if let Some(word) = edited.get(index).filter(|_| has_heads) {
            print(word)?;
        }
        for near in list {
            print(format!("{:>6.3}  {:>6}  {}", near.cosine, near.id, near.piece))?;
        }
    }
    Ok(())
}

/// The words that are edited, in the order of their vectors: that of the prompt.
fn edited_words(pipeline: &Pipeline, args: &WordsArgs) -> Vec<String> {
    let text = pipeline.tokenize(&args.word);
    let place = |edit: &EmbeddingEdit| {
        Some((token_selection::find(&args.word, &text, &edit.selector)?, edit.selector.to_string()))
    };
    let places: BTreeMap<_, _> = args.edits.iter().filter_map(place).collect();
    places.into_values().collect()
}

fn token_count(pipeline: &Pipeline, word: &str) -> usize {
    pipeline.tokenize(word).used()
}

/// `<my-style>` for my-style.bin.
fn token_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    format!("<{}>", name.split_whitespace().collect::<Vec<_>>().join("-"))
}
