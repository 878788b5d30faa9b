//! Opens the window.

pub mod app;
pub mod crash_report;
#[cfg(target_os = "linux")]
mod crash_signal;
pub mod single_instance;
pub mod tasks;

mod save_queue;
mod shortcuts;
mod side_panel;
mod status_bar;
mod top_bar;
#[cfg(target_os = "linux")]
mod window_system;

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
    let reports = first.as_ref().map(|_| crash_report::begin(&folder));
    let crash_report = reports.as_ref().and_then(|reports| reports.unseen.clone());
    let (settings, note) = Settings::load(&folder);
    #[cfg(target_os = "linux")]
    let (event_loop_builder, takes_drops) = window_system::choose(settings.window_system);
    #[cfg(not(target_os = "linux"))]
    let (event_loop_builder, takes_drops) = (None, true);
    let options = NativeOptions {
        viewport: viewport(&settings.window),
        renderer: Renderer::Wgpu,
        persist_window: false,
        // The window has no gradients, and without a GPU every instruction per pixel counts.
        dithering: false,
        system_font_fallback: false,
        event_loop_builder,
        ..NativeOptions::default()
    };
    eframe::run_native(
        "Tidepool",
        options,
        Box::new(move |cc| {
            let mut app = TidepoolApp::new(cc, settings, folder, |ctx| {
                Box::new(Session::start(move || {
                    crash_report::crash_if_asked("engine");
                    ctx.request_repaint();
                }))
            });
            if let Some(note) = note {
                app.warn(note);
            }
            app.state.shared.crash_report = crash_report;
            app.state.shared.takes_drops = takes_drops;
            #[cfg(unix)]
            if let Err(error) = close_on_signals(cc.egui_ctx.clone()) {
                tracing::warn!("Ctrl+C ends the program at once: {error}");
            }
            if let Some(render_state) = &cc.wgpu_render_state {
                let adapter = render_state.adapter.get_info();
                crash_report::collect(&format!(
                    "Window: {} ({}), {} {}",
                    adapter.name, adapter.backend, adapter.driver, adapter.driver_info
                ));
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

/// Ctrl+C and the end of the session close the window as its button does, so settings and pictures are saved. A second signal
/// ends the program at once.
#[cfg(unix)]
fn close_on_signals(ctx: egui::Context) -> std::io::Result<()> {
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::low_level::{emulate_default_handler, pipe};

    let (mut received, sender) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        pipe::register(signal, sender.try_clone()?)?;
    }
    let wait = move || {
        if received.read_exact(&mut [0]).is_ok() {
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
            ctx.request_repaint();
        }
        if received.read_exact(&mut [0]).is_ok() {
            let _ = emulate_default_handler(SIGTERM);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
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
