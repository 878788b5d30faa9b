//! The Guides tab: losses that steer the picture.

use std::sync::Arc;

use app::features::settings::{Settings, Tab, WindowLayout};
use egui::accesskit::Role;
use egui_kittest::kittest::Queryable;
use engine::diffusion::StepView;
use engine::images::Pixels;
use engine::losses::{GradientPath, Loss, LossGuide};
use engine::pipeline::{Frame, FrameLosses};
use engine::recipe::Recipe;
use engine::session::JobEvent;

use crate::support::window_harness::{TestWindow, window_builder};

fn opened(recipe: Recipe) -> TestWindow {
    let window = WindowLayout { tab: Tab::Guides, ..WindowLayout::default() };
    TestWindow::opened(window_builder(), Settings { window, last_recipe: recipe, ..Settings::default() })
}

fn guides(window: &TestWindow) -> Vec<LossGuide> {
    window.harness.state().state.shared.recipe.guides.clone()
}

#[test]
fn a_guide_is_added_changed_sent_to_the_engine_and_removed() {
    let mut window = opened(Recipe::default());
    window.harness.get_by_label("Add a guide").click();
    window.harness.run();
    window.harness.get_by_label("Symmetry").click();
    window.harness.run();
    let [guide] = &guides(&window)[..] else { panic!("one guide") };
    assert!(matches!(guide.loss, Loss::Symmetry(_)), "{guide}");
    assert_eq!(*guide, LossGuide::new(guide.loss.clone()), "with the usual settings");

    window.harness.get_by_label("Gradient through UNet").click();
    window.harness.run();
    window.harness.get_by_label("Symmetry Rotation").click();
    window.harness.run();
    window.harness.get_by_label("Generate").click();
    let (_, recipe) = window.next_job();
    let [guide] = &recipe.guides[..] else { panic!("one guide") };
    assert_eq!(guide.through, GradientPath::Unet);
    assert!(guide.to_string().starts_with("symmetry:rotation"), "{guide}");

    window.harness.get_by_label("Remove this guide").click();
    window.harness.run();
    assert!(guides(&window).is_empty());
}

#[test]
fn every_loss_has_its_controls() {
    for loss in Loss::examples() {
        let recipe = Recipe { guides: vec![LossGuide::new(loss.clone())], ..Recipe::default() };
        let window = opened(recipe);
        window.harness.get_by_label(loss.label());
        let sliders = window.harness.get_all_by_role(Role::Slider).count();
        // Beside steps, guidance and pictures: scale and every, and a target where there is one.
        let has_target =
            LossGuide::new(loss.clone()).to_string().split(',').next().is_some_and(|text| text.contains('='));
        assert_eq!(sliders, 3 + 2 + usize::from(has_target), "{}", loss.label());
    }
}

