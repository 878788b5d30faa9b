//! `tidepool bench --orders`: the order of convergence of each sampler, measured on a denoiser with a
//! closed-form solution.

use engine::diffusion::{Sampler, SamplerOptions, measured_order};
use serde_json::{Value, json};

use super::bench::BenchArgs;
use super::{Failure, print};

/// A sampler with its theoretical and its measured order.
struct Row {
    name: String,
    theory: f32,
    measured: f32,
}

pub fn bench_orders(args: &BenchArgs) -> Result<(), Failure> {
    let rows: Vec<Row> = Sampler::ALL.into_iter().flat_map(rows_of).collect();
    if args.json {
        let row = |row: &Row| json!({ "sampler": row.name, "order": row.theory, "measured_order": f64::from(row.measured) });
        return print(json!({ "orders": rows.iter().map(row).collect::<Vec<Value>>() }));
    }
    let mut lines = vec![format!("{:<16}{:>8}{:>10}", "sampler", "order", "measured")];
    lines.extend(rows.iter().map(|row| format!("{:<16}{:>8}{:>10.2}", row.name, row.theory, row.measured)));
    lines.push("Order n: doubling the number of steps divides the error by 2^n.".to_owned());
    print(lines.join("\n"))
}

/// One row; for LMS one for each order it can be set to; none for a sampler without an order.
fn rows_of(sampler: Sampler) -> Vec<Row> {
    let orders: &[f32] = if sampler == Sampler::Lms { &[1.0, 2.0, 3.0, 4.0] } else { &[1.0] };
    let row = |&order: &f32| {
        let options = SamplerOptions { order: Some(order), ..SamplerOptions::default() };
        let name = match orders.len() {
            1 => sampler.name().to_owned(),
            _ => format!("{} --order {order}", sampler.name()),
        };
        Some(Row { name, theory: sampler.order(&options)?, measured: measured_order(sampler, &options) })
    };
    orders.iter().filter_map(row).collect()
}
