//! The device in the status bar, and the menu that it opens: devices, precision, and the check.

use egui::{Align, Frame, Layout, Popup, PopupCloseBehavior, RectAlign, Role, Ui, WidgetInfo, vec2};
use engine::device::{AdapterInfo, AdapterKind, DeviceChoice, DeviceInfo, DeviceSelector, Precision};
use engine::inspect::device_check::Comparison;

use crate::features::command::Command;
use crate::features::device::{CheckResult, DeviceCheck, DeviceCommand, DeviceState, known_result};
use crate::features::state::Shared;
use crate::ui::theme;
use crate::ui::theme::Tokens;
use crate::ui::widgets::{
    SelectItem, label_ui, line_ui, link_ui, menu_item_ui, note_ui, outlined_button_ui, segmented_ui, tip,
};

/// The name of the device. A click opens the menu.
pub fn device_menu_ui(ui: &mut Ui, shared: &Shared, state: &DeviceState, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let used = shared.model_info().map(|info| &info.device);
    let name = used.map_or("Device", |device| &device.name);
    let response = link_ui(ui, name, theme::small(), tokens.dim, false);
    response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, ui.is_enabled(), "Device"));
    if response.clicked() {
        commands.push(Command::Device(DeviceCommand::List));
    }
    let is_open = Popup::is_id_open(ui.ctx(), Popup::default_response_id(&response));
    Popup::menu(&response)
        .align(RectAlign::TOP_START)
        .width(MENU_WIDTH)
        .gap(6.0)
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
        .show(|ui| {
            // A menu's own layout stretches the lines of text, and its buttons have no room around theirs.
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.spacing_mut().button_padding = vec2(10.0, 6.0);
                Frame::new().inner_margin(6).show(ui, |ui| {
                    contents_ui(ui, shared, used, state, commands);
                });
            });
        });
    if !is_open {
        let why = used.map_or("No model is open, so no device is in use.", |device| &device.why);
        tip(response, name, None, why);
    }
}

const MENU_WIDTH: f32 = 380.0;

fn contents_ui(
    ui: &mut Ui,
    shared: &Shared,
    used: Option<&DeviceInfo>,
    state: &DeviceState,
    commands: &mut Vec<Command>,
) {
    let tokens = Tokens::of(ui);
    let choice = shared.settings.device;
    if let Some(used) = used {
        note_ui(ui, format!("{}.", used.why), theme::small(), tokens.dim);
        ui.add_space(theme::GAP_S);
    }
    devices_ui(ui, choice, state.adapters.as_deref(), commands);
    ui.add_space(theme::GAP_S);
    precision_ui(ui, choice, commands);
    ui.add_space(theme::GAP_M);
    line_ui(ui);
    ui.add_space(theme::GAP_S);
    check_ui(ui, shared, used, &state.check, commands);
}

fn devices_ui(
    ui: &mut Ui,
    choice: DeviceChoice,
    adapters: Option<&[AdapterInfo]>,
    commands: &mut Vec<Command>,
) {
    let tokens = Tokens::of(ui);
    let mut item = |ui: &mut Ui, label: &str, hint: &str, device: DeviceSelector| {
        let chosen = choice.device == device;
        if menu_item_ui(ui, SelectItem { label, hint, chosen }) {
            commands.push(Command::Device(DeviceCommand::Use(DeviceChoice { device, ..choice })));
        }
    };
    item(ui, "Automatic", "The best GPU, or the CPU where there is none.", DeviceSelector::Auto);
    item(ui, "CPU", "Works on every machine.", DeviceSelector::Cpu);
    let Some(adapters) = adapters else {
        note_ui(ui, "Looking for GPUs…", theme::small(), tokens.dim);
        return;
    };
    for adapter in adapters {
        let hint = description(adapter);
        match adapter.number {
            Some(number) => item(ui, &adapter.name, &hint, DeviceSelector::Gpu(Some(number))),
            None => {
                let text = format!("{}: {hint}. It is not used, because the CPU is faster.", adapter.name);
                note_ui(ui, text, theme::small(), tokens.dim);
                ui.add_space(theme::GAP_S);
            }
        }
    }
    if adapters.is_empty() {
        let text = "No GPU was found. If this machine has one, install its graphics driver.";
        note_ui(ui, text, theme::small(), tokens.dim);
    }
}

/// "discrete GPU, Vulkan, driver 580.1, f16 and f32"
fn description(adapter: &AdapterInfo) -> String {
    let kind = match adapter.kind {
        AdapterKind::Discrete => "discrete GPU",
        AdapterKind::Integrated => "integrated GPU",
        AdapterKind::Virtual => "virtual GPU",
        AdapterKind::Software => "a GPU emulated in software",
        AdapterKind::Other => "of unknown kind",
    };
    let precision = if adapter.f16 { "f16 and f32" } else { "f32" };
    format!("{kind}, {}, driver {}, {precision}", adapter.backend, adapter.driver)
}

