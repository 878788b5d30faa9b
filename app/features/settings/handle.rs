//! The window, the theme and the folder of pictures.

use std::path::Path;

use crate::features::effect::{Effect, Task};
use crate::features::settings::SettingsCommand;
use crate::features::state::AppState;

impl AppState {
    pub(crate) fn handle_settings(&mut self, command: SettingsCommand) -> Vec<Effect> {
        let window = &mut self.shared.settings.window;
        match command {
            SettingsCommand::SetTheme(theme) => self.shared.settings.theme = theme,
            SettingsCommand::SetWindowSystem(system) => self.shared.settings.window_system = system,
            SettingsCommand::ShowSchedule(plot) => self.shared.settings.schedule_plot = plot,
            SettingsCommand::ShowTab { tab, drawer } => {
                window.tab = tab.unwrap_or(window.tab);
                if drawer {
                    self.shared.drawer_open = tab.is_some();
                } else {
                    window.right_folded = tab.is_none();
                }
            }
            SettingsCommand::FoldPanels => {
                let folded = !(window.left_folded && window.right_folded);
                (window.left_folded, window.right_folded) = (folded, folded);
                self.shared.drawer_open = false;
                self.film.hovered = None;
            }
            SettingsCommand::KeepWindow(layout) => *window = layout,
            SettingsCommand::OpenOutputFolder => {
                return vec![Effect::Task(Task::OpenFolder(self.shared.settings.output_folder()))];
            }
            SettingsCommand::ShowCrashReport => {
                let report = self.shared.crash_report.take();
                let folder = report.as_deref().and_then(Path::parent);
                return folder
                    .map(|folder| Effect::Task(Task::OpenFolder(folder.to_owned())))
                    .into_iter()
                    .collect();
            }
            SettingsCommand::OpenFolder(folder) => return vec![Effect::Task(Task::OpenFolder(folder))],
            SettingsCommand::ChooseOutputFolder => return vec![Effect::Task(Task::PickOutputFolder)],
        }
        Vec::new()
    }
}
