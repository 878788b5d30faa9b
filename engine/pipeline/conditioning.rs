//! From prompts to what the UNet reads at each step: encoded in chunks, weighted, mixed.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::{FloatDType, Tensor};

use crate::concepts::ConceptRef;
use crate::error::EngineError;
use crate::images::Array;
use crate::memory::low_memory::MemoryGuard;
use crate::models::values;
use crate::pipeline::GenerateError;
use crate::pipeline::embeddings::ResolvedEdit;
use crate::pipeline::weighting::{mixed, weighted};
use crate::pipeline::{Pipeline, to_array};
use crate::prompt::{Mix, Source, TextOptions, Tokenized, TokenizedPart, TokenizedPrompt, token_selection};
use crate::recipe::Recipe;

/// What the UNet reads over a run.
#[derive(Clone)]
pub(crate) struct Conditioning {
    /// Composed by AND; at least one.
    pub cond: Vec<PromptConditioning>,
    /// Absent where nothing leads away from anything.
    pub uncond: Option<PromptConditioning>,
}

/// One prompt of them.
#[derive(Clone)]
pub(crate) struct PromptConditioning {
    pub weight: f32,
    /// Output embeddings up to a step, `[1, tokens, width]`; the last hold to the end.
    scenes: Vec<(usize, Tensor<3>)>,
}

impl PromptConditioning {
    /// # Shapes
    /// - output: `[1, tokens, width]`
    pub fn at(&self, step: usize) -> Tensor<3> {
        let holds = self.scenes.iter().find(|(last, _)| step <= *last).or(self.scenes.last());
        holds.expect("a prompt says something").1.clone()
    }
}

impl Conditioning {
    /// The same in another precision.
    pub fn cast(&self, dtype: FloatDType) -> Self {
        let cast = |part: &PromptConditioning| {
            let scenes = part.scenes.iter().map(|(last, text)| (*last, text.clone().cast(dtype)));
            PromptConditioning { weight: part.weight, scenes: scenes.collect() }
        };
        Self { cond: self.cond.iter().map(cast).collect(), uncond: self.uncond.as_ref().map(cast) }
    }

    /// True if the prompt is one, at its full weight.
    pub fn is_simple(&self) -> bool {
        matches!(&self.cond[..], [part] if part.weight == 1.0)
    }
}

/// The prompts of a recipe, read.
pub(crate) struct Prompts {
    pub prompt: TokenizedPrompt,
    /// Absent where nothing leads away from anything.
    pub negative: Option<TokenizedPrompt>,
    pub mixed: Vec<TokenizedPrompt>,
}

impl Prompts {
    pub fn readings(&self) -> impl Iterator<Item = &TokenizedPrompt> {
        [&self.prompt].into_iter().chain(&self.negative).chain(&self.mixed)
    }
}

impl Pipeline {
    /// The prompts of a recipe, as they are read here. AND composes the main prompt alone.
    pub(crate) fn prompts(&self, recipe: &Recipe) -> Prompts {
        let (options, steps) = (&recipe.text, recipe.steps as usize);
        let prompt = self.words.read(&recipe.prompt, options, steps);
        let is_simple = matches!(&prompt.parts[..], [part] if part.weight == 1.0);
        let guided = recipe.guidance.cfg_scale != 1.0 || !is_simple;
        let read = |prompt: &str| self.words.read_whole(prompt, options, steps);
        let negative = guided.then(|| read(&recipe.negative_prompt));
        let mixed = recipe.mix.prompts.iter().map(|mixed| read(&mixed.prompt)).collect();
        Prompts { prompt, negative, mixed }
    }

