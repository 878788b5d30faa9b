//! Opens the window.

use std::sync::Arc;

use eframe::{NativeOptions, Renderer};
use egui::{IconData, ViewportBuilder};
use engine::session::Session;

use crate::app::TidepoolApp;
use crate::settings::{Settings, WindowLayout, config_folder};

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct WindowError {
    cause: String,
}

/// The smallest window that everything still fits in, points.
const SMALLEST: [f32; 2] = [960.0, 600.0];

/// Shows the window until it is closed.
pub fn run_window() -> Result<(), WindowError> {
    let folder = config_folder();
    let (settings, note) = Settings::load(&folder);
    let options = NativeOptions {
        viewport: viewport(&settings.window),
        renderer: Renderer::Wgpu,
        persist_window: false,
        // Nothing on the desk is a gradient, and without a GPU every instruction a pixel counts.
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
            Ok(Box::new(app))
        }),
    )
    .map_err(|error| WindowError { cause: error.to_string() })
}

fn viewport(window: &WindowLayout) -> ViewportBuilder {
    let mut viewport = ViewportBuilder::default()
        .with_title("Tidepool")
        .with_app_id("tidepool")
        .with_icon(Arc::new(icon()))
        .with_inner_size(window.size)
        .with_min_inner_size(SMALLEST)
        .with_maximized(window.maximized)
        .with_drag_and_drop(true);
    if let Some(position) = window.position {
        viewport = viewport.with_position(position);
    }
    viewport
}

/// The mark of the program, drawn as in the top bar.
fn icon() -> IconData {
    const SIDE: usize = 64;
    let radius = SIDE as f32 / 2.0;
    let mut rgba = Vec::with_capacity(SIDE * SIDE * 4);
    for at in 0..SIDE * SIDE {
        let x = (at % SIDE) as f32 + 0.5 - radius;
        let y = (at / SIDE) as f32 + 0.5 - radius;
        let edge = (radius - 1.0 - x.hypot(y)).clamp(0.0, 1.0);
        let from_light = (x + 0.28 * radius).hypot(y + 0.32 * radius) / (1.35 * radius);
        let light = (1.0 - from_light).clamp(0.0, 1.0).powf(1.4);
        let mix = |dark: f32, bright: f32| (dark + (bright - dark) * light) as u8;
        rgba.extend([mix(9.0, 160.0), mix(78.0, 240.0), mix(76.0, 226.0), (edge * 255.0) as u8]);
    }
    IconData { rgba, width: SIDE as u32, height: SIDE as u32 }
}
