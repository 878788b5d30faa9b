//! The input of the text encoder: token embeddings, vectors of concepts, and edits of both.

use burn::tensor::{DType, Tensor, TensorData};

use crate::diffusion::TorchGenerator;
use crate::error::EngineError;
use crate::models::values;
use crate::pipeline::GenerateError;
use crate::pipeline::Pipeline;
use crate::prompt::{EditNoise, EmbeddingEdit, Source, Token, TokenPlace, Tokenized, token_selection};

/// An edit, resolved to a token of one text and a vector.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResolvedEdit {
    pub place: TokenPlace,
    /// Replaces the token's embedding.
    pub vector: Vec<f32>,
    pub has_position: bool,
}

impl Pipeline {
    /// The token embeddings of each chunk, with the vectors of concepts and edits in place.
    ///
    /// # Shapes
    /// - output: `[chunks, tokens, width]`
    pub(crate) fn embed_tokens(&self, text: &Tokenized, edits: &[ResolvedEdit]) -> Tensor<3> {
        let ids: Vec<&[u32]> = text.chunks.iter().map(|chunk| chunk.ids.as_slice()).collect();
        let mut x = self.model.text_encoder.token_embeddings(&ids);
        for (place, token) in text.tokens() {
            if let Some((concept, index)) = &token.vector {
                x = replace_row(x, place, &concept.vectors[index * concept.width..][..concept.width]);
            }
        }
        for ResolvedEdit { place, vector, .. } in edits {
            x = replace_row(x, *place, vector);
        }
        x
    }

    /// The position embeddings, with zeros where an edit removes them.
    ///
    /// # Shapes
    /// - output: `[chunks, tokens, width]`
    pub(crate) fn embed_positions(&self, text: &Tokenized, edits: &[ResolvedEdit]) -> Tensor<3> {
        let positions = self.model.text_encoder.position_embeddings(text.chunks[0].ids.len());
        let width = positions.dims()[1];
        let mut x = positions.unsqueeze::<3>().repeat_dim(0, text.chunks.len());
        for edit in edits.iter().filter(|edit| !edit.has_position) {
            x = replace_row(x, edit.place, &vec![0.0; width]);
        }
        x
    }

    /// Resolves edits in a text. Edits whose word is not in the text are skipped.
    pub(crate) fn resolve_edits(
        &self,
        prompt: &str,
        text: &Tokenized,
        edits: &[EmbeddingEdit],
    ) -> Result<Vec<ResolvedEdit>, GenerateError> {
        let found = edits
            .iter()
            .filter_map(|edit| Some((edit, token_selection::find(prompt, text, &edit.selector)?)));
        found
            .map(|(edit, place)| {
                let token = text.at(place).expect("a token was found there");
                let vector = self.edited_vector(edit, token)?;
                Ok(ResolvedEdit { place, vector, has_position: edit.has_position })
            })
            .collect()
    }

    /// The vector with which an edit replaces a token's embedding.
    pub(crate) fn edited_vector(
        &self,
        edit: &EmbeddingEdit,
        token: &Token,
    ) -> Result<Vec<f32>, GenerateError> {
        let mut vector = if edit.replacement.is_empty() {
            self.token_vector(token)?
        } else {
            let mut sum = vec![0.0; self.info.text_width];
            for term in &edit.replacement {
                add_scaled(&mut sum, term.weight, &self.source_vector(&term.word, &edit.selector.text)?);
            }
            sum
        };
        vector.iter_mut().for_each(|value| *value *= edit.scale);
        if let Some(EditNoise { amount, seed }) = edit.noise {
            let root_mean_square = (squared(&vector) / vector.len() as f32).sqrt();
            add_scaled(
                &mut vector,
                amount * root_mean_square,
                &TorchGenerator::new(seed).randn(self.info.text_width),
            );
        }
        Ok(vector)
    }

    /// The embedding of a token.
    pub(crate) fn token_vector(&self, token: &Token) -> Result<Vec<f32>, EngineError> {
        match &token.vector {
            Some((concept, index)) => Ok(concept.vectors[index * concept.width..][..concept.width].to_vec()),
            None => self.row(token.id),
        }
    }

    /// The embedding of a word, or the mean of its tokens if it has several. `edited` is the text of the edit, for
    /// errors.
    pub(crate) fn source_vector(&self, source: &Source, edited: &str) -> Result<Vec<f32>, GenerateError> {
        match source {
            Source::Id(id) => {
                let words = self.model.text_encoder.table().dims()[0];
                if *id as usize >= words {
                    return Err(GenerateError::NoSuchId { edited: edited.into(), id: *id, words });
                }
                Ok(self.row(*id)?)
            }
            Source::Word(word) => {
                let text = self.tokenize(word);
                let count = text.used();
                if count == 0 {
                    return Err(GenerateError::NoSuchWord { edited: edited.into(), word: word.clone() });
                }
                let mut mean = vec![0.0; self.info.text_width];
                for (_, token) in text.tokens() {
                    add_scaled(&mut mean, 1.0 / count as f32, &self.token_vector(token)?);
                }
                Ok(mean)
            }
        }
    }

    fn row(&self, id: u32) -> Result<Vec<f32>, EngineError> {
        values(self.model.text_encoder.token_embeddings(&[&[id]]))
    }
}

/// Replaces the vector of a token.
fn replace_row(x: Tensor<3>, place: TokenPlace, row: &[f32]) -> Tensor<3> {
    let (width, dtype): (usize, DType) = (row.len(), x.dtype());
    let row = Tensor::from_data(TensorData::new(row.to_vec(), [1, 1, width]), (&x.device(), dtype));
    let TokenPlace { chunk, position } = place;
    x.slice_assign([chunk..chunk + 1, position..position + 1, 0..width], row)
}

fn add_scaled(sum: &mut [f32], scale: f32, vector: &[f32]) {
    sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += scale * value);
}

fn squared(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum()
}
