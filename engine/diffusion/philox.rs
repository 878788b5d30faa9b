//! Noise as PyTorch makes it on an NVIDIA card, in the way that AUTOMATIC1111's "NV" does it on a CPU.
//!
//! The sine and the logarithm of a card may differ in the last bits.

/// `torch.Generator("cuda").manual_seed(seed)`.
#[derive(Clone, Debug)]
pub struct NvidiaGenerator {
    seed: u64,
    /// The number of tensors drawn so far.
    draws: u32,
}

impl NvidiaGenerator {
    pub fn new(seed: u64) -> Self {
        Self { seed, draws: 0 }
    }

    /// The next `n` standard normal numbers.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        let (seed, draw) = (self.seed, self.draws);
        self.draws = draw.wrapping_add(1);
        (0..n).map(|i| normal(philox([draw, 0, i as u32, 0], seed))).collect()
    }
}

/// Box and Muller (1958), the first number of the pair. The constants are f32, the arithmetic is not, and the
/// other two words are not used.
fn normal([first, second, ..]: [u32; 4]) -> f32 {
    const TURN: f32 = 2.328_306_4e-10; // 2^-32
    const ANGLE: f32 = (2.328_306_4e-10 * 6.283_185_5) as f32;
    let scaled = |word: u32, by: f32| f64::from(word) * f64::from(by) + f64::from(by / 2.0);
    let radius = (-2.0 * scaled(first, TURN).ln()).sqrt();
    (radius * scaled(second, ANGLE).sin()) as f32
}

/// Philox4x32-10 of Salmon et al. (2011), "Parallel Random Numbers: As Easy as 1, 2, 3": four words that
/// follow from a counter and a key alone.
fn philox(counter: [u32; 4], key: u64) -> [u32; 4] {
    const ROUNDS: u32 = 10;
    let (mut key_0, mut key_1) = (key as u32, (key >> 32) as u32);
    let [mut a, mut b, mut c, mut d] = counter;
    for _ in 0..ROUNDS {
        let first = u64::from(a) * 0xd251_1f53;
        let second = u64::from(c) * 0xcd9e_8d57;
        [a, b, c, d] = [
            (second >> 32) as u32 ^ b ^ key_0,
            second as u32,
            (first >> 32) as u32 ^ d ^ key_1,
            first as u32,
        ];
        key_0 = key_0.wrapping_add(0x9e37_79b9);
        key_1 = key_1.wrapping_add(0xbb67_ae85);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From AUTOMATIC1111's `rng_philox.py`.
    #[test]
    fn noise_is_that_of_nvidias_cards() {
        let theirs = [
            -0.924_662_4,
            -0.425_343_96,
            -2.643_845_8,
            0.145_183_88,
            -0.120_866_51,
            -0.579_725_7,
            -0.622_851_3,
            -0.328_387_14,
            -1.074_542,
            -0.363_144_1,
            -1.671_050_4,
            2.265_505,
        ];
        assert_eq!(NvidiaGenerator::new(0).randn(12), theirs);
    }

    /// The known answers of Random123's `kat_vectors`.
    #[test]
    fn the_words_are_those_that_its_authors_published() {
        assert_eq!(philox([0; 4], 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], u64::MAX), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let key = 0x299f_31d0_a409_3822;
        assert_eq!(philox(counter, key), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }
}