fn precision_ui(ui: &mut Ui, choice: DeviceChoice, commands: &mut Vec<Command>) {
    const PRECISIONS: [(Precision, &str, &str); 3] = [
        (Precision::Auto, "Automatic", "f16 on GPUs that support it, f32 elsewhere."),
        (Precision::F32, "f32", "Exact, and needs twice the memory."),
        (Precision::F16, "f16", "Half the memory, on GPUs that support it."),
    ];
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), theme::TOOL_SIDE),
        Layout::left_to_right(Align::Center),
        |ui| {
            label_ui(ui, "Precision");
            let names = PRECISIONS.map(|(_, name, _)| name.to_owned());
            let chosen =
                PRECISIONS.iter().position(|(precision, ..)| *precision == choice.precision).unwrap_or(0);
            let clicked =
                segmented_ui(ui, "Precision", &names, chosen, |index| PRECISIONS[index].2.to_owned());
            if let Some(index) = clicked {
                let precision = PRECISIONS[index].0;
                commands.push(Command::Device(DeviceCommand::Use(DeviceChoice { precision, ..choice })));
            }
        },
    );
}

fn check_ui(
    ui: &mut Ui,
    shared: &Shared,
    used: Option<&DeviceInfo>,
    check: &DeviceCheck,
    commands: &mut Vec<Command>,
) {
    let tokens = Tokens::of(ui);
    let note = |ui: &mut Ui, text: &str, color| note_ui(ui, text, theme::small(), color);
    match check {
        DeviceCheck::Running { comparisons, stop } => {
            let text = if stop.is_raised() { "Stopping…" } else { "Comparing with the CPU…" };
            note(ui, text, tokens.text);
            comparisons_ui(ui, comparisons);
            let sentence = "Stops after the part that is being compared.";
            if tip(outlined_button_ui(ui, "Stop", false), "Stop", None, sentence).clicked() {
                commands.push(Command::Device(DeviceCommand::StopCheck));
            }
            return;
        }
        DeviceCheck::Done(comparisons) => comparisons_ui(ui, comparisons),
        DeviceCheck::Failed(text) => {
            note(ui, text, tokens.coral_text);
        }
        DeviceCheck::Idle => {}
    }
    let Some(device) = used.filter(|device| device.is_gpu) else {
        note(ui, "Pictures are made on the CPU, so there is nothing to check.", tokens.dim);
        return;
    };
    match known_result(&shared.settings, device) {
        Some(CheckResult::Right) => {
            note(ui, "Checked with this driver: it computes what the CPU computes.", tokens.dim)
        }
        Some(CheckResult::Wrong) => {
            let text = "It does not compute what the CPU computes, so its pictures would be wrong. \
                Use the CPU, try a newer driver, and please report it.";
            note(ui, text, tokens.coral_text)
        }
        Some(CheckResult::Declined) | None => {
            note(ui, "Not checked with this driver and this version of Tidepool.", tokens.dim)
        }
    };
    let sentence = "Compares every network of the built-in model with the CPU. It takes seconds to a minute.";
    if tip(outlined_button_ui(ui, "Check my GPU", false), "Check my GPU", None, sentence).clicked() {
        commands.push(Command::Device(DeviceCommand::Check));
    }
}

/// How many parts are right, and a row for each that is not: its difference from the CPU, and what rounding explains.
fn comparisons_ui(ui: &mut Ui, comparisons: &[Comparison]) {
    let tokens = Tokens::of(ui);
    let right = comparisons.iter().filter(|comparison| comparison.is_right()).count();
    let text = format!("{right} of {} parts agree with the CPU.", comparisons.len());
    note_ui(ui, text, theme::small(), tokens.dim);
    for comparison in comparisons.iter().filter(|comparison| !comparison.is_right()) {
        let Comparison { part, precision, difference, limit, .. } = comparison;
        let name = format!("{}, {}", part.name(), precision.name());
        let text = format!("{name}: off by {difference:.1e}, where rounding explains {limit:.0e}.");
        note_ui(ui, text, theme::small(), tokens.coral_text);
    }
}

/// The offer to check a GPU that is new here, for the status bar.
pub fn check_offer_ui(ui: &mut Ui, gpu: &DeviceInfo, commands: &mut Vec<Command>) {
    let tokens = Tokens::of(ui);
    let mut link = |ui: &mut Ui, name: &str, sentence: &str, command: DeviceCommand| {
        let response = link_ui(ui, name, theme::small(), tokens.amber_text, true);
        if tip(response, name, None, sentence).clicked() {
            commands.push(Command::Device(command));
        }
    };
    link(
        ui,
        "Not now",
        "Does not ask again. The menu of the device has the check.",
        DeviceCommand::DeclineCheck,
    );
    link(ui, "Check my GPU", "Compares it with the CPU, in seconds to a minute.", DeviceCommand::Check);
    let text = format!("{} is new here", gpu.name);
    let words = egui::RichText::new(&text).font(theme::small()).color(tokens.amber_text);
    ui.add(egui::Label::new(words).truncate()).on_hover_text(text);
}
