//! The Guides tab: losses that steer the picture.

use app::features::settings::{Settings, Tab, WindowLayout};
use egui::accesskit::Role;
use egui_kittest::kittest::Queryable;
use engine::losses::{GradientPath, Loss, LossGuide};
use engine::recipe::Recipe;

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
