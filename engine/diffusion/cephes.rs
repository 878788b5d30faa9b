//! Single-precision logarithm, sine and cosine, to the last bit as PyTorch's vector code has them.
//!
//! Their method and their constants are those of S. Moshier's Cephes library. PyTorch's compiler
//! fuses each multiplication with the addition that follows it; that rounds once where two operations
//! round twice, so every `mul_add` here is part of the result. `f32::ln` differs in one value of six.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_PI_4};

/// Natural logarithm of a positive normal number.
pub(super) fn log(x: f32) -> f32 {
    // x = m 2^e with m in sqrt(1/2)..sqrt(2), and log(m) from a polynomial in m - 1.
    let mut e = (x.to_bits() >> 23) as f32 - 126.0;
    let m = f32::from_bits((x.to_bits() & 0x007f_ffff) | 0x3f00_0000);
    let x = if m < FRAC_1_SQRT_2 {
        e -= 1.0;
        (m - 1.0) + m
    } else {
        m - 1.0
    };
    let z = x * x;
    let p = polynomial(
        x,
        &[
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_84e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_4e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    // ln 2 = 0.693359375 - 2.12194440e-4: the first has few bits, so e times it is exact.
    let y = (p * x).mul_add(z, e * -2.121_944_4e-4) - 0.5 * z;
    e.mul_add(0.693_359_4, x + y)
}

/// Sine and cosine of an angle of 0 to some thousands of radians.
pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    // The nearest even multiple j of pi/4; x is what remains, in -pi/4..pi/4.
    let octant = ((angle * (1.0 / FRAC_PI_4)) as u32 + 1) & !1;
    let j = octant as f32;
    // pi/4 in three parts of which the first two have few bits (Cody and Waite).
    let x = j.mul_add(-0.785_156_25, angle);
    let x = j.mul_add(-2.418_756_5e-4, x);
    let x = j.mul_add(-3.774_895e-8, x);

    let z = x * x;
    let c = polynomial(z, &[2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]);
    let cos = (c * z).mul_add(z, -0.5 * z) + 1.0;
    let s = polynomial(z, &[-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]);
    let sin = (s * z).mul_add(x, x);

    match octant & 7 {
        0 => (sin, cos),
        2 => (cos, -sin),
        4 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Horner's rule, highest power first.
fn polynomial(x: f32, coefficients: &[f32]) -> f32 {
    coefficients.iter().copied().reduce(|sum, c| sum.mul_add(x, c)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_agree_with_the_standard_library_to_an_ulp_or_two() {
        for i in 1..=4096u16 {
            let unit = f32::from(i) / 4096.0;
            assert!((log(unit) - unit.ln()).abs() <= 2e-7 * unit.ln().abs().max(0.1), "log {unit}");
            let angle = std::f32::consts::TAU * unit;
            let (sin, cos) = sin_cos(angle);
            assert!((sin - angle.sin()).abs() < 2e-7 && (cos - angle.cos()).abs() < 2e-7, "{angle}");
        }
    }
}
