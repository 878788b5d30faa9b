//! A window painted by a graphics adapter, and snapshots of it.
//!
//! Snapshots are regressions and not facts: they hold our own pixels, which nobody else vouches for.
//! Every test that needs an adapter is in `tests/facts/snapshots`, so that its name begins with `snapshots::`.

use app::features::settings::{Settings, ThemeChoice};
use app::window::app::TidepoolApp;
use egui_kittest::{Harness, HarnessBuilder, SnapshotOptions};
use engine::recipe::Recipe;

use super::window_harness::TestWindow;

/// A window that is painted.
///
/// # Panics
/// If this machine has no graphics adapter.
pub fn painted_window(size: [f32; 2], theme: egui::Theme) -> HarnessBuilder<TidepoolApp> {
    assert!(
        !engine::device::adapters().is_empty(),
        "This machine has no graphics adapter, and snapshots are painted by one. Install one in software \
         (on Debian: `apt-get install mesa-vulkan-drivers`), or leave the snapshots out: \
         `cargo test --release --workspace -- --skip snapshots::`"
    );
    let builder = Harness::builder().with_size(size).with_pixels_per_point(1.0);
    builder.with_theme(theme).with_render_cursor(false).wgpu()
}

/// Compares the window with `tests/snapshots/NAME.png`.
pub fn snapshot(window: &mut TestWindow, name: &str) {
    // Adapters round differently along edges, and the memory in the status bar is never the same.
    let options = SnapshotOptions::new().output_path("tests/snapshots").threshold(1.5).max_failed_pixels(400);
    window.harness.run();
    window.harness.snapshot_options(name, &options);
}

pub fn settings(theme: ThemeChoice, recipe: Recipe) -> Settings {
    // The seed is locked, since a fresh one would change the picture of the window.
    Settings { theme, last_recipe: recipe, seed_locked: true, ..Settings::default() }
}