    /// Reads the prompts of a recipe; the care is told of edits that found no word.
    pub(crate) fn encode_prompts(
        &self,
        recipe: &Recipe,
        memory: &MemoryGuard,
    ) -> Result<Conditioning, GenerateError> {
        let prompts = self.prompts(recipe);
        for edit in &recipe.edits {
            let is_there =
                |text: &Arc<Tokenized>| token_selection::find(&recipe.prompt, text, &edit.selector).is_some();
            if !prompts.prompt.texts().any(is_there) {
                let letters = &edit.selector.text;
                memory
                    .note(&format!("The edit of \"{letters}\" was left out: its word is not in the prompt"));
            }
        }
        let texts: HashMap<_, _> = prompts.prompt.texts().map(|text| (Arc::as_ptr(text), text)).collect();
        let changes = texts
            .into_iter()
            .map(|(address, text)| Ok((address, self.changes(&recipe.prompt, text, &recipe.edits)?)));
        let changes = changes.collect::<Result<HashMap<_, _>, GenerateError>>()?;
        let conditioning = memory.retry_in_low_memory(|_| {
            let mut reader =
                ConditioningBuilder { pipeline: self, recipe, changes: &changes, encoded: HashMap::new() };
            let cond = prompts.prompt.parts.iter().map(|part| reader.part_of(part, &prompts.mixed));
            let cond = cond.collect::<Result<_, _>>()?;
            let uncond = prompts.negative.as_ref().map(|negative| reader.unedited(&negative.parts[0]));
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
        let texts = prompts.readings().flat_map(TokenizedPrompt::texts).cloned().chain(edits);
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

    /// What the UNet reads of a recipe's prompt at a step: the weight and the output embeddings of each
    /// part that AND composes.
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
        let at = |part: &PromptConditioning| Ok((part.weight, to_array(part.at(step))?));
        parts.iter().map(at).collect()
    }

    /// Output embeddings of a text, changed, weighted, its chunks laid end to end.
    ///
    /// # Shapes
    /// - output: `[1, chunks * tokens, width]`
    pub(crate) fn encode_text(
        &self,
        text: &Tokenized,
        options: &TextOptions,
        changes: &[ResolvedEdit],
    ) -> Result<Tensor<3>, EngineError> {
        let clip_skip = options.clip_skip as usize;
        let x = self.embed(text, changes) + self.positions(text, changes);
        let z = self.model.text_encoder.encode(x, clip_skip);
        self.check_finite("text encoder", &values(z.clone())?)?;
        let empty = || {
            let empty = self.tokenize("");
            let x = self.embed(&empty, &[]) + self.positions(&empty, &[]);
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
    /// Those of the texts of the main prompt.
    changes: &'a HashMap<*const Tokenized, Vec<ResolvedEdit>>,
    /// By the texts' addresses, which those that are the same share.
    encoded: HashMap<*const Tokenized, Tensor<3>>,
}

impl ConditioningBuilder<'_> {
    /// A prompt that is neither edited nor mixed.
    fn unedited(&mut self, part: &TokenizedPart) -> Result<PromptConditioning, EngineError> {
        let scenes = part.scenes.iter().map(|(last, text)| Ok((*last, self.text(text)?)));
        Ok(PromptConditioning { weight: part.weight, scenes: scenes.collect::<Result<_, EngineError>>()? })
    }

    /// A part of the main prompt, with the others mixed in.
    fn part_of(
        &mut self,
        part: &TokenizedPart,
        others: &[TokenizedPrompt],
    ) -> Result<PromptConditioning, EngineError> {
        let mix = &self.recipe.mix;
        let all = || [part].into_iter().chain(others.iter().map(|other| &other.parts[0]));
        let mut ends: Vec<usize> = all().flat_map(|part| part.scenes.iter().map(|(last, _)| *last)).collect();
        ends.sort_unstable();
        ends.dedup();
        let mut known: HashMap<Vec<*const Tokenized>, Tensor<3>> = HashMap::new();
        let mut scenes = Vec::new();
        for last in ends {
            let texts: Vec<&Arc<Tokenized>> = all().map(|part| part.at(last)).collect();
            let key = texts.iter().map(|text| Arc::as_ptr(text)).collect();
            let text = match known.get(&key) {
                Some(text) => text.clone(),
                None => self.mixture(&texts, mix)?,
            };
            known.insert(key, text.clone());
            scenes.push((last, text));
        }
        Ok(PromptConditioning { weight: part.weight, scenes })
    }

    fn mixture(&mut self, texts: &[&Arc<Tokenized>], mix: &Mix) -> Result<Tensor<3>, EngineError> {
        let main = self.text(texts[0])?;
        if mix.prompts.is_empty() {
            return Ok(main);
        }
        let others = texts[1..].iter().map(|text| self.text(text));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        let empty = self.pipeline.tokenize("");
        let empty = self.pipeline.encode_text(&empty, &self.recipe.text, &[])?;
        let longest = others.iter().chain([&main]).map(|text| text.dims()[1]).max().unwrap_or_default();
        // A shorter prompt says nothing in the chunks that it does not have.
        let lengthen = |text: Tensor<3>| {
            let missing = (longest - text.dims()[1]) / empty.dims()[1];
            Tensor::cat([text].into_iter().chain(vec![empty.clone(); missing]).collect(), 1)
        };
        let others = others.into_iter().zip(&mix.prompts).map(|(text, it)| (it.weight, lengthen(text)));
        Ok(mixed(mix, lengthen(main), others))
    }

    fn text(&mut self, text: &Arc<Tokenized>) -> Result<Tensor<3>, EngineError> {
        let address = Arc::as_ptr(text);
        if let Some(encoded) = self.encoded.get(&address) {
            return Ok(encoded.clone());
        }
        let changes = self.changes.get(&address).map_or(&[][..], Vec::as_slice);
        let encoded = self.pipeline.encode_text(text, &self.recipe.text, changes)?;
        self.encoded.insert(address, encoded.clone());
        Ok(encoded)
    }
}
