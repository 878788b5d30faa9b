//! The text encoder taken apart for one token: what it is at each stage, and which words are near.

use burn::tensor::{DType, Tensor, TensorData};

use crate::error::EngineError;
use crate::models::values;
use crate::pipeline::{GenerateError, Pipeline};
use crate::prompt::{EmbeddingEdit, Source, TokenPlace, token_selection};
use crate::recipe::Recipe;

/// A token's way through the text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenTrace {
    /// Token embedding (edited, if it is), position embedding, their sum, output embedding.
    pub stages: [EncoderStage; 4],
    /// How far each position's output moved by the edits of the recipe, chunk by chunk: 0 before the
    /// first edited one, for no token looks ahead.
    pub differences: Vec<f32>,
}

/// A vector on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderStage {
    pub name: &'static str,
    pub vector: Vec<f32>,
    /// Its length.
    pub norm: f32,
    /// Words of the vocabulary whose embeddings point the same way, and the cosine; the nearest first.
    pub nearest: Vec<Neighbour>,
}

/// A word of the vocabulary beside a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    pub id: u32,
    /// As the vocabulary spells it: `puppy</w>`.
    pub piece: String,
    /// -1 to 1.
    pub cosine: f32,
}

const STAGES: [&str; 4] = ["Token embedding", "Position embedding", "Their sum", "Output embedding"];
/// So many words are shown of each stage.
const NEAREST: usize = 10;

impl Pipeline {
    /// Takes a token of a recipe's prompt apart, at a step of its run. `part` counts what AND composes.
    ///
    /// # Errors
    /// If there is no such token, or an edit asks for a word that this model does not have.
    pub fn token_trace(
        &self,
        recipe: &Recipe,
        step: usize,
        part: usize,
        place: TokenPlace,
    ) -> Result<TokenTrace, GenerateError> {
        let reading = self.words.read(&recipe.prompt, &recipe.text, recipe.steps as usize);
        let text = reading.at(step).nth(part).map(|(_, text)| text);
        let text = text.filter(|text| text.at(place).is_some()).ok_or(GenerateError::NoSuchToken)?;
        let changes = self.resolve_edits(&recipe.prompt, text, &recipe.edits)?;
        let clip_skip = recipe.text.clip_skip as usize;
        let encoder = &self.model.text_encoder;
        let (tokens, positions) = (self.embed_tokens(text, &changes), self.embed_positions(text, &changes));
        let sum = tokens.clone() + positions.clone();
        let output = encoder.encode(sum.clone(), clip_skip);
        let differences = if changes.is_empty() {
            vec![0.0; output.dims()[0] * output.dims()[1]]
        } else {
            let unedited =
                encoder.encode(self.embed_tokens(text, &[]) + self.embed_positions(text, &[]), clip_skip);
            values((output.clone() - unedited).square().sum_dim(2).sqrt())?
        };
        let TokenPlace { chunk, position } = place;
        let vectors = [tokens, positions, sum, output].map(|x| x.narrow(0, chunk, 1).narrow(1, position, 1));
        let vectors = Tensor::cat(vectors.to_vec(), 1);
        let nearest = self.nearest(vectors.clone(), NEAREST)?;
        let flat = values(vectors)?;
        let mut vectors = flat.chunks_exact(self.info.text_width).zip(nearest);
        let stages = STAGES.map(|name| {
            let (vector, nearest) = vectors.next().expect("a vector for each stage");
            let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            EncoderStage { name, vector: vector.to_vec(), norm, nearest }
        });
        Ok(TokenTrace { stages, differences })
    }

    /// The token embedding of a word, the mean of its tokens if it is several.
    pub fn word_vector(&self, source: &Source) -> Result<Vec<f32>, GenerateError> {
        self.source_vector(source, "")
    }

    /// The words whose token embeddings are nearest to a vector.
    pub fn nearest_to(&self, vector: Vec<f32>, count: usize) -> Result<Vec<Neighbour>, GenerateError> {
        let data = TensorData::new(vector, [1, 1, self.info.text_width]);
        let vector = Tensor::from_data(data, (&self.device, DType::F32));
        Ok(self.nearest(vector, count)?.swap_remove(0))
    }

    /// What edits put in the place of their words, one vector each in the order of the prompt: a concept.
    ///
    /// # Errors
    /// If the word of one is not in the prompt.
    pub fn edited_vectors(
        &self,
        recipe: &Recipe,
        edits: &[EmbeddingEdit],
    ) -> Result<Vec<Vec<f32>>, GenerateError> {
        let reading = self.words.read(&recipe.prompt, &recipe.text, recipe.steps as usize);
        let find = |edit: &EmbeddingEdit| {
            let mut texts = reading.texts();
            texts.find_map(|text| text.at(token_selection::find(&recipe.prompt, text, &edit.selector)?))
        };
        let mut vectors = Vec::new();
        for edit in edits {
            let token = find(edit).ok_or_else(|| GenerateError::NoSuchEdited(edit.selector.text.clone()))?;
            vectors.push(((token.range.start, edit.selector.part), self.edited_vector(edit, token)?));
        }
        vectors.sort_by_key(|(at, _)| *at);
        Ok(vectors.into_iter().map(|(_, vector)| vector).collect())
    }

    /// For each vector the words whose embeddings point the same way.
    ///
    /// # Shapes
    /// - vectors: `[1, vectors, width]`
    fn nearest(&self, vectors: Tensor<3>, count: usize) -> Result<Vec<Vec<Neighbour>>, EngineError> {
        let table = self.model.text_encoder.table();
        let [words, width] = table.dims();
        let vectors = vectors.reshape([-1, width as i64]);
        let vectors = vectors.clone() / norm(vectors);
        let norms = self.word_norms.get_or_init(|| norm(table.clone()));
        let cosines = table.matmul(vectors.transpose()) / norms.clone();
        let cosines: Vec<f32> = values(cosines.transpose())?;
        Ok(cosines.chunks_exact(words).map(|cosines| self.top(cosines, count)).collect())
    }

    fn top(&self, cosines: &[f32], count: usize) -> Vec<Neighbour> {
        let mut ids: Vec<u32> = (0..cosines.len() as u32).collect();
        let count = count.min(ids.len());
        let falling = |a: &u32, b: &u32| cosines[*b as usize].total_cmp(&cosines[*a as usize]);
        if count < ids.len() {
            ids.select_nth_unstable_by(count, falling);
            ids.truncate(count);
        }
        ids.sort_by(falling);
        let near = |id| Neighbour {
            id,
            piece: self.words.piece(id).unwrap_or_default(),
            cosine: cosines[id as usize],
        };
        ids.into_iter().map(near).collect()
    }
}

/// More than 0, so that an embedding of zeros is near to nothing.
///
/// # Shapes
/// - rows: `[rows, width]`
/// - output: `[rows, 1]`
fn norm(rows: Tensor<2>) -> Tensor<2> {
    rows.square().sum_dim(1).sqrt().clamp_min(f32::MIN_POSITIVE)
}