fn guide(text: &str) -> LossGuide {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_guide_that_is_switched_off_keeps_its_settings_and_stays_in_the_recipe() {
    let before = guide("channel:blue=0.7,scale=123,every=3");
    let mut window = opened(Recipe { guides: vec![before.clone()], ..Recipe::default() });
    window.harness.get_by_role_and_label(Role::CheckBox, before.loss.label()).click();
    window.harness.run();
    let off = LossGuide { off: true, ..before.clone() };
    assert_eq!(guides(&window), std::slice::from_ref(&off));
    assert!(window.harness.query_by_role_and_label(Role::Slider, "Scale").is_none(), "nothing to set");
    window.harness.get_by_label("Generate").click();
    assert_eq!(window.next_job().1.guides, [off]);
    window.harness.get_by_role_and_label(Role::CheckBox, before.loss.label()).click();
    window.harness.run();
    assert_eq!(guides(&window), [before]);
}

#[test]
fn guides_move_up_and_down() {
    let [first, second] = ["tile", "smoothness"].map(guide);
    let mut window = opened(Recipe { guides: vec![first.clone(), second.clone()], ..Recipe::default() });
    window.harness.get_by_label("Move down").click();
    window.harness.run();
    assert_eq!(guides(&window), [second.clone(), first.clone()]);
    window.harness.get_by_label("Move up").click();
    window.harness.run();
    assert_eq!(guides(&window), [first, second]);
}

#[test]
fn a_preset_replaces_the_guides() {
    let mut window = opened(Recipe { guides: vec![guide("tile")], ..Recipe::default() });
    window.harness.get_by_label("Presets").click();
    window.harness.run();
    window.harness.get_by_label("Blue, as in the lesson").click();
    window.harness.run();
    assert_eq!(guides(&window), [guide("channel:blue=0.9,scale=200,every=5,through=decoder")]);
}

#[test]
fn the_losses_of_a_run_are_plotted_and_its_gradient_lights_the_picture() {
    let recipe = Recipe {
        guides: vec![guide("channel:blue=0.9,every=2"), guide("tile,every=4")],
        ..Recipe::default()
    };
    let mut window = opened(recipe);
    assert!(window.harness.query_by_label("Gradient on the picture").is_none(), "there is no gradient yet");
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    let sigmas = (0..=recipe.steps).rev().map(|sigma| sigma as f32).collect();
    window.send_job_event(id, JobEvent::Started { sigmas, start_step: 0 });
    let white = Arc::new(Pixels::new(2, 2, vec![200; 12]));
    // The left half is moved, the right is not.
    let strength = Arc::new(Pixels::new(2, 2, [[255; 3], [0; 3], [255; 3], [0; 3]].concat()));
    for step in 0..4 {
        let losses = (step % 2 == 0).then(|| FrameLosses {
            values: vec![Some(vec![0.5 - 0.1 * step as f32]), (step == 0).then(|| vec![0.25])],
            strength: vec![Arc::clone(&strength)],
        });
        let frame = Frame { step, predicted: vec![Arc::clone(&white)], losses, ..Frame::default() };
        window.send_job_event(id, JobEvent::Step(frame));
    }
    window.harness.run();
    let [blue, tile] = &recipe.guides[..] else { panic!("two guides") };
    window.harness.get_by_label(&format!("Loss of {}: 0.5000, then 0.3000", blue.loss.label()));
    window.harness.get_by_label(&format!("Loss of {}: 0.2500, then 0.2500", tile.loss.label()));

    let on_canvas = |window: &TestWindow| {
        let state = &window.harness.state().state;
        state.gradient_on_canvas(StepView::Predicted, 0).map(|lit| lit.rgb.clone())
    };
    assert_eq!(on_canvas(&window), None);
    window.harness.get_by_role_and_label(Role::CheckBox, "Gradient on the picture").click();
    window.harness.run();
    // The fourth step is not guided: it has the light of the third. Grey has the luma of its channels.
    let lit = on_canvas(&window).expect("a light");
    assert_eq!((lit[0], lit[3]), (200, 60), "all of the light, and 0.3 of it");
    window.harness.get_by_role_and_label(Role::CheckBox, "Gradient on the picture").click();
    window.harness.run();
    assert_eq!(on_canvas(&window), None);
}

/// Makes the picture of the recipe in the window.
fn made(window: &mut TestWindow) {
    window.harness.get_by_label("Generate").click();
    let (id, recipe) = window.next_job();
    window.run_steps(id, &recipe, recipe.steps as usize);
    window.finish(id, &recipe);
    window.harness.run();
}

#[test]
fn a_guided_run_is_compared_with_the_same_run_without_guides_behind_the_divider() {
    let layout = WindowLayout { tab: Tab::Guides, ..WindowLayout::default() };
    let last_recipe = Recipe { prompt: "a fox".into(), ..Recipe::default() };
    let settings = Settings { window: layout, seed_locked: true, last_recipe, ..Settings::default() };
    let mut window = TestWindow::opened(window_builder(), settings);
    made(&mut window);
    let query = |window: &TestWindow, text: &str| window.harness.query_by_label(text).is_some();
    assert!(!query(&window, "Compare without guides"), "there is one run");

    window.harness.state_mut().state.shared.recipe.guides = vec![guide("tile")];
    made(&mut window);
    window.harness.get_by_label("Compare without guides").click();
    window.harness.run();
    let film = |window: &TestWindow| window.harness.state().state.film.clone();
    let beside = film(&window).beside.expect("a run behind the divider");
    let runs = &window.harness.state().state.runs;
    assert!(runs.get(beside).is_some_and(|run| run.recipe.guides.is_empty()));
    window.harness.get_by_label("Divider");

    window.harness.get_by_label("Stop comparing guides").click();
    window.harness.run();
    assert_eq!((film(&window).compared, film(&window).beside), (None, None));

    // One with another prompt differs in more than its guides.
    window.harness.state_mut().state.shared.recipe.prompt = "a whale".into();
    made(&mut window);
    assert!(!query(&window, "Compare without guides"));
    // Without guides, the guided one is the other.
    window.harness.state_mut().state.shared.recipe.guides.clear();
    made(&mut window);
    assert!(query(&window, "Compare with guides"));
}
