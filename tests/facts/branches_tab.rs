//! Branches of runs, in the window.

use std::sync::Arc;

use app::features::branches::BranchCommand;
use app::features::canvas::ViewCommand;
use app::features::command::Command;
use app::features::effect::Effect;
use app::features::film::FilmCommand;
use app::features::generate::run::RunPhase;
use app::features::settings::{Settings, Tab, WindowLayout};
use app::features::state::AppState;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use engine::diffusion::StepView;
use engine::recipe::{Guidance, Recipe};
use engine::session::{JobEvent, JobId, Request};

use crate::support::app_state::{finished, generate, opened, receive, started, step};
use crate::support::window_harness::TestWindow;

/// A finished run of 20 steps.
fn run(state: &mut AppState) -> JobId {
    let (id, _, _) = generate(state);
    started(state, id);
    (0..20).for_each(|at| drop(step(state, id, at)));
    finished(state, id);
    id
}

fn branch(state: &mut AppState, command: BranchCommand) -> Vec<Effect> {
    state.handle(Command::Branch(command))
}

fn edit(state: &mut AppState, change: impl Fn(&mut Recipe)) {
    let mut recipe = state.shared.recipe.clone();
    change(&mut recipe);
    state.handle(Command::Edit(Box::new(recipe)));
}

/// What was asked of the engine: the recipe, and the job whose steps it resumes.
fn asked(effects: &[Effect]) -> Option<(Recipe, Option<JobId>)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(Request::Generate { recipe, recorded_by, .. }) => {
            Some((Recipe::clone(recipe), *recorded_by))
        }
        _ => None,
    })
}

fn titles(state: &AppState) -> Vec<(String, usize)> {
    state.runs.tree().iter().map(|row| (row.title(), row.depth)).collect()
}

#[test]
fn a_branch_starts_at_the_selected_step_and_its_recipe_says_so() {
    let mut state = opened();
    edit(&mut state, |recipe| recipe.prompt = "a fox".into());
    let first = run(&mut state);
    let from = state.runs.current().expect("a run").recipe.clone();
    state.handle(Command::Film(FilmCommand::Pin(Some(7))));
    branch(&mut state, BranchCommand::Leave(None));
    assert_eq!(state.runs.branch_from, Some(7));
    edit(&mut state, |recipe| recipe.prompt = "an owl".into());
    let (recipe, recorded_by) = asked(&state.handle(Command::Generate)).expect("a request");
    let left = recipe.branch.as_ref().expect("a branch");
    assert_eq!((&*left.from, left.step, recorded_by), (&from, 7, Some(first)));
    assert_eq!((recipe.prompt.as_str(), recipe.seed), ("an owl", from.seed));
    assert_eq!(state.runs.branch_from, None, "one branch at a time");
    assert_eq!(titles(&state), [("a fox".into(), 0), ("“an owl”".into(), 1)]);

    let (next, _) = asked(&{
        let id = state.runs.current().expect("a run").job.id;
        started(&mut state, id);
        finished(&mut state, id);
        state.handle(Command::Generate)
    })
    .expect("a request");
    assert_eq!(next.branch, None, "the next run begins anew");
}

#[test]
fn a_branch_takes_size_number_start_and_seed_from_its_run() {
    let mut state = opened();
    run(&mut state);
    edit(&mut state, |recipe| {
        (recipe.width, recipe.batch, recipe.seed) = (256, 3, 99);
        recipe.guidance = Guidance { cfg_scale: 3.0 };
    });
    branch(&mut state, BranchCommand::Leave(Some(4)));
    let (recipe, _) = asked(&state.handle(Command::Generate)).expect("a request");
    let from = &recipe.branch.as_ref().expect("a branch").from;
    assert_eq!((recipe.width, recipe.batch, recipe.seed), (from.width, from.batch, from.seed));
    assert!((recipe.guidance.cfg_scale, recipe.check()) == (3.0, Ok(())));
}

#[test]
fn only_a_step_that_was_made_can_be_branched_from_and_a_branch_can_be_cancelled() {
    let mut state = opened();
    branch(&mut state, BranchCommand::Leave(None));
    assert_eq!(state.runs.branch_from, None, "there is no run");
    run(&mut state);
    branch(&mut state, BranchCommand::Leave(Some(25)));
    assert_eq!(state.runs.branch_from, None);
    branch(&mut state, BranchCommand::Leave(Some(3)));
    branch(&mut state, BranchCommand::Stay);
    let (recipe, recorded_by) = asked(&state.handle(Command::Generate)).expect("a request");
    assert_eq!((recipe.branch, recorded_by), (None, None));
}

#[test]
fn the_tree_lists_branches_below_the_runs_they_left() {
    let mut state = opened();
    edit(&mut state, |recipe| recipe.prompt = "a fox".into());
    let first = run(&mut state);
    for cfg_scale in [3.0, 12.0] {
        branch(&mut state, BranchCommand::Show(first));
        branch(&mut state, BranchCommand::Leave(Some(5)));
        edit(&mut state, |recipe| recipe.guidance = Guidance { cfg_scale });
        run(&mut state);
    }
    branch(&mut state, BranchCommand::Leave(Some(9)));
    edit(&mut state, |recipe| recipe.prompt = "an owl".into());
    run(&mut state);
    edit(&mut state, |recipe| recipe.prompt = "a whale".into());
    run(&mut state);
    let expected = [("a fox", 0), ("guidance 3", 1), ("guidance 12", 1), ("“an owl”", 2), ("a whale", 0)];
    assert_eq!(titles(&state), expected.map(|(title, depth)| (title.to_owned(), depth)));

    branch(&mut state, BranchCommand::Name(first, "The good one".into()));
    branch(&mut state, BranchCommand::Forget(first));
    let named = titles(&state);
    assert_eq!(named.len(), 4);
    assert!(named.iter().take(2).all(|(_, depth)| *depth == 0), "branches outlive what they left: {named:?}");
}

