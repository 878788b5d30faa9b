//! `tidepool devices`: the adapters, what each can do, which one is used and why.

use engine::device::{AdapterCard, AdapterKind, adapters, choose};
use serde_json::json;

use super::args::DevicesArgs;
use super::{Failure, say};

pub fn devices(args: &DevicesArgs) -> Result<(), Failure> {
    let adapters = adapters();
    let used = choose(args.device.choice()).map_err(Failure::failed)?.card;
    if args.json {
        return say(json!({ "adapters": adapters, "used": used }));
    }
    if adapters.is_empty() {
        say("No graphics adapter was found")?;
    }
    for adapter in &adapters {
        say(line(adapter))?;
    }
    say(format!("Used: {} in {}. {}", used.name, used.precision.name(), used.why))
}

fn line(adapter: &AdapterCard) -> String {
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
    format!(
        "{number:<7}{}\n       {kind}; {}, driver {}; computes in {precision}; buffers up to {mebibytes} MiB",
        adapter.name, adapter.backend, adapter.driver
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_says_how_it_is_asked_for() {
        let mut adapter = AdapterCard {
            number: Some(1),
            name: "Tide 9000".to_owned(),
            backend: "vulkan".to_owned(),
            kind: AdapterKind::Discrete,
            driver: "1.2".to_owned(),
            f16: true,
            largest_buffer: 2 << 30,
        };
        let said = line(&adapter);
        assert!(said.starts_with("gpu:1  Tide 9000\n"), "{said}");
        assert!(said.contains("f16 and f32; buffers up to 2048 MiB"), "{said}");
        adapter.number = None;
        adapter.kind = AdapterKind::Software;
        assert!(line(&adapter).starts_with("-      Tide 9000\n       software"), "{}", line(&adapter));
    }
}
