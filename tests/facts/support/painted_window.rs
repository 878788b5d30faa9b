//! A window that is painted by a graphics adapter, and snapshots of it.

use app::app::TidepoolApp;
use app::settings::{Settings, ThemeChoice};
use egui_kittest::{Harness, HarnessBuilder, SnapshotOptions};
use engine::recipe::Recipe;

use super::window_harness::Desk;

/// A window that can be painted, if this machine can paint.
pub fn easel(size: [f32; 2], scale: f32, theme: egui::Theme) -> Option<HarnessBuilder<TidepoolApp>> {
    if engine::device::adapters().is_empty() {
        return None;
    }
    let builder = Harness::builder().with_size(size).with_pixels_per_point(scale);
    Some(builder.with_theme(theme).with_render_cursor(false).wgpu())
}

pub fn snapshot(desk: &mut Desk, name: &str) {
    // Other adapters round otherwise along edges, and the memory in the status bar is never the same.
    let options = SnapshotOptions::new().output_path("tests/snapshots").threshold(1.5).max_failed_pixels(400);
    desk.harness.run();
    desk.harness.snapshot_options(name, &options);
}

pub fn settings(theme: ThemeChoice, recipe: Recipe) -> Settings {
    // Locked, so that no fresh seed makes every picture of the window another one.
    Settings { theme, last_recipe: recipe, seed_locked: true, ..Settings::default() }
}
