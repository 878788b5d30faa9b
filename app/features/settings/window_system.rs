//! The choice between Linux's two window systems.

use egui::Ui;
use serde::{Deserialize, Serialize};

use crate::features::command::Command;
use crate::features::settings::SettingsCommand;
use crate::features::state::Shared;
use crate::ui::widgets::{SelectItem, label_ui, menu_item_ui};

/// The window system to open the window on. Other systems than Linux have one only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowSystem {
    #[default]
    Automatic,
    Wayland,
    X11,
}

impl WindowSystem {
    pub const ALL: [Self; 3] = [Self::Automatic, Self::Wayland, Self::X11];

    /// Name in the window.
    pub fn label(self) -> &'static str {
        match self {
            Self::Automatic => "Automatic",
            Self::Wayland => "Wayland",
            Self::X11 => "X11",
        }
    }

    /// One line under the name.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Automatic => "X11 where it is available, because files can be dropped there.",
            Self::Wayland => "Sharper at fractional scales. Files cannot be dropped.",
            Self::X11 => "On a Wayland desktop through XWayland.",
        }
    }

    /// The choice of a name, in letters of any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.label().eq_ignore_ascii_case(name.trim()))
    }
}

/// The choice, as a part of a menu.
pub fn window_system_ui(ui: &mut Ui, shared: &Shared, commands: &mut Vec<Command>) {
    label_ui(ui, "Window system, from the next start");
    for system in WindowSystem::ALL {
        let chosen = shared.settings.window_system == system;
        if menu_item_ui(ui, SelectItem { label: system.label(), hint: system.hint(), chosen }) {
            commands.push(Command::Settings(SettingsCommand::SetWindowSystem(system)));
        }
    }
}
