//! How the menu of the device looks.

use app::features::command::Command;
use app::features::device::{DeviceCommand, DeviceEvent};
use app::features::event::AppEvent;
use app::features::settings::ThemeChoice;
use egui_kittest::kittest::Queryable;
use engine::inspect::device_check::Component;
use engine::recipe::Recipe;

use crate::support::devices::{comparison, gpu, gpus, opened_on};
use crate::support::painted_window::{painted_window, settings, snapshot};
use crate::support::window_harness::TestWindow;

#[test]
fn the_check_of_a_new_gpu_is_offered_and_runs() {
    let mut window = menu(egui::Theme::Dark, ThemeChoice::Dark, [1440.0, 900.0]);
    snapshot(&mut window, "device_menu");
    start_check(&mut window);
    for part in [Component::Text, Component::Unet] {
        receive(&mut window, DeviceEvent::Compared(comparison(part, 2.4e-6)));
    }
    snapshot(&mut window, "device_check_running");
}

#[test]
fn a_gpu_that_differs_in_the_light() {
    let mut window = menu(egui::Theme::Light, ThemeChoice::Light, [1280.0, 720.0]);
    start_check(&mut window);
    for part in Component::ALL {
        let difference = if part == Component::VaeDecode { 0.31 } else { 2.4e-6 };
        receive(&mut window, DeviceEvent::Compared(comparison(part, difference)));
    }
    receive(&mut window, DeviceEvent::Checked(Ok(())));
    snapshot(&mut window, "device_check_wrong");
}

/// A window on a new GPU, with the menu open.
fn menu(theme: egui::Theme, choice: ThemeChoice, size: [f32; 2]) -> TestWindow {
    let recipe = Recipe { prompt: "a sun over the sea".into(), ..Recipe::default() };
    let mut window = TestWindow::opened(painted_window(size, theme), settings(choice, recipe));
    window.send(opened_on(gpu("1.0")));
    window.harness.get_by_label("Device").click();
    window.until("the list", |app| app.state.device.adapters.is_some());
    receive(&mut window, DeviceEvent::Listed(gpus()));
    window
}

/// The check is the fact's own: the real one compares the devices of this machine.
fn start_check(window: &mut TestWindow) {
    window.harness.state_mut().state.handle(Command::Device(DeviceCommand::Check));
    window.harness.step();
}

fn receive(window: &mut TestWindow, event: DeviceEvent) {
    window.harness.state_mut().state.receive(AppEvent::Device(event));
    window.harness.step();
}
