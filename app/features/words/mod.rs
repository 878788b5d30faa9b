//! Editing single words: the selected token, and the undo history.

pub(crate) mod edit;
mod edit_terms;
mod handle;
pub(crate) mod list;
pub(crate) mod mix;
pub(crate) mod panel;
pub(crate) mod replacement;
pub(crate) mod save;
pub(crate) mod stages;

use engine::prompt::{EmbeddingEdit, Mix, TokenPlace, TokenSelector, token_selection};
use engine::recipe::Recipe;

/// The state of the tab.
#[derive(Clone, Debug, Default)]
pub struct WordsState {
    /// The selected token.
    pub chosen: Option<TokenSelector>,
    /// The tokens of the recipe's edits, in their order.
    pub standings: Vec<TokenStatus>,
    /// Edits to save as a concept, until the engine has computed them.
    pub saving: Option<Saving>,
    undone: Vec<EditHistory>,
    done: Vec<EditHistory>,
    /// What is being edited, so that a drag is one undo step.
    current_edit: Option<EditTarget>,
}

/// A concept to save.
#[derive(Clone, Debug, PartialEq)]
pub struct Saving {
    pub edits: Vec<EmbeddingEdit>,
    /// Its token.
    pub token: String,
}

/// The status of an edit's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    At(TokenRef),
    /// In `[a:b:0.5]`: it applies at another step than the shown one.
    Later,
    /// Not in the prompt, or in its truncated part.
    Gone,
}

/// A token of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRef {
    /// The part composed by AND.
    pub part: usize,
    pub place: TokenPlace,
}

/// What undo restores.
#[derive(Clone, Debug, PartialEq)]
struct EditHistory {
    edits: Vec<EmbeddingEdit>,
    mix: Mix,
}

/// What a change affected.
#[derive(Clone, Debug, PartialEq, Eq)]
enum EditTarget {
    Edit(TokenSelector),
    Mix(usize),
    More,
}

/// The most undo steps kept.
const MAX_STEPS: usize = 100;

impl EditHistory {
    fn of(recipe: &Recipe) -> Self {
        Self { edits: recipe.edits.clone(), mix: recipe.mix.clone() }
    }

    fn put_into(self, recipe: &mut Recipe) {
        (recipe.edits, recipe.mix) = (self.edits, self.mix);
    }
}

impl WordsState {
    pub fn can_undo(&self) -> bool {
        !self.done.is_empty()
    }

    pub fn can_redo(&self) -> bool {
        !self.undone.is_empty()
    }

    /// Records an undo step if words were changed.
    pub(crate) fn note(&mut self, before: &Recipe, after: &Recipe) {
        let (was, is) = (EditHistory::of(before), EditHistory::of(after));
        if was == is {
            return;
        }
        let touched = touched(&was, &is);
        if touched == EditTarget::More || self.current_edit.as_ref() != Some(&touched) {
            self.done.push(was);
            let spare = self.done.len().saturating_sub(MAX_STEPS);
            self.done.drain(..spare);
        }
        self.undone.clear();
        self.current_edit = Some(touched);
    }

    /// Clears the history, since another recipe was loaded.
    pub(crate) fn begin_anew(&mut self) {
        self.done.clear();
        self.undone.clear();
        self.current_edit = None;
    }

    /// The edited tokens that are in the prompt.
    pub fn stands(&self) -> impl Iterator<Item = TokenRef> {
        self.standings.iter().filter_map(|standing| match standing {
            TokenStatus::At(stand) => Some(*stand),
            TokenStatus::Later | TokenStatus::Gone => None,
        })
    }

    /// Ends an edit: the next change is a separate undo step.
    pub(crate) fn end_edit(&mut self) {
        self.current_edit = None;
    }

    /// Undoes a step; redoes it if `again`.
    pub(crate) fn step_back(&mut self, recipe: &mut Recipe, again: bool) {
        let (from, to) = match again {
            false => (&mut self.done, &mut self.undone),
            true => (&mut self.undone, &mut self.done),
        };
        if let Some(was) = from.pop() {
            to.push(EditHistory::of(recipe));
            was.put_into(recipe);
        }
        self.current_edit = None;
    }

    /// Keeps the history's edits at their words after the prompt changed.
    pub(crate) fn follow(&mut self, before: &str, after: &str) {
        let kept = self.done.iter_mut().chain(&mut self.undone).flat_map(|step| &mut step.edits);
        let anchors: Vec<&mut TokenSelector> =
            kept.map(|edit| &mut edit.selector).chain(&mut self.chosen).collect();
        let mut moved: Vec<(TokenSelector, EmbeddingEdit)> = Vec::new();
        for anchor in &anchors {
            if !moved.iter().any(|(old, _)| old == *anchor) {
                moved.push(((*anchor).clone(), EmbeddingEdit::new((*anchor).clone())));
            }
        }
        self.current_edit = None;
        let (old, mut new): (Vec<_>, Vec<_>) = moved.into_iter().unzip();
        token_selection::follow(&mut new, before, after);
        for anchor in anchors {
            if let Some(index) = old.iter().position(|old| old == anchor) {
                anchor.clone_from(&new[index].selector);
            }
        }
    }
}

fn touched(was: &EditHistory, is: &EditHistory) -> EditTarget {
    let at_of = |edits: &[EmbeddingEdit]| edits.iter().map(|edit| edit.selector.clone()).collect::<Vec<_>>();
    let other = |edit: &&EmbeddingEdit, edits: &[EmbeddingEdit]| !edits.contains(edit);
    let gone = was.edits.iter().filter(|edit| other(edit, &is.edits)).cloned().collect::<Vec<_>>();
    let come = is.edits.iter().filter(|edit| other(edit, &was.edits)).cloned().collect::<Vec<_>>();
    let mut edits = at_of(&gone);
    edits.extend(at_of(&come));
    edits.dedup();
    let same_mixes = was.mix.prompts.len() == is.mix.prompts.len() && was.mix.method == is.mix.method;
    let pairs = was.mix.prompts.iter().zip(&is.mix.prompts).enumerate();
    let mixed: Vec<usize> = pairs.filter(|(_, (was, is))| was != is).map(|(index, _)| index).collect();
    match (&edits[..], &mixed[..]) {
        ([at], []) if same_mixes => EditTarget::Edit(at.clone()),
        ([], [index]) if same_mixes => EditTarget::Mix(*index),
        _ => EditTarget::More,
    }
}

/// A request about single words of the prompt. Their edits are in the recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum WordsCommand {
    /// Selects a token, or none.
    Choose(Option<TokenSelector>),
    /// Ends a drag or an edit in a field, so that the next change is undone separately.
    EndEdit,
    /// Saves the embeddings that edits produce as a concept.
    Save {
        edits: Vec<EmbeddingEdit>,
        token: String,
    },
    Undo,
    Redo,
}
