//! How [`AppState`] keeps the tokenized prompts and the edits of their words.

use std::cell::OnceCell;
use std::sync::Arc;

use engine::prompt::{PromptTokenizer, Token, TokenSelector, Tokenized, token_selection};
use engine::recipe::Recipe;
use engine::session::InspectResult;

use crate::features::effect::{Effect, Task};
use crate::features::errors::ErrorSlot;
use crate::features::prompt::Prompts;
use crate::features::prompt::read_prompt::ReadPrompt;
use crate::features::state::AppState;
use crate::features::words::{Saving, TokenRef, TokenStatus, WordsCommand};

impl AppState {
    pub(crate) fn edit(&mut self, mut recipe: Recipe) {
        let before = std::mem::take(&mut self.shared.recipe);
        let is_other_prompt = recipe.prompt != before.prompt;
        let is_typed = || Recipe { prompt: before.prompt.clone(), ..recipe.clone() } == before;
        if is_other_prompt && !is_typed() {
            self.words.begin_anew();
        } else if is_other_prompt {
            token_selection::follow(&mut recipe.edits, &before.prompt, &recipe.prompt);
            self.words.follow(&before.prompt, &recipe.prompt);
        } else {
            self.words.note(&before, &recipe);
        }
        let is_read_otherwise = (recipe.text, recipe.steps) != (before.text, before.steps);
        let has_new_edits = recipe.edits != before.edits;
        self.shared.recipe = recipe;
        if is_read_otherwise || is_other_prompt {
            self.prompts.prompt = self.read_prompt();
        }
        if is_read_otherwise || self.shared.recipe.negative_prompt != before.negative_prompt {
            self.prompts.negative_prompt = self.read_negative();
        }
        if is_read_otherwise || has_new_edits || is_other_prompt {
            self.find_edits();
        }
    }

    pub(crate) fn read_prompts(&mut self) {
        self.prompts.prompt = self.read_prompt();
        self.prompts.negative_prompt = self.read_negative();
        self.find_edits();
    }

    /// Where the prompt changes during a run, the shown step decides.
    pub(crate) fn follow_film(&mut self) {
        let step = self.step_read();
        if self.prompts.prompt.as_ref().is_some_and(|read| read.changes && !read.steps.contains(&step)) {
            self.prompts.prompt = self.read_prompt();
            self.find_edits();
        }
    }

    /// The step that the prompt is read for: the shown step, if its run has this prompt.
    pub(crate) fn step_read(&self) -> usize {
        let has_prompt = |recipe: &Recipe| {
            (&recipe.prompt, recipe.text, recipe.steps)
                == (&self.shared.recipe.prompt, self.shared.recipe.text, self.shared.recipe.steps)
        };
        let run = self.runs.current().filter(|run| has_prompt(&run.recipe));
        run.and_then(|_| self.film.looked_at(&self.runs)).unwrap_or(0)
    }

    pub(crate) fn read_prompt(&self) -> Option<Arc<ReadPrompt>> {
        Some(Arc::new(ReadPrompt::new(
            self.prompts.tokenizer.as_ref()?,
            &self.shared.recipe,
            self.step_read(),
        )))
    }

    pub(crate) fn read_negative(&self) -> Option<Arc<ReadPrompt>> {
        Some(Arc::new(ReadPrompt::negative(self.prompts.tokenizer.as_ref()?, &self.shared.recipe)))
    }

    pub(crate) fn find_edits(&mut self) {
        let Recipe { prompt, text, steps, .. } = &self.shared.recipe;
        // Tokenized at most once, however many words are missing.
        let whole = OnceCell::new();
        let is_read_later = |words: &PromptTokenizer, at: &TokenSelector| {
            // Only a bracket can delay a word to a later step, as in `[a:b:0.5]`.
            let read = || words.read(prompt, text, *steps as usize);
            prompt.contains('[')
                && whole
                    .get_or_init(read)
                    .texts()
                    .any(|text| token_selection::find(prompt, text, at).is_some())
        };
        let standing = |at: &TokenSelector| match (self.prompts.stand_of(at), &self.prompts.tokenizer) {
            (Some(stand), _) => TokenStatus::At(stand),
            (None, Some(words)) if !is_read_later(words, at) => TokenStatus::Gone,
            (None, _) => TokenStatus::Later,
        };
        self.words.standings = self.shared.recipe.edits.iter().map(|edit| standing(&edit.selector)).collect();
    }

    pub(crate) fn handle_words(&mut self, command: WordsCommand) {
        match command {
            WordsCommand::Choose(anchor) => self.words.chosen = anchor,
            WordsCommand::EndEdit => self.words.end_edit(),
            WordsCommand::Save { edits, token } => {
                self.shared.errors.clear(ErrorSlot::Words);
                self.words.saving = Some(Saving { edits, token });
            }
            WordsCommand::Undo => self.step_back(false),
            WordsCommand::Redo => self.step_back(true),
        }
    }

    pub(crate) fn step_back(&mut self, again: bool) {
        self.words.step_back(&mut self.shared.recipe, again);
        self.find_edits();
    }

    /// Handles the vectors of a concept that is being saved.
    pub(crate) fn receive_edited(&mut self, seen: Result<InspectResult, String>) -> Vec<Effect> {
        let Some(Saving { token, .. }) = self.words.saving.take() else { return Vec::new() };
        match seen {
            Ok(InspectResult::EditedVectors(vectors)) => {
                vec![Effect::Task(Task::SaveConcept { token, vectors })]
            }
            Ok(_) => Vec::new(),
            Err(text) => {
                self.shared.errors.set(ErrorSlot::Words, text);
                Vec::new()
            }
        }
    }
}

impl Prompts {
    /// The place of a selected token in the prompt.
    pub fn stand_of(&self, at: &TokenSelector) -> Option<TokenRef> {
        let read = self.prompt.as_ref()?;
        let mut parts = read.parts.iter().enumerate();
        parts.find_map(|(part, (_, text))| {
            token_selection::find(&read.prompt, text, at).map(|place| TokenRef { part, place })
        })
    }

    /// The token at a place.
    pub fn token_at(&self, stand: TokenRef) -> Option<&Token> {
        self.text_of(stand)?.at(stand.place)
    }

    /// The selector of the token at a place.
    pub fn selector_at(&self, stand: TokenRef) -> Option<TokenSelector> {
        token_selection::selector_at(&self.prompt.as_ref()?.prompt, self.text_of(stand)?, stand.place)
    }

    pub(crate) fn text_of(&self, stand: TokenRef) -> Option<&Tokenized> {
        self.prompt.as_ref()?.parts.get(stand.part).map(|(_, text)| text)
    }
}
