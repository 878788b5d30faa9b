//! Which of Linux's window systems the window opens on.
//!
//! On Wayland winit reports no dropped files, so X11 comes first where an X server answers: that of an X11 session, or
//! XWayland.

use std::env;

use eframe::EventLoopBuilderHook;
use winit::platform::wayland::EventLoopBuilderExtWayland;
use winit::platform::x11::EventLoopBuilderExtX11;
use x11_dl::{xcursor::Xcursor, xinput2::XInput2, xlib::Xlib, xlib_xcb::Xlib_xcb};

use crate::features::settings::WindowSystem;

/// Overrides the setting. Its values are the names of [`WindowSystem`].
const VARIABLE: &str = "TIDEPOOL_WINDOW_SYSTEM";

/// What opens the window on the chosen window system, and whether files can be dropped there.
pub fn choose(setting: WindowSystem) -> (Option<EventLoopBuilderHook>, bool) {
    let wanted = match env::var(VARIABLE).ok().filter(|name| !name.is_empty()) {
        Some(name) => WindowSystem::from_name(&name).unwrap_or_else(|| {
            tracing::warn!("{VARIABLE} is neither automatic, wayland nor x11, so it is ignored: {name}");
            setting
        }),
        None => setting,
    };
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let has_wayland = ["WAYLAND_DISPLAY", "WAYLAND_SOCKET"].iter().any(is_set);
    let is_x11 = is_x11(wanted, has_wayland, || is_set(&"DISPLAY") && x_server_answers());
    let hook: EventLoopBuilderHook = Box::new(move |builder| {
        if is_x11 {
            builder.with_x11();
        } else {
            builder.with_wayland();
        }
    });
    (Some(hook), is_x11)
}

/// A wish that cannot be met is no reason to open no window.
fn is_x11(wanted: WindowSystem, has_wayland: bool, has_x11: impl FnOnce() -> bool) -> bool {
    match wanted {
        WindowSystem::Wayland => !has_wayland,
        WindowSystem::Automatic | WindowSystem::X11 => !has_wayland || has_x11(),
    }
}

/// Whether winit could open a window on the X server. It cannot try and then turn to Wayland itself.
fn x_server_answers() -> bool {
    // winit needs them all.
    let (Ok(xlib), Ok(_), Ok(_), Ok(_)) = (Xlib::open(), Xcursor::open(), Xlib_xcb::open(), XInput2::open())
    else {
        return false;
    };
    // SAFETY: a null pointer stands for `DISPLAY`, and a display that was opened is closed once.
    #[allow(unsafe_code)]
    unsafe {
        // Before any other call, as winit will use threads.
        (xlib.XInitThreads)();
        let display = (xlib.XOpenDisplay)(std::ptr::null());
        let answers = !display.is_null();
        if answers {
            (xlib.XCloseDisplay)(display);
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_opens_on_x11_where_it_is_available_unless_wayland_is_asked_for() {
        use WindowSystem::{Automatic, Wayland, X11};
        for (wanted, has_wayland, has_x11, expected) in [
            (Automatic, true, true, true),
            (Automatic, true, false, false),
            (Automatic, false, true, true),
            (Wayland, true, true, false),
            (Wayland, false, true, true),
            (X11, true, true, true),
            (X11, true, false, false),
        ] {
            let found = is_x11(wanted, has_wayland, || has_x11);
            assert_eq!(found, expected, "{wanted:?}, Wayland {has_wayland}, X11 {has_x11}");
        }
    }

    #[test]
    fn every_window_system_is_found_by_its_name() {
        for system in WindowSystem::ALL {
            assert_eq!(WindowSystem::from_name(&system.label().to_uppercase()), Some(system));
        }
        assert_eq!(WindowSystem::from_name("mir"), None);
    }
}
