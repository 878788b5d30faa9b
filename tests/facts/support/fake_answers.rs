//! What an engine might answer; the same on every machine.

use std::sync::Arc;

use engine::images::Pixels;
use engine::inspect::token::{EncoderStage, Neighbour, TokenTrace};

/// A sun over the sea, the clearer the larger `clear` is: the same on every machine.
pub fn gradient_image(side: u32, clear: f32, picture: u32) -> Arc<Pixels> {
    let mut rgb = Vec::new();
    for at in 0..side * side {
        let (x, y) = ((at % side) as f32 / side as f32, (at / side) as f32 / side as f32);
        let from_sun = (x - 0.3 - 0.12 * picture as f32).hypot(y - 0.36);
        let sun = ((0.2 - from_sun) * 24.0).clamp(0.0, 1.0);
        let wave = 0.62 + 0.02 * (x * 19.0 + picture as f32).sin();
        let sea = ((y - wave) * 40.0).clamp(0.0, 1.0);
        let haze = 1.0 - clear.clamp(0.0, 1.0);
        for (sky, water, light) in [(0.95, 0.05, 1.0), (0.62, 0.42, 0.84), (0.42, 0.47, 0.5)] {
            let air = sky * (1.0 - 0.5 * y);
            let value = air + (light - air) * sun;
            let value = value + (water - value) * sea * (1.0 - 0.3 * x);
            rgb.push(((value + (0.55 - value) * haze) * 255.0) as u8);
        }
    }
    Arc::new(Pixels::new(side, side, rgb))
}

/// As an engine might answer; the same on every machine.
pub fn token_trace() -> TokenTrace {
    let pieces = ["puppy</w>", "dog</w>", "kitten</w>", "cat</w>", "fox</w>", "owl</w>", "bear</w>", "ģ</w>"];
    let nearest = pieces.iter().zip(1..).map(|(piece, at)| Neighbour {
        id: at,
        piece: (*piece).into(),
        cosine: 1.0 / (at as f32).sqrt(),
    });
    let names = ["Token embedding", "Position embedding", "Their sum", "Output embedding"];
    let stage = |name| EncoderStage {
        name,
        vector: (0..128)
            .map(|at| (at as f32 * 0.7).sin() * (at as f32 * 0.11 + name.len() as f32).cos())
            .collect(),
        norm: 0.38 * name.len() as f32,
        nearest: nearest.clone().collect(),
    };
    let moved = (0..77).map(|at| if at < 2 { 0.0 } else { 9.0 / (at - 1) as f32 });
    TokenTrace { stages: names.map(stage), differences: moved.collect() }
}
