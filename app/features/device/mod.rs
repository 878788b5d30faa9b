//! The device that pictures are made on: choosing it, and checking that it computes what the CPU computes.
//!
//! A check is asked for, or offered once for a GPU, driver and version of Tidepool that have not been checked; the
//! result is kept in the settings.

mod handle;
pub(crate) mod menu;

use engine::device::{AdapterInfo, DeviceChoice, DeviceInfo};
use engine::inspect::device_check::{self, CheckError, Comparison};
use engine::memory::low_memory::panic_text;
use engine::pipeline::StopFlag;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::features::settings::Settings;

/// The graphics adapters of this machine, and the check of one of them.
#[derive(Clone, Debug, Default)]
pub struct DeviceState {
    /// `None` until the menu has been opened.
    pub adapters: Option<Vec<AdapterInfo>>,
    pub check: DeviceCheck,
}

/// The comparison of the device with the CPU.
#[derive(Clone, Debug, Default)]
pub enum DeviceCheck {
    /// None was made since the start.
    #[default]
    Idle,
    Running {
        /// What was compared so far.
        comparisons: Vec<Comparison>,
        stop: StopFlag,
    },
    Done(Vec<Comparison>),
    /// It did not come to its end: a sentence.
    Failed(String),
}

/// A request about the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceCommand {
    /// The menu was opened: the adapters are listed.
    List,
    /// Makes the pictures there from now on: the model is opened again.
    Use(DeviceChoice),
    Check,
    StopCheck,
    /// Does not offer to check this device again.
    DeclineCheck,
}

/// What happened to the devices.
#[derive(Clone, Debug)]
pub enum DeviceEvent {
    Listed(Vec<AdapterInfo>),
    Compared(Comparison),
    Checked(Result<(), String>),
}

/// A GPU that was checked, or whose check was declined. Another driver or another version of Tidepool may compute
/// differently, so that the check is offered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedDevice {
    pub name: String,
    pub driver: String,
    /// The version of Tidepool.
    pub version: String,
    pub result: CheckResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    Right,
    Wrong,
    Declined,
}

impl CheckedDevice {
    pub(crate) fn new(device: &DeviceInfo, result: CheckResult) -> Self {
        let (name, driver) = (device.name.clone(), device.driver.clone());
        Self { name, driver, version: env!("CARGO_PKG_VERSION").to_owned(), result }
    }

    fn is_of(&self, device: &DeviceInfo) -> bool {
        let Self { name, driver, version, .. } = self;
        (name, driver, version.as_str()) == (&device.name, &device.driver, env!("CARGO_PKG_VERSION"))
    }
}

/// What is known of a device from earlier checks.
pub(crate) fn known_result(settings: &Settings, device: &DeviceInfo) -> Option<CheckResult> {
    settings.checked_devices.iter().find(|checked| checked.is_of(device)).map(|checked| checked.result)
}

/// Compares the device with the CPU and reports each comparison; runs on a separate thread.
pub fn check(choice: DeviceChoice, stop: &StopFlag, send: impl Fn(DeviceEvent)) {
    let checked = catch_unwind(AssertUnwindSafe(|| {
        device_check::check(choice, &|| stop.is_raised(), &mut |comparison| {
            send(DeviceEvent::Compared(*comparison));
        })
    }));
    let result = match checked {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(CheckError::Halted(text))) => Err(text),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(format!("The device failed during the check ({})", panic_text(&*panic))),
    };
    send(DeviceEvent::Checked(result));
}
