//! One token at each stage of the text encoder, and the words nearest to a vector.

use burn::tensor::{DType, Tensor, TensorData};

use crate::error::EngineError;
use crate::models::values;
use crate::pipeline::{GenerateError, Pipeline};
use crate::prompt::{EmbeddingEdit, PromptTokenizer, Source, TokenPlace, token_selection};
use crate::recipe::Recipe;

/// A token at each stage of the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenTrace {
    /// The token embedding (with its edit), the position embedding, their sum, and the output embedding.
    pub stages: [EncoderStage; 4],
    /// How far the edits of the recipe move each position's output, chunk by chunk. It is 0 before the first
    /// edited token, since the encoder is causal.
    pub differences: Vec<f32>,
}

/// A vector in the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderStage {
    pub name: &'static str,
    pub vector: Vec<f32>,
    /// The Euclidean norm of the vector.
    pub norm: f32,
    /// The words of the vocabulary with the highest cosine similarity, the nearest first.
    pub nearest: Vec<Neighbour>,
}

/// A word of the vocabulary near a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    pub id: u32,
    /// As the vocabulary spells it: `puppy</w>`.
    pub piece: String,
    /// The cosine similarity of the embeddings, -1 to 1.
    pub cosine: f32,
}

const STAGES: [&str; 4] = ["Token embedding", "Position embedding", "Their sum", "Output embedding"];
/// The number of neighbours of each stage.
const NEAREST: usize = 10;

/// Traces a token of a recipe's prompt at a step of the run. `part` is the index of the part that AND composes.
///
/// # Errors
/// If there is no such token, or an edit uses a word that this model does not have.
pub fn token_trace(
    pipeline: &Pipeline,
    recipe: &Recipe,
    step: usize,
    part: usize,
    place: TokenPlace,
) -> Result<TokenTrace, GenerateError> {
    let prompt = pipeline.prompt_tokenizer.read(&recipe.prompt, &recipe.text, recipe.steps as usize);
    let text = prompt.at(step).nth(part).map(|(_, text)| text);
    let text = text.filter(|text| text.at(place).is_some()).ok_or(GenerateError::NoSuchToken)?;
    let edits = pipeline.resolve_edits(&recipe.prompt, text, &recipe.edits)?;
    let clip_skip = recipe.text.clip_skip as usize;
    let encoder = &pipeline.model.text_encoder;
    let (tokens, positions) = (pipeline.embed_tokens(text, &edits), pipeline.embed_positions(text, &edits));
    let sum = tokens.clone() + positions.clone();
    let output = encoder.encode(sum.clone(), clip_skip);
    let differences = if edits.is_empty() {
        vec![0.0; output.dims()[0] * output.dims()[1]]
    } else {
        let unedited = pipeline.embed_tokens(text, &[]) + pipeline.embed_positions(text, &[]);
        values((output.clone() - encoder.encode(unedited, clip_skip)).square().sum_dim(2).sqrt())?
    };
    let TokenPlace { chunk, position } = place;
    let vectors = [tokens, positions, sum, output].map(|x| x.narrow(0, chunk, 1).narrow(1, position, 1));
    let vectors = Tensor::cat(vectors.to_vec(), 1);
    let nearest = nearest(pipeline, vectors.clone(), NEAREST)?;
    let flat = values(vectors)?;
    let mut vectors = flat.chunks_exact(pipeline.info.text_width).zip(nearest);
    let stages = STAGES.map(|name| {
        let (vector, nearest) = vectors.next().expect("a vector for each stage");
        let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        EncoderStage { name, vector: vector.to_vec(), norm, nearest }
    });
    Ok(TokenTrace { stages, differences })
}

/// The token embedding of a word, or the mean of its tokens if it has several.
pub fn word_vector(pipeline: &Pipeline, source: &Source) -> Result<Vec<f32>, GenerateError> {
    pipeline.source_vector(source, "")
}

/// The words whose token embeddings are nearest to a vector.
pub fn nearest_words(
    pipeline: &Pipeline,
    vector: Vec<f32>,
    count: usize,
) -> Result<Vec<Neighbour>, GenerateError> {
    let data = TensorData::new(vector, [1, 1, pipeline.info.text_width]);
    let vector = Tensor::from_data(data, (&pipeline.device, DType::F32));
    Ok(nearest(pipeline, vector, count)?.swap_remove(0))
}

/// The vectors with which edits replace their words, in the order of the prompt: a concept.
///
/// # Errors
/// If the word of an edit is not in the prompt.
pub fn edited_vectors(
    pipeline: &Pipeline,
    recipe: &Recipe,
    edits: &[EmbeddingEdit],
) -> Result<Vec<Vec<f32>>, GenerateError> {
    let prompt = pipeline.prompt_tokenizer.read(&recipe.prompt, &recipe.text, recipe.steps as usize);
    let find = |edit: &EmbeddingEdit| {
        let mut texts = prompt.texts();
        texts.find_map(|text| text.at(token_selection::find(&recipe.prompt, text, &edit.selector)?))
    };
    let mut vectors = Vec::new();
    for edit in edits {
        let token = find(edit).ok_or_else(|| GenerateError::NoSuchEdited(edit.selector.text.clone()))?;
        vectors.push(((token.range.start, edit.selector.part), pipeline.edited_vector(edit, token)?));
    }
    vectors.sort_by_key(|(position, _)| *position);
    Ok(vectors.into_iter().map(|(_, vector)| vector).collect())
}

/// The nearest words of each vector.
///
/// # Shapes
/// - vectors: `[1, vectors, width]`
fn nearest(
    pipeline: &Pipeline,
    vectors: Tensor<3>,
    count: usize,
) -> Result<Vec<Vec<Neighbour>>, EngineError> {
    let table = pipeline.model.text_encoder.table();
    let [words, width] = table.dims();
    let vectors = Tensor::<2>::from_data(vectors.reshape([-1, width as i64]).into_data(), &table.device());
    let vectors = vectors.clone() / norm(vectors);
    let norms = pipeline.embedding_norms.get_or_init(|| norm(table.clone()));
    let cosines = table.matmul(vectors.transpose()) / norms.clone();
    let cosines: Vec<f32> = values(cosines.transpose())?;
    let neighbours =
        cosines.chunks_exact(words).map(|cosines| top(&pipeline.prompt_tokenizer, cosines, count));
    Ok(neighbours.collect())
}

/// The words with the highest cosines, in falling order.
fn top(tokenizer: &PromptTokenizer, cosines: &[f32], count: usize) -> Vec<Neighbour> {
    let mut ids: Vec<u32> = (0..cosines.len() as u32).collect();
    let count = count.min(ids.len());
    let falling = |a: &u32, b: &u32| cosines[*b as usize].total_cmp(&cosines[*a as usize]);
    if count < ids.len() {
        ids.select_nth_unstable_by(count, falling);
        ids.truncate(count);
    }
    ids.sort_by(falling);
    let neighbour =
        |id| Neighbour { id, piece: tokenizer.piece(id).unwrap_or_default(), cosine: cosines[id as usize] };
    ids.into_iter().map(neighbour).collect()
}

/// The norm of each row, kept above 0 so that an embedding of zeros is near no word.
///
/// # Shapes
/// - rows: `[rows, width]`
/// - output: `[rows, 1]`
fn norm(rows: Tensor<2>) -> Tensor<2> {
    rows.square().sum_dim(1).sqrt().clamp_min(f32::MIN_POSITIVE)
}
