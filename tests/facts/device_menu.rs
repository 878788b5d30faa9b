//! The menu of the device: choosing it, and checking a GPU.

use app::features::command::Command;
use app::features::device::{CheckResult, CheckedDevice, DeviceCheck, DeviceCommand, DeviceEvent};
use app::features::effect::{Effect, Task};
use app::features::event::AppEvent;
use app::features::settings::Settings;
use app::features::state::AppState;
use egui_kittest::kittest::Queryable;
use engine::device::{DeviceChoice, DeviceInfo, DeviceSelector, Precision};
use engine::inspect::device_check::Component;
use engine::pipeline::StopFlag;
use engine::session::{Event, ModelEvent, Request};

use crate::support::devices::{comparison, gpu, gpus, opened_on};
use crate::support::models::model_info;
use crate::support::window_harness::{TestWindow, window_builder};

fn state(settings: Settings, device: DeviceInfo) -> AppState {
    let mut state = AppState::new(settings);
    state.begin();
    state.receive(opened_on(device));
    state
}

fn command(state: &mut AppState, command: DeviceCommand) -> Vec<Effect> {
    state.handle(Command::Device(command))
}

fn event(state: &mut AppState, event: DeviceEvent) {
    state.receive(AppEvent::Device(event));
}

fn checked(state: &AppState) -> Vec<(String, String, CheckResult)> {
    let checked = state.shared.settings_to_save().checked_devices;
    checked.into_iter().map(|CheckedDevice { name, driver, result, .. }| (name, driver, result)).collect()
}

fn offer(state: &AppState) -> Option<&DeviceInfo> {
    state.device.check_offer(&state.shared)
}

/// The stop flag of the check that was asked for.
fn asked(effects: &[Effect]) -> StopFlag {
    match effects {
        [Effect::Task(Task::CheckDevice { stop, .. })] => stop.clone(),
        other => panic!("no check was asked for: {other:?}"),
    }
}

#[test]
fn another_device_opens_the_model_there_and_is_kept() {
    let mut state = state(Settings::default(), model_info().device);
    let choice = DeviceChoice { device: DeviceSelector::Gpu(Some(1)), precision: Precision::F32 };
    let effects = command(&mut state, DeviceCommand::Use(choice));
    assert!(matches!(&effects[..], [Effect::Send(Request::OpenModel { device, .. })] if *device == choice));
    assert_eq!(state.shared.settings_to_save().device, choice);
    state.receive(Event::Model(ModelEvent::Opened(Box::new(model_info()))));
    assert!(command(&mut state, DeviceCommand::Use(choice)).is_empty(), "it is the one in use");
}

#[test]
fn a_gpu_is_offered_a_check_until_it_was_checked_with_its_driver_and_this_version() {
    let mut state = state(Settings::default(), gpu("1.0"));
    assert_eq!(offer(&state), Some(&gpu("1.0")));
    asked(&command(&mut state, DeviceCommand::Check));
    event(&mut state, DeviceEvent::Compared(comparison(Component::Unet, 1e-5)));
    event(&mut state, DeviceEvent::Checked(Ok(())));
    assert_eq!(offer(&state), None);
    assert_eq!(checked(&state), [(gpu("1.0").name, "1.0".into(), CheckResult::Right)]);

    state.receive(opened_on(gpu("2.0")));
    assert_eq!(offer(&state), Some(&gpu("2.0")), "another driver may compute differently");
    command(&mut state, DeviceCommand::DeclineCheck);
    assert_eq!(checked(&state), [(gpu("2.0").name, "2.0".into(), CheckResult::Declined)]);
    assert_eq!(offer(&state), None);

    let older = CheckedDevice { version: "0.0.1".into(), ..state.shared.settings.checked_devices[0].clone() };
    state.shared.settings.checked_devices = vec![older];
    assert!(offer(&state).is_some(), "another version may compute differently");
    state.receive(opened_on(model_info().device));
    assert_eq!(offer(&state), None, "the CPU is what a GPU is compared with");
}

