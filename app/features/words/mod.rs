//! What is done to single words: the token at hand, and the edits as they were before.

pub(crate) mod edit;
pub mod edit_terms;
pub(crate) mod handle;
pub(crate) mod list;
pub(crate) mod mix;
pub(crate) mod panel;
pub(crate) mod replacement;
pub(crate) mod save;
pub(crate) mod stages;

use engine::prompt::{EmbeddingEdit, Mix, TokenPlace, TokenSelector, token_selection};
use engine::recipe::Recipe;

/// The tab as it stands.
#[derive(Clone, Debug, Default)]
pub struct WordsState {
    /// The token that is looked at.
    pub chosen: Option<TokenSelector>,
    /// Where the edits of the recipe stand, in their order.
    pub standings: Vec<TokenStatus>,
    /// Edits that are to become a concept, until the engine has told what they are.
    pub saving: Option<Saving>,
    undone: Vec<EditHistory>,
    done: Vec<EditHistory>,
    /// What the hand is at, so that a drag is one step back.
    at_hand: Option<EditTarget>,
}

/// A concept that is to be saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Saving {
    pub edits: Vec<EmbeddingEdit>,
    /// The word that it is to have.
    pub token: String,
}

/// Where the word of an edit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    At(TokenRef),
    /// In `[a:b:0.5]`, its turn comes at another step than the one that is shown.
    Later,
    /// Not in the prompt, or in what is not read of it.
    Gone,
}

/// A token of the prompt as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRef {
    /// Of those that AND composes.
    pub part: usize,
    pub place: TokenPlace,
}

/// What can be taken back.
#[derive(Clone, Debug, PartialEq)]
struct EditHistory {
    edits: Vec<EmbeddingEdit>,
    mix: Mix,
}

/// The one thing that a change was about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum EditTarget {
    Edit(TokenSelector),
    Mix(usize),
    More,
}

/// So many steps back are kept.
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

    /// Keeps what was, if words were changed.
    pub(crate) fn note(&mut self, before: &Recipe, after: &Recipe) {
        let (was, is) = (EditHistory::of(before), EditHistory::of(after));
        if was == is {
            return;
        }
        let touched = touched(&was, &is);
        if touched == EditTarget::More || self.at_hand.as_ref() != Some(&touched) {
            self.done.push(was);
            let spare = self.done.len().saturating_sub(MAX_STEPS);
            self.done.drain(..spare);
        }
        self.undone.clear();
        self.at_hand = Some(touched);
    }

    /// Another recipe altogether has come; what was done to the last one is no step back from it.
    pub(crate) fn begin_anew(&mut self) {
        self.done.clear();
        self.undone.clear();
        self.at_hand = None;
    }

    /// Where the edited tokens stand, as far as they are there.
    pub fn stands(&self) -> impl Iterator<Item = TokenRef> {
        self.standings.iter().filter_map(|standing| match standing {
            TokenStatus::At(stand) => Some(*stand),
            TokenStatus::Later | TokenStatus::Gone => None,
        })
    }

    /// The hand lets go: the next change is a step of its own.
    pub(crate) fn end_edit(&mut self) {
        self.at_hand = None;
    }

    /// The recipe as it was a step before; as it was after it, if `again`.
    pub(crate) fn step_back(&mut self, recipe: &mut Recipe, again: bool) {
        let (from, to) = match again {
            false => (&mut self.done, &mut self.undone),
            true => (&mut self.undone, &mut self.done),
        };
        if let Some(was) = from.pop() {
            to.push(EditHistory::of(recipe));
            was.put_into(recipe);
        }
        self.at_hand = None;
    }

    /// Keeps what is remembered at its words, after the prompt was changed.
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
        self.at_hand = None;
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

/// A wish about single words of the prompt; their edits are the recipe's.
#[derive(Clone, Debug, PartialEq)]
pub enum WordsCommand {
    /// The token that is looked at, if any.
    Choose(Option<TokenSelector>),
    /// A slider or a field is let go: what comes next is undone by itself.
    EndEdit,
    /// What edits put in the place of their words, as a concept.
    Save {
        edits: Vec<EmbeddingEdit>,
        token: String,
    },
    Undo,
    Redo,
}
