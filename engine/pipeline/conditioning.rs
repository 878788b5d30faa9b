//! From prompts to the embeddings that condition the UNet at each step: edited, encoded in chunks, weighted and
//! mixed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use burn::tensor::{FloatDType, Tensor};

use crate::concepts::ConceptRef;
use crate::error::EngineError;
use crate::images::Array;
use crate::memory::low_memory::MemoryGuard;
use crate::models::values;
use crate::pipeline::embeddings::ResolvedEdit;
use crate::pipeline::weighting::{mixed, weighted};
use crate::pipeline::{GenerateError, Pipeline, to_array};
use crate::prompt::{
    PromptPart, Source, TextOptions, Timeline, Tokenized, TokenizedPrompt, merged_ends, token_selection,
};
use crate::recipe::Recipe;

/// The output embeddings that the UNet is conditioned on over a run, `[1, tokens, width]` each.
#[derive(Clone)]
pub(crate) struct Conditioning {
    /// The parts that AND composes; at least one.
    pub cond: Vec<PromptPart<Tensor<3>>>,
    /// `None` when guidance is 1 and there is one part of full weight, so that no negative prompt is used.
    pub uncond: Option<PromptPart<Tensor<3>>>,
}

impl Conditioning {
    /// The same conditioning in another precision.
    pub fn cast(&self, dtype: FloatDType) -> Self {
        let cast = |part: &PromptPart<Tensor<3>>| PromptPart {
            weight: part.weight,
            timeline: part.timeline.map(|text| text.clone().cast(dtype)),
        };
        Self { cond: self.cond.iter().map(cast).collect(), uncond: self.uncond.as_ref().map(cast) }
    }

    pub fn is_simple(&self) -> bool {
        is_simple(&self.cond)
    }
}

/// Whether a prompt has one part, of weight 1.
fn is_simple<T>(parts: &[PromptPart<T>]) -> bool {
    matches!(parts, [part] if part.weight == 1.0)
}

/// The tokens of a recipe's prompts.
pub(crate) struct Prompts {
    pub prompt: TokenizedPrompt,
    /// See [`Conditioning::uncond`].
    pub negative: Option<TokenizedPrompt>,
    pub mixed: Vec<TokenizedPrompt>,
}

/// Identifies a text that several steps share by its address. The prompts that own the texts outlive every map
/// with these keys, so an address cannot be reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct TextId(*const Tokenized);

impl TextId {
    fn of(text: &Arc<Tokenized>) -> Self {
        Self(Arc::as_ptr(text))
    }
}

impl Pipeline {
    /// Tokenizes the prompts of a recipe. AND composes the main prompt only.
    pub(crate) fn prompts(&self, recipe: &Recipe) -> Prompts {
        let (options, steps) = (&recipe.text, recipe.steps as usize);
        let prompt = self.prompt_tokenizer.read(&recipe.prompt, options, steps);
        let is_guided = recipe.guidance.cfg_scale != 1.0 || !is_simple(&prompt.parts);
        let read = |prompt: &str| self.prompt_tokenizer.read_single(prompt, options, steps);
        let negative = is_guided.then(|| read(&recipe.negative_prompt));
        let mixed = recipe.mix.prompts.iter().map(|mixed| read(&mixed.prompt)).collect();
        Prompts { prompt, negative, mixed }
    }

    /// Encodes the prompts of a recipe. Edits whose word is not in the prompt are reported as notes.
    pub(crate) fn encode_prompts(
        &self,
        recipe: &Recipe,
        memory: &MemoryGuard,
    ) -> Result<Conditioning, GenerateError> {
        let prompts = self.prompts(recipe);
        for edit in &recipe.edits {
            let is_in =
                |text: &Arc<Tokenized>| token_selection::find(&recipe.prompt, text, &edit.selector).is_some();
            if !prompts.prompt.texts().any(is_in) {
                let text = &edit.selector.text;
                memory.note(&format!("The edit of \"{text}\" was ignored: its word is not in the prompt"));
            }
        }
        let mut edits: HashMap<TextId, Vec<ResolvedEdit>> = HashMap::new();
        for text in prompts.prompt.texts() {
            if let Entry::Vacant(entry) = edits.entry(TextId::of(text)) {
                entry.insert(self.resolve_edits(&recipe.prompt, text, &recipe.edits)?);
            }
        }
        let conditioning = memory.retry_in_low_memory(|_| {
            let (edits, encoded) = (&edits, HashMap::new());
            let mut builder = ConditioningBuilder { pipeline: self, recipe, edits, encoded };
            let cond = prompts.prompt.parts.iter().map(|part| builder.mixed_part(part, &prompts.mixed));
            let cond = cond.collect::<Result<_, _>>()?;
            let uncond = prompts
                .negative
                .as_ref()
                .map(|negative| negative.parts[0].try_map(|text| builder.encode(text)));
            Ok(Conditioning { cond, uncond: uncond.transpose()? })
        });
        Ok(conditioning?)
    }

