//! Requests attention maps, and updates the overlay for the selected word.

use std::sync::Arc;

use engine::inspect::attention_maps::mask_by_map;
use engine::pipeline::StopFlag;
use engine::prompt::{Tokenized, token_selection};
use engine::session::{AttentionEvent, JobId, Request};

use crate::features::attention::{
    AttentionCache, AttentionCommand, AttentionOverlay, AttentionRequest, AttentionState, CachedMaps,
};
use crate::features::effect::Effect;
use crate::features::errors::ErrorSlot;
use crate::features::generate::run::Run;
use crate::features::prompt::read_prompt::ReadPrompt;
use crate::features::state::AppState;

impl AppState {
    /// The finished run whose attention maps can be computed: one of the open model.
    pub fn run_that_looks(&self) -> Option<&Run> {
        let is_asked = |run: &&Run| !run.is_live() && !run.pictures.is_empty() && run.read.is_some();
        self.shared.model_info().and(self.runs.current()).filter(is_asked)
    }

    /// The picture that is shown, and the part of its prompt that contains the selected word.
    /// `None` if the run's prompt does not contain it.
    pub fn reader(&self) -> Option<AttentionCache> {
        self.reading_of_word().map(|(reader, _)| reader)
    }

    /// The picture and part of the selected word, with the word's tokens counted over all chunks.
    pub(crate) fn reading_of_word(&self) -> Option<(AttentionCache, std::ops::Range<usize>)> {
        let run = self.run_that_looks()?;
        let word = self.words.chosen.as_ref()?;
        let ReadPrompt { prompt, parts, .. } = run.read.as_deref()?;
        let picture = self.film.picture.unwrap_or(0).min(run.pictures.len() - 1);
        parts.iter().enumerate().find_map(|(part, (_, text))| {
            let tokens = word_around(prompt, text, token_selection::find(prompt, text, word)?)?;
            Some((AttentionCache { job: run.job.id, picture, part }, tokens))
        })
    }

    /// Bytes that computing the current run's maps takes.
    pub fn attention_bytes(&self) -> Option<u64> {
        let (run, info) = (self.run_that_looks()?, self.shared.model_info()?);
        let parts = run.read.as_ref()?.parts.iter();
        let tokens = parts.map(|(_, text)| text.chunks.len() * text.chunks[0].ids.len()).max()?;
        let pixels = u64::from(run.recipe.width) * u64::from(run.recipe.height);
        Some(info.memory.attention_bytes(pixels, tokens))
    }

    pub(crate) fn handle_attend(&mut self, command: AttentionCommand) -> Vec<Effect> {
        match command {
            AttentionCommand::Ask => {
                let Some(of) = self.reader().filter(|_| self.attention.asked.is_none()) else {
                    return Vec::new();
                };
                self.shared.errors.clear(ErrorSlot::Words);
                let AttentionCache { job, picture, part } = of;
                let stop = StopFlag::default();
                self.attention.asked = Some(AttentionRequest { of, fraction: 0.0, stop: stop.clone() });
                return vec![Effect::Send(Request::ComputeAttentionMaps { job, picture, part, stop })];
            }
            AttentionCommand::Stop => {
                if let Some(asked) = &self.attention.asked {
                    asked.stop.raise();
                }
            }
            AttentionCommand::Overlay(is_highlighted) => self.attention.is_highlighted = is_highlighted,
        }
        Vec::new()
    }

    pub(crate) fn receive_attended(&mut self, job: JobId, event: AttentionEvent) {
        let Some(asked) = self.attention.asked.as_mut().filter(|asked| asked.of.job == job) else { return };
        match event {
            AttentionEvent::Progress { fraction } => {
                asked.fraction = fraction;
                return;
            }
            AttentionEvent::Done(maps) => {
                self.attention.maps = Some(CachedMaps { of: asked.of, maps });
                self.attention.is_highlighted = true;
            }
            AttentionEvent::Failed { text } => self.shared.errors.set(ErrorSlot::Words, text),
            AttentionEvent::Stopped => {}
        }
        self.attention.asked = None;
    }

    /// Drops the maps of the previous model's runs.
    pub(crate) fn forget_maps(&mut self) {
        self.attention = AttentionState::default();
        for run in self.runs.iter_mut() {
            run.change_model(self.prompts.tokenizer.as_ref());
        }
    }

    /// Updates the overlay when another word, picture or run is shown.
    pub(crate) fn update_overlay(&mut self) {
        let Some((of, tokens)) = self.attention.is_highlighted.then(|| self.reading_of_word()).flatten()
        else {
            self.attention.update_overlay = None;
            return;
        };
        let word = self.words.chosen.clone();
        if self
            .attention
            .update_overlay
            .as_ref()
            .is_some_and(|light| light.of == of && Some(&light.word) == word.as_ref())
        {
            return;
        }
        let known = self.attention.maps.as_ref().filter(|known| known.of == of);
        let picture = self.runs.current().and_then(|run| run.pictures.get(of.picture));
        self.attention.update_overlay = known.zip(picture).zip(word).map(|((known, picture), word)| {
            let maps = &known.maps;
            let lit = mask_by_map(picture, &maps.of(tokens), [maps.height, maps.width]);
            AttentionOverlay { of, word, picture: Arc::new(lit) }
        });
    }
}

/// All tokens of the word that a token belongs to. Punctuation counts as a word.
fn word_around(
    prompt: &str,
    text: &Tokenized,
    place: engine::prompt::TokenPlace,
) -> Option<std::ops::Range<usize>> {
    let at = place.chunk * text.chunks.first()?.ids.len() + place.position;
    let words = text.words(prompt);
    Some(
        words.into_iter().map(|(_, tokens)| tokens).find(|tokens| tokens.contains(&at)).unwrap_or(at..at + 1),
    )
}
