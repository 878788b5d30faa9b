//! Opens the window.

pub mod app;
pub mod single_instance;
pub mod tasks;

mod save_queue;
mod shortcuts;
mod side_panel;
mod status_bar;
mod top_bar;

use std::path::PathBuf;

use eframe::{NativeOptions, Renderer};
use egui::ViewportBuilder;
use engine::session::Session;

use crate::features::settings::{Settings, WindowLayout, config_folder};
use crate::window::app::TidepoolApp;
use crate::window::single_instance::Start;

/// Why the window could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct WindowError {
    cause: String,
}

/// The smallest window size that everything fits into, in points.
const MIN_SIZE: [f32; 2] = [960.0, 600.0];

const ICON: &[u8] = include_bytes!("../../assets/icon/tidepool.png");

/// Shows the window until it is closed, with `files` opened in it as if dropped on it. If a window is open already, that one
/// opens them, and this returns at once.
pub fn run_window(files: Vec<PathBuf>) -> Result<(), WindowError> {
    let folder = config_folder();
    let first = match single_instance::start(&folder, &files) {
        Start::First(first) => Some(first),
        Start::Beside => None,
        Start::HandedOver => return Ok(()),
    };
    let (settings, note) = Settings::load(&folder);
    let options = NativeOptions {
        viewport: viewport(&settings.window),
        renderer: Renderer::Wgpu,
        persist_window: false,
        // The window has no gradients, and without a GPU every instruction per pixel counts.
        dithering: false,
        system_font_fallback: false,
        ..NativeOptions::default()
    };
    eframe::run_native(
        "Tidepool",
        options,
        Box::new(move |cc| {
            let mut app = TidepoolApp::new(cc, settings, folder, |ctx| {
                Box::new(Session::start(move || ctx.request_repaint()))
            });
            if let Some(note) = note {
                app.warn(note);
            }
            if let Some(first) = first {
                app.listen(first);
            }
            app.open(files);
            Ok(Box::new(app))
        }),
    )
    .map_err(|error| WindowError { cause: error.to_string() })
}

fn viewport(window: &WindowLayout) -> ViewportBuilder {
    let mut viewport = ViewportBuilder::default()
        .with_title("Tidepool")
        .with_app_id("tidepool")
        .with_inner_size(window.size)
        .with_min_inner_size(MIN_SIZE)
        .with_maximized(window.maximized)
        .with_drag_and_drop(true);
    match eframe::icon_data::from_png_bytes(ICON) {
        Ok(icon) => viewport = viewport.with_icon(icon),
        Err(error) => tracing::error!("the window icon could not be read: {error}"),
    }
    if let Some(position) = window.position {
        viewport = viewport.with_position(position);
    }
    viewport
}