#[test]
fn a_run_that_is_shown_again_has_its_film_and_its_name() {
    let mut state = opened();
    let first = run(&mut state);
    branch(&mut state, BranchCommand::Name(first, "First".into()));
    let second = run(&mut state);
    branch(&mut state, BranchCommand::Show(first));
    let shown = state.runs.current().expect("a run");
    assert_eq!((shown.job.id, shown.frames.len(), shown.name.as_str()), (first, 20, "First"));
    assert!(state.runs.get(second).is_some());
    branch(&mut state, BranchCommand::Forget(first));
    assert_eq!(state.runs.current().map(|run| run.job.id), Some(second));
    branch(&mut state, BranchCommand::Forget(second));
    assert!(state.runs.current().is_none() && state.shown().is_none());
}

#[test]
fn two_runs_are_compared_behind_a_divider() {
    let mut state = opened();
    let first = run(&mut state);
    branch(&mut state, BranchCommand::Leave(Some(5)));
    edit(&mut state, |recipe| recipe.prompt = "an owl".into());
    let second = run(&mut state);
    branch(&mut state, BranchCommand::Compare(second));
    assert!(state.compared_of(StepView::Predicted).is_none(), "a run is not compared with itself");
    branch(&mut state, BranchCommand::Compare(first));
    let theirs = state.runs.get(first).expect("it is kept").pictures.clone();
    let behind = state.compared_of(StepView::Predicted).expect("the other run's end");
    assert!(Arc::ptr_eq(&behind.pictures[0], &theirs[0]));
    assert_eq!(state.shown().and_then(|shown| shown.step), Some(19));
    state.handle(Command::View(ViewCommand::Compare(Some(3))));
    let own = state.runs.current().and_then(|run| run.pictures_of(3, StepView::Predicted)).expect("a step");
    let behind = state.compared_of(StepView::Predicted).expect("a step of this run");
    assert!(Arc::ptr_eq(&behind.pictures[0], &own.0[0]));
    state.handle(Command::Film(FilmCommand::Pin(None)));
    assert!(state.compared_of(StepView::Predicted).is_none());
}

#[test]
fn a_run_continues_in_the_background_and_a_queued_branch_waits_for_it() {
    let mut state = opened();
    let first = run(&mut state);
    let (second, _, _) = generate(&mut state);
    started(&mut state, second);
    branch(&mut state, BranchCommand::Show(first));
    assert_eq!(state.runs.live().map(|run| run.job.id), Some(second));
    branch(&mut state, BranchCommand::Leave(Some(2)));
    edit(&mut state, |recipe| recipe.prompt = "an owl".into());
    assert!(asked(&state.handle(Command::Generate)).is_none());
    branch(&mut state, BranchCommand::Forget(second));
    assert!(state.runs.get(second).is_some(), "a run that goes on is not forgotten");
    step(&mut state, second, 0);
    let (recipe, recorded_by) = asked(&finished(&mut state, second)).expect("the queued one starts");
    assert_eq!((recipe.prompt.as_str(), recorded_by), ("an owl", Some(first)));
    assert_eq!(state.runs.get(second).map(|run| run.phase), Some(RunPhase::Finished));
}

#[test]
fn a_stopped_run_resumes_as_the_same_run() {
    let mut state = opened();
    let (id, _, recipe) = generate(&mut state);
    started(&mut state, id);
    (0..6).for_each(|at| drop(step(&mut state, id, at)));
    assert!(branch(&mut state, BranchCommand::GoOn).is_empty(), "it is not stopped yet");
    state.handle(Command::Stop);
    receive(&mut state, id, JobEvent::Stopped);
    let (again, recorded_by) = asked(&branch(&mut state, BranchCommand::GoOn)).expect("a request");
    assert_eq!((again, recorded_by), (recipe, Some(id)));
    assert_eq!(titles(&state).len(), 1, "it is one run");
}

#[test]
fn keys_and_buttons_branch_in_the_window() {
    let window = WindowLayout { tab: Tab::Branches, ..WindowLayout::default() };
    let settings = Settings { window, ..Settings::default() };
    let mut window = TestWindow::opened(Harness::builder().with_size([1440.0, 900.0]), settings);
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, 20);
    window.finish(id, &recipe);
    window.harness.get_by_label("Branch").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.runs.branch_from, Some(19));
    window.harness.get_by_label("Do not branch").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.runs.branch_from, None);
    window.harness.get_by_label("Branch").click();
    window.harness.run();
    window.harness.get_by_label("Branch").click();
    let (branch, _) = window.next_job();
    window.run_steps(branch, &recipe, 4);
    window.harness.run();
    window.harness.get_by_label_contains("Show run: No prompt").click();
    window.harness.run();
    assert_eq!(window.harness.state().state.runs.current().map(|run| run.job.id), Some(id));
}