#[test]
fn one_part_that_differs_makes_the_device_wrong() {
    for differences in [[1e-5, 0.5], [1e-5, f32::INFINITY], [f32::NAN, 1e-5]] {
        let mut state = state(Settings::default(), gpu("1.0"));
        command(&mut state, DeviceCommand::Check);
        for (part, difference) in [Component::Text, Component::Unet].into_iter().zip(differences) {
            event(&mut state, DeviceEvent::Compared(comparison(part, difference)));
        }
        event(&mut state, DeviceEvent::Checked(Ok(())));
        assert_eq!(checked(&state)[0].2, CheckResult::Wrong, "{differences:?}");
        assert!(matches!(&state.device.check, DeviceCheck::Done(comparisons) if comparisons.len() == 2));
    }
}

#[test]
fn a_check_that_is_stopped_or_fails_says_nothing_about_the_device() {
    let mut state = state(Settings::default(), gpu("1.0"));
    let stop = asked(&command(&mut state, DeviceCommand::Check));
    assert!(command(&mut state, DeviceCommand::Check).is_empty(), "one check at a time");
    command(&mut state, DeviceCommand::StopCheck);
    assert!(stop.is_raised());
    event(&mut state, DeviceEvent::Compared(comparison(Component::Unet, 0.5)));
    event(&mut state, DeviceEvent::Checked(Err("The check was stopped".into())));
    assert!(matches!(state.device.check, DeviceCheck::Idle));

    command(&mut state, DeviceCommand::Check);
    event(&mut state, DeviceEvent::Checked(Err("The driver crashed".into())));
    assert!(matches!(&state.device.check, DeviceCheck::Failed(text) if text == "The driver crashed"));
    assert_eq!(checked(&state), []);
    assert!(!asked(&command(&mut state, DeviceCommand::Check)).is_raised(), "it can be asked for again");
}

#[test]
fn the_check_of_the_cpu_agrees_in_every_part_and_stops_when_asked() {
    let choice = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    let events = |stop: &StopFlag| {
        let (sender, events) = crossbeam_channel::unbounded();
        app::features::device::check(choice, stop, move |event| sender.send(event).expect("it is read"));
        events.try_iter().collect::<Vec<_>>()
    };
    let found = events(&StopFlag::default());
    let (last, compared) = found.split_last().expect("events");
    assert!(matches!(last, DeviceEvent::Checked(Ok(()))), "{last:?}");
    assert!(compared.len() >= Component::ALL.len());
    let is_right = |event: &DeviceEvent| matches!(event, DeviceEvent::Compared(found) if found.is_right());
    assert!(compared.iter().all(is_right), "{compared:?}");
    let stop = StopFlag::default();
    stop.raise();
    assert!(matches!(&events(&stop)[..], [DeviceEvent::Checked(Err(_))]));
}

#[test]
fn the_menu_lists_the_devices_and_a_click_chooses_one() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.harness.get_by_label("Device").click();
    // The menu asks for the adapters of this machine; the fact has others.
    window.until("the list", |app| app.state.device.adapters.is_some());
    window.harness.state_mut().state.receive(AppEvent::Device(DeviceEvent::Listed(gpus())));
    window.until_label("Tide 9000");
    // The menu moves up as it grows.
    window.harness.run_steps(3);
    window.harness.get_by_label("Tide 9000").click();
    window.harness.step();
    window.harness.step();
    let asked = window.requests.try_iter().filter_map(|request| match request {
        Request::OpenModel { device, .. } => Some(device.device),
        _ => None,
    });
    assert_eq!(asked.last(), Some(DeviceSelector::Gpu(Some(0))));
}

#[test]
fn a_new_gpu_is_offered_its_check_in_the_status_bar() {
    let mut window = TestWindow::opened(window_builder(), Settings::default());
    window.send(opened_on(gpu("1.0")));
    window.until_label("Check my GPU");
    window.harness.get_by_label("Not now").click();
    window.harness.step();
    window.harness.step();
    assert!(window.harness.query_by_label("Check my GPU").is_none());
    let settings = window.harness.state().state.shared.settings_to_save();
    assert_eq!(settings.checked_devices[0].result, CheckResult::Declined);
}

/// Serialized into the settings file and read back.
#[test]
fn checked_devices_are_kept_in_the_settings_file() {
    let mut state = state(Settings::default(), gpu("1.0"));
    command(&mut state, DeviceCommand::DeclineCheck);
    let folder = crate::support::folders::folder();
    let settings = state.shared.settings_to_save();
    settings.save(folder.path()).expect("saves");
    assert_eq!(Settings::load(folder.path()).0.checked_devices, settings.checked_devices);
}