    /// The concepts that a recipe uses, each once.
    pub fn concepts_in(&self, recipe: &Recipe) -> Vec<ConceptRef> {
        let prompts = self.prompts(recipe);
        let terms = recipe.edits.iter().flat_map(|edit| &edit.replacement);
        let edits = terms.filter_map(|term| match &term.word {
            Source::Word(word) => Some(Arc::new(self.tokenize(word))),
            Source::Id(_) => None,
        });
        let all = [&prompts.prompt].into_iter().chain(&prompts.negative).chain(&prompts.mixed);
        let texts = all.flat_map(TokenizedPrompt::texts).cloned().chain(edits);
        let mut used: Vec<ConceptRef> = Vec::new();
        for text in texts {
            for (_, concept) in text.concepts() {
                let concept = concept.reference();
                if !used.contains(&concept) {
                    used.push(concept);
                }
            }
        }
        used
    }

    /// The conditioning of a recipe's prompt at a step: the weight and the output embeddings of each part that
    /// AND composes.
    ///
    /// # Shapes
    /// - output embeddings: `[1, tokens, width]`
    pub fn output_embeddings(
        &self,
        recipe: &Recipe,
        step: usize,
    ) -> Result<Vec<(f32, Array)>, GenerateError> {
        recipe.check()?;
        let parts = self.encode_prompts(recipe, &self.memory_guard(recipe)?)?.cond;
        let at = |part: &PromptPart<Tensor<3>>| Ok((part.weight, to_array(part.at(step).clone())?));
        parts.iter().map(at).collect()
    }

    /// The output embeddings of a text, edited and weighted, with its chunks joined.
    ///
    /// # Shapes
    /// - output: `[1, chunks * tokens, width]`
    pub(crate) fn encode_text(
        &self,
        text: &Tokenized,
        options: &TextOptions,
        edits: &[ResolvedEdit],
    ) -> Result<Tensor<3>, EngineError> {
        let clip_skip = options.clip_skip as usize;
        let x = self.embed_tokens(text, edits) + self.embed_positions(text, edits);
        let z = self.model.text_encoder.encode(x, clip_skip);
        self.check_finite("text encoder", &values(z.clone())?)?;
        let empty = || {
            let empty = self.tokenize("");
            let x = self.embed_tokens(&empty, &[]) + self.embed_positions(&empty, &[]);
            self.model.text_encoder.encode(x, clip_skip)
        };
        let [chunks, tokens, width] = z.dims();
        Ok(weighted(z, text, options.weights, empty).reshape([1, chunks * tokens, width]))
    }
}

/// Encodes the texts of a recipe, each once.
struct ConditioningBuilder<'a> {
    pipeline: &'a Pipeline,
    recipe: &'a Recipe,
    /// The edits of each text of the main prompt.
    edits: &'a HashMap<TextId, Vec<ResolvedEdit>>,
    encoded: HashMap<TextId, Tensor<3>>,
}

impl ConditioningBuilder<'_> {
    /// A part of the main prompt with the other prompts mixed in.
    fn mixed_part(
        &mut self,
        part: &PromptPart<Arc<Tokenized>>,
        others: &[TokenizedPrompt],
    ) -> Result<PromptPart<Tensor<3>>, EngineError> {
        let all: Vec<_> = [part].into_iter().chain(others.iter().map(|other| &other.parts[0])).collect();
        let mut known: HashMap<Vec<TextId>, Tensor<3>> = HashMap::new();
        let mut until = Vec::new();
        for end in merged_ends(all.iter().copied()) {
            let texts: Vec<&Arc<Tokenized>> = all.iter().map(|part| part.at(end)).collect();
            let key = texts.iter().map(|text| TextId::of(text)).collect();
            let text = match known.get(&key) {
                Some(text) => text.clone(),
                None => self.mix(&texts)?,
            };
            known.insert(key, text.clone());
            until.push((end, text));
        }
        Ok(PromptPart { weight: part.weight, timeline: Timeline::new(until) })
    }

    /// The first text with the others mixed in.
    fn mix(&mut self, texts: &[&Arc<Tokenized>]) -> Result<Tensor<3>, EngineError> {
        let mix = &self.recipe.mix;
        let main = self.encode(texts[0])?;
        if mix.prompts.is_empty() {
            return Ok(main);
        }
        let others = texts[1..].iter().map(|text| self.encode(text));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        let empty = self.pipeline.tokenize("");
        let empty = self.pipeline.encode_text(&empty, &self.recipe.text, &[])?;
        let longest = others.iter().chain([&main]).map(|text| text.dims()[1]).max().unwrap_or_default();
        // A shorter prompt gets empty chunks.
        let lengthen = |text: Tensor<3>| {
            let missing = (longest - text.dims()[1]) / empty.dims()[1];
            Tensor::cat([text].into_iter().chain(vec![empty.clone(); missing]).collect(), 1)
        };
        let others = others.into_iter().zip(&mix.prompts).map(|(text, mixed)| (mixed.weight, lengthen(text)));
        Ok(mixed(mix, lengthen(main), others))
    }

    fn encode(&mut self, text: &Arc<Tokenized>) -> Result<Tensor<3>, EngineError> {
        let id = TextId::of(text);
        if let Some(encoded) = self.encoded.get(&id) {
            return Ok(encoded.clone());
        }
        let edits = self.edits.get(&id).map_or(&[][..], Vec::as_slice);
        let encoded = self.pipeline.encode_text(text, &self.recipe.text, edits)?;
        self.encoded.insert(id, encoded.clone());
        Ok(encoded)
    }
}
