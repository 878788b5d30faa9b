//! `tidepool devices`: the adapters, what each can do, which one is used and why.

use engine::device::{AdapterCard, adapters, choose};
use serde_json::json;

use super::Failure;
use super::args::DevicesArgs;

pub fn devices(args: &DevicesArgs) -> Result<(), Failure> {
    let adapters = adapters();
    let used = choose(args.device.choice()).map_err(Failure::failed)?;
    if args.json {
        println!("{}", json!({ "adapters": adapters, "used": used }));
        return Ok(());
    }
    if adapters.is_empty() {
        println!("No graphics adapter was found.");
    }
    for adapter in &adapters {
        println!("{}", line(adapter));
    }
    println!("Used: {}. {}", used.name, used.why);
    Ok(())
}

fn line(_adapter: &AdapterCard) -> String {
    String::new()
}
