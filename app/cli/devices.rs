//! `tidepool devices`: the adapters, what each can do, which one is used and why.

use engine::device::{AdapterInfo, AdapterKind, DeviceChoice, DeviceInfo, adapters, choose};
use engine::inspect::device_check::{Comparison, check};
use serde_json::json;

use super::args::DevicesArgs;
use super::{Failure, print};

pub fn devices(args: &DevicesArgs) -> Result<(), Failure> {
    let adapters = adapters();
    let used = choose(args.device.choice()).map_err(Failure::failed)?.info;
    if args.json && !args.check {
        return print(json!({ "adapters": adapters, "used": used }));
    }
    if args.json {
        let findings = check(args.device.choice(), &mut |_| {}).map_err(Failure::failed)?;
        print(json!({ "adapters": adapters, "used": used, "findings": findings }))?;
        return verdict(&used, &findings);
    }
    if adapters.is_empty() {
        print("No graphics adapter was found")?;
    }
    for adapter in &adapters {
        print(line(adapter))?;
    }
    print(format!("Used: {} in {}. {}", used.name, used.precision.name(), used.why))?;
    if !args.check {
        return Ok(());
    }
    if !used.is_gpu {
        return print("There is nothing to check: pictures are made on the CPU");
    }
    check_in_words(args.device.choice(), &used)
}

/// A row as soon as it is known.
fn check_in_words(choice: DeviceChoice, used: &DeviceInfo) -> Result<(), Failure> {
    print(format!("\nTidepool {}, {} against the CPU", env!("TIDEPOOL_VERSION"), used.name))?;
    print(format!("{:<20}{:<6}{:>12}{:>10}{:>10}", "part", "in", "difference", "limit", "seconds"))?;
    let mut printed = Ok(());
    let findings = check(choice, &mut |finding| {
        if printed.is_ok() {
            printed = print(row(finding));
        }
    })
    .map_err(Failure::failed)?;
    printed?;
    verdict(used, &findings)
}

fn row(finding: &Comparison) -> String {
    let Comparison { part, precision, difference, limit, secs } = finding;
    let wrong = if finding.is_right() { "" } else { "  wrong" };
    let (part, precision) = (part.name(), precision.name());
    format!("{part:<20}{precision:<6}{difference:>12.1e}{limit:>10.0e}{secs:>10.1}{wrong}")
}

fn verdict(used: &DeviceInfo, findings: &[Comparison]) -> Result<(), Failure> {
    match findings.iter().filter(|finding| !finding.is_right()).count() {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "{} computes something else than the CPU: its pictures would be wrong. Use the CPU, try a newer \
             driver, and please report these lines",
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
        AdapterKind::Software => "software, slower than the CPU itself",
        AdapterKind::Other => "of a kind unknown to Tidepool",
    };
    let precision = if adapter.f16 { "f16 and f32" } else { "f32" };
    let mebibytes = adapter.largest_buffer >> 20;
    let trouble = adapter.trouble.as_ref().map_or_else(String::new, |trouble| format!("\n       {trouble}"));
    format!(
        "{number:<7}{}\n       {kind}; {}, driver {}; computes in {precision}; buffers up to {mebibytes} MiB{trouble}",
        adapter.name, adapter.backend, adapter.driver
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_says_how_it_is_asked_for() {
        let mut adapter = AdapterInfo {
            number: Some(1),
            name: "Tide 9000".to_owned(),
            backend: "vulkan".to_owned(),
            kind: AdapterKind::Discrete,
            driver: "1.2".to_owned(),
            f16: true,
            largest_buffer: 2 << 30,
            trouble: None,
        };
        let said = line(&adapter);
        assert!(said.starts_with("gpu:1  Tide 9000\n"), "{said}");
        assert!(said.contains("f16") && said.contains("2048 MiB"), "{said}");
        adapter.number = None;
        adapter.kind = AdapterKind::Software;
        adapter.trouble = Some("Its driver is too old".to_owned());
        let said = line(&adapter);
        assert!(said.starts_with("-      Tide 9000\n"), "{said}");
        assert!(said.ends_with("\n       Its driver is too old"), "{said}");
    }
}
