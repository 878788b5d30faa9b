//! The current run beside the same one with or without guides, if both were made.

use egui::Ui;
use engine::losses::TrainingFree;
use engine::recipe::{Branch, Recipe};

use crate::features::branches::{BranchCommand, Runs};
use crate::features::canvas::ViewCommand;
use crate::features::command::Command;
use crate::features::generate::run::Run;
use crate::features::state::AppState;
use crate::ui::theme;
use crate::ui::widgets::outlined_button_ui;

/// Puts a divider between the two pictures, and takes it away.
pub(super) fn before_after_ui(ui: &mut Ui, state: &AppState, commands: &mut Vec<Command>) {
    let Some((current, other)) = state.runs.current().zip(counterpart(&state.runs)) else { return };
    let is_compared = state.film.compared.is_some() && state.film.beside == Some(other.job.id);
    let text = match (is_compared, is_guided(&current.recipe)) {
        (true, _) => "Stop comparing guides",
        (false, true) => "Compare without guides",
        (false, false) => "Compare with guides",
    };
    ui.add_space(theme::GAP_S);
    if outlined_button_ui(ui, text, false).clicked() {
        commands.push(match is_compared {
            true => Command::View(ViewCommand::Compare(None)),
            false => Command::Branch(BranchCommand::Compare(other.job.id)),
        });
    }
}

/// The newest run that differs from the current one in its guides alone, where one of the two has none.
fn counterpart(runs: &Runs) -> Option<&Run> {
    let current = &runs.current()?.recipe;
    let without = without_guides(current);
    let is_counterpart = |run: &&Run| {
        is_guided(&run.recipe) != is_guided(current)
            && !run.frames.is_empty()
            && without_guides(&run.recipe) == without
    };
    runs.iter().filter(is_counterpart).last()
}

/// Whether a guide acts in some of its steps.
fn is_guided(recipe: &Recipe) -> bool {
    let has_guides = |recipe: &Recipe| recipe.guides.iter().any(|guide| !guide.off);
    has_guides(recipe) || recipe.ancestors().any(has_guides)
}

/// The recipe without guides. Where a branch began to be guided, it is then the run that it branches from.
fn without_guides(recipe: &Recipe) -> Recipe {
    let without =
        Recipe { guides: Vec::new(), training_free: TrainingFree::default(), branch: None, ..recipe.clone() };
    match &recipe.branch {
        Some(Branch { from, step, paint }) => {
            without.branching_painted(&without_guides(from), *step, paint.clone())
        }
        None => without,
    }
}
