//! Quantiles of the beta distribution, for the beta schedule.

/// Where the distribution function of the beta distribution with both parameters `shape` reaches
/// `probability`, 0 to 1.
pub(super) fn beta_quantile(shape: f64, probability: f64) -> f64 {
    if probability > 0.5 {
        return 1.0 - beta_quantile(shape, 1.0 - probability);
    }
    // With equal parameters half of the mass lies below 1/2, which avoids the gamma function.
    let half = mass_below(shape, 0.5);
    let (mut low, mut high) = (0.0, 0.5);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if mass_below(shape, middle) <= 2.0 * probability * half { low = middle } else { high = middle }
    }
    high
}

/// The integral of `(t (1 - t))^(shape - 1)` from 0 to `x`, at most 1/2: equation 26.5.4 of
/// Abramowitz and Stegun (1964), whose terms shrink by about `x` each.
fn mass_below(shape: f64, x: f64) -> f64 {
    let terms = (0..70).scan(1.0, |term, n| {
        let now = *term;
        let n = f64::from(n);
        *term *= x * (2.0 * shape + n) / (shape + 1.0 + n);
        Some(now)
    });
    (x * (1.0 - x)).powf(shape) / shape * terms.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_distributions_known_in_closed_form() {
        for percent in 0..=100u8 {
            let p = f64::from(percent) / 100.0;
            assert!((beta_quantile(1.0, p) - p).abs() < 1e-12, "uniform at {p}");
            let arcsine = (std::f64::consts::FRAC_PI_2 * p).sin().powi(2);
            assert!((beta_quantile(0.5, p) - arcsine).abs() < 1e-12, "arcsine at {p}");
        }
    }
}
