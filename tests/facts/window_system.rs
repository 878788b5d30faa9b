//! The two window systems of Linux, as the window shows them.

use app::features::command::Command;
use app::features::drop::DropCommand;
use app::features::effect::{Effect, Task};
use app::features::settings::{Settings, WindowSystem};
use egui_kittest::kittest::Queryable;

use crate::support::window_harness::{TestWindow, window_builder};

#[test]
fn where_no_file_can_be_dropped_the_status_bar_says_so_and_opens_files() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    assert!(window.harness.query_by_label_contains("cannot be dropped").is_none());
    window.harness.state_mut().state.shared.takes_drops = false;
    window.harness.step();
    window.harness.get_by_label_contains("cannot be dropped");
    window.harness.get_by_label("Open files…");
    let effects = window.harness.state_mut().state.handle(Command::Drop(DropCommand::Choose));
    assert!(matches!(effects[..], [Effect::Task(Task::PickFiles)]), "{effects:?}");
}

#[test]
fn the_window_system_is_chosen_in_the_menu_of_the_theme_and_kept() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    let theme =
        if window.harness.ctx.global_style().visuals.dark_mode { "Light theme" } else { "Dark theme" };
    for system in [WindowSystem::Wayland, WindowSystem::X11, WindowSystem::Automatic] {
        window.harness.get_by_label(theme).click_secondary();
        window.harness.run();
        window.harness.get_by_label(system.label()).click();
        window.harness.run();
        let settings = window.harness.state().state.shared.settings_to_save();
        let json = serde_json::to_string(&settings).expect("settings are written");
        let read: Settings = serde_json::from_str(&json).expect("settings are read");
        assert_eq!(read.window_system, system);
    }
}
