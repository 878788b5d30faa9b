//! The right side of the desk: a column where there is room, a drawer where there is not.

use app::settings::Settings;
use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use crate::support::window_harness::Desk;

const MODEL_FILE: &str = "Open a model file…";

fn desk(size: [f32; 2]) -> Desk {
    Desk::opened(Harness::builder().with_size(size), Settings::default())
}

fn click_tab(desk: &mut Desk, name: &str) {
    desk.harness.get_by_role_and_label(Role::Tab, name).click();
    desk.harness.run();
}

#[test]
fn a_tab_opens_the_column_and_closes_it_and_f_brings_everything_back() {
    let mut desk = desk([1440.0, 900.0]);
    desk.harness.get_by_label(MODEL_FILE);
    click_tab(&mut desk, "Models");
    assert!(desk.harness.query_by_label(MODEL_FILE).is_none());
    click_tab(&mut desk, "Concepts");
    assert!(!desk.harness.state().state.settings.window.right_folded);
    click_tab(&mut desk, "Models");
    desk.harness.get_by_label(MODEL_FILE);

    desk.harness.ctx.memory_mut(|memory| {
        if let Some(id) = memory.focused() {
            memory.surrender_focus(id);
        }
    });
    for folded in [true, false] {
        desk.harness.key_press(egui::Key::F);
        desk.harness.run();
        assert_eq!(desk.harness.query_by_label(MODEL_FILE).is_none(), folded);
    }
}

#[test]
fn a_narrow_window_has_a_drawer_that_is_closed_at_first() {
    let mut desk = desk([960.0, 600.0]);
    assert!(desk.harness.query_by_label(MODEL_FILE).is_none());
    click_tab(&mut desk, "Models");
    desk.harness.get_by_label(MODEL_FILE);
    desk.harness.get_by_label("Generate");
    click_tab(&mut desk, "Models");
    assert!(desk.harness.query_by_label(MODEL_FILE).is_none());
    assert!(!desk.harness.state().state.settings.window.right_folded, "the column is another matter");
}
