//! The right side of the window: a column where there is room, a drawer where there is not.

use app::features::settings::Settings;
use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use crate::support::window_harness::TestWindow;

const MODEL_FILE: &str = "Open a model file…";

fn test_window(size: [f32; 2]) -> TestWindow {
    TestWindow::opened(Harness::builder().with_size(size), Settings::default())
}

fn click_tab(window: &mut TestWindow, name: &str) {
    window.harness.get_by_role_and_label(Role::Tab, name).click();
    window.harness.run();
}

#[test]
fn a_tab_opens_the_column_and_closes_it_and_f_brings_everything_back() {
    let mut window = test_window([1440.0, 900.0]);
    window.harness.get_by_label(MODEL_FILE);
    click_tab(&mut window, "Models");
    assert!(window.harness.query_by_label(MODEL_FILE).is_none());
    click_tab(&mut window, "Concepts");
    assert!(!window.harness.state().state.shared.settings.window.right_folded);
    click_tab(&mut window, "Models");
    window.harness.get_by_label(MODEL_FILE);

    window.harness.ctx.memory_mut(|memory| {
        if let Some(id) = memory.focused() {
            memory.surrender_focus(id);
        }
    });
    for folded in [true, false] {
        window.harness.key_press(egui::Key::F);
        window.harness.run();
        assert_eq!(window.harness.query_by_label(MODEL_FILE).is_none(), folded);
    }
}

#[test]
fn a_narrow_window_has_a_drawer_that_is_closed_at_first() {
    let mut window = test_window([960.0, 600.0]);
    assert!(window.harness.query_by_label(MODEL_FILE).is_none());
    click_tab(&mut window, "Models");
    window.harness.get_by_label(MODEL_FILE);
    window.harness.get_by_label("Generate");
    click_tab(&mut window, "Models");
    assert!(window.harness.query_by_label(MODEL_FILE).is_none());
    assert!(
        !window.harness.state().state.shared.settings.window.right_folded,
        "the column is another matter"
    );
}
