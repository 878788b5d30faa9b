//! `tidepool devices`: the graphics adapters, what each supports, which one is used and why.

use clap::Args;
use engine::device::{AdapterInfo, AdapterKind, DeviceChoice, DeviceInfo, adapters, choose};
use engine::inspect::device_check::{Comparison, check};
use serde_json::json;

use super::shared_args::DeviceArgs;
use super::{Failure, print};

#[derive(Debug, Args)]
pub struct DevicesArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Compare the device with the CPU: every network of the built-in model and one gradient
    #[arg(long)]
    pub check: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub fn devices(args: &DevicesArgs) -> Result<(), Failure> {
    let adapters = adapters();
    let used = choose(args.device.choice()).map_err(Failure::failed)?.info;
    if args.json && !args.check {
        return print(json!({ "adapters": adapters, "used": used }));
    }
    if args.json {
        let comparisons = check(args.device.choice(), &|| false, &mut |_| {}).map_err(Failure::failed)?;
        print(json!({ "adapters": adapters, "used": used, "findings": comparisons }))?;
        return verdict(&used, &comparisons);
    }
    if adapters.is_empty() {
        print("No graphics adapter found")?;
    }
    for adapter in &adapters {
        print(line(adapter))?;
    }
    print(format!("Used: {}, {}. {}", used.name, used.precision.name(), used.why))?;
    if !args.check {
        return Ok(());
    }
    if !used.is_gpu {
        return print("Nothing to check: pictures are made on the CPU");
    }
    print_check(args.device.choice(), &used)
}

/// Prints each row as soon as it is measured.
fn print_check(choice: DeviceChoice, used: &DeviceInfo) -> Result<(), Failure> {
    print(format!("\nTidepool {}, {} compared with the CPU", env!("TIDEPOOL_VERSION"), used.name))?;
    print(format!("{:<22}{:<6}{:>12}{:>10}{:>10}", "part", "type", "difference", "limit", "seconds"))?;
    let mut printed = Ok(());
    let comparisons = check(choice, &|| false, &mut |comparison| {
        if printed.is_ok() {
            printed = print(row(comparison));
        }
    })
    .map_err(Failure::failed)?;
    printed?;
    verdict(used, &comparisons)
}

fn row(comparison: &Comparison) -> String {
    let Comparison { part, precision, difference, limit, secs } = comparison;
    let wrong = if comparison.is_right() { "" } else { "  wrong" };
    let (part, precision) = (part.name(), precision.name());
    format!("{part:<22}{precision:<6}{difference:>12.1e}{limit:>10.0e}{secs:>10.1}{wrong}")
}

fn verdict(used: &DeviceInfo, comparisons: &[Comparison]) -> Result<(), Failure> {
    match comparisons.iter().filter(|comparison| !comparison.is_right()).count() {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{} does not compute what the CPU computes, so its pictures would be wrong. Use the CPU, try a \
             newer driver, and please report these lines",
            used.name
        ))),
    }
}

fn line(adapter: &AdapterInfo) -> String {
    let number = adapter.number.map_or_else(|| "-".to_owned(), |number| format!("gpu:{number}"));
    let kind = match adapter.kind {
        AdapterKind::Discrete => "discrete",
        AdapterKind::Integrated => "integrated",
        AdapterKind::Virtual => "virtual",
        AdapterKind::Software => "software, slower than the CPU backend",
        AdapterKind::Other => "of unknown kind",
    };
    let precision = if adapter.f16 { "f16 and f32" } else { "f32" };
    let mebibytes = adapter.largest_buffer >> 20;
    format!(
        "{number:<7}{}\n       {kind}; {}, driver {}; supports {precision}; buffers up to {mebibytes} MiB",
        adapter.name, adapter.backend, adapter.driver
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_is_listed_with_the_name_that_selects_it() {
        let mut adapter = AdapterInfo {
            number: Some(1),
            name: "Tide 9000".to_owned(),
            backend: "vulkan".to_owned(),
            kind: AdapterKind::Discrete,
            driver: "1.2".to_owned(),
            f16: true,
            largest_buffer: 2 << 30,
        };
        let text = line(&adapter);
        assert!(text.starts_with("gpu:1  Tide 9000\n"), "{text}");
        assert!(text.contains("f16") && text.contains("2048 MiB"), "{text}");
        adapter.number = None;
        adapter.kind = AdapterKind::Software;
        let text = line(&adapter);
        assert!(text.starts_with("-      Tide 9000\n"), "{text}");
    }
}
