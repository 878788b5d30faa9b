//! How [`AppState`] handles the choice of the device and its check.

use engine::device::DeviceInfo;
use engine::inspect::device_check::Comparison;
use engine::pipeline::StopFlag;

use crate::features::device::{
    CheckResult, CheckedDevice, DeviceCheck, DeviceCommand, DeviceEvent, DeviceState, known_result,
};
use crate::features::effect::{Effect, Task};
use crate::features::state::{AppState, Shared};

impl AppState {
    pub(crate) fn handle_device(&mut self, command: DeviceCommand) -> Vec<Effect> {
        match command {
            DeviceCommand::List => return vec![Effect::Task(Task::ListAdapters)],
            DeviceCommand::Use(choice) if choice != self.shared.settings.device => {
                match &self.device.check {
                    DeviceCheck::Running { stop, .. } => stop.raise(),
                    // It was of another device.
                    _ => self.device.check = DeviceCheck::Idle,
                }
                self.shared.settings.device = choice;
                return self.open_model(self.shared.settings.model.clone());
            }
            DeviceCommand::Use(_) => {}
            DeviceCommand::Check if matches!(self.device.check, DeviceCheck::Running { .. }) => {}
            DeviceCommand::Check => {
                let stop = StopFlag::default();
                self.device.check = DeviceCheck::Running { comparisons: Vec::new(), stop: stop.clone() };
                let choice = self.shared.settings.device;
                return vec![Effect::Task(Task::CheckDevice { choice, stop })];
            }
            DeviceCommand::StopCheck => {
                if let DeviceCheck::Running { stop, .. } = &self.device.check {
                    stop.raise();
                }
            }
            DeviceCommand::DeclineCheck => self.remember_check(CheckResult::Declined),
        }
        Vec::new()
    }

    pub(crate) fn receive_device(&mut self, event: DeviceEvent) {
        match (event, &mut self.device.check) {
            (DeviceEvent::Listed(adapters), _) => self.device.adapters = Some(adapters),
            (DeviceEvent::Compared(comparison), DeviceCheck::Running { comparisons, stop })
                if !stop.is_raised() =>
            {
                comparisons.push(comparison);
            }
            (DeviceEvent::Checked(_), DeviceCheck::Running { stop, .. }) if stop.is_raised() => {
                self.device.check = DeviceCheck::Idle;
            }
            (DeviceEvent::Checked(Ok(())), DeviceCheck::Running { comparisons, .. }) => {
                let is_right = comparisons.iter().all(Comparison::is_right);
                self.device.check = DeviceCheck::Done(std::mem::take(comparisons));
                self.remember_check(if is_right { CheckResult::Right } else { CheckResult::Wrong });
            }
            (DeviceEvent::Checked(Err(text)), DeviceCheck::Running { .. }) => {
                self.device.check = DeviceCheck::Failed(text);
            }
            // Of a check that was stopped.
            (DeviceEvent::Compared(_) | DeviceEvent::Checked(_), _) => {}
        }
    }

    fn remember_check(&mut self, result: CheckResult) {
        let Some(device) = self.shared.model_info().map(|info| info.device.clone()) else { return };
        let checked = &mut self.shared.settings.checked_devices;
        // Only the latest driver and version of each device are kept.
        checked.retain(|earlier| earlier.name != device.name);
        checked.push(CheckedDevice::new(&device, result));
    }
}

impl DeviceState {
    /// The GPU in use, if it was never checked with its driver and this version of Tidepool.
    pub fn check_offer<'a>(&self, shared: &'a Shared) -> Option<&'a DeviceInfo> {
        let device = &shared.model_info()?.device;
        let is_new = device.is_gpu && known_result(&shared.settings, device).is_none();
        let is_free = matches!(self.check, DeviceCheck::Idle | DeviceCheck::Done(_));
        (is_new && is_free).then_some(device)
    }
}
