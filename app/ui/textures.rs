//! Pictures as textures: uploaded once, scaled up smoothly, evicted when there are too many.

use std::collections::HashMap;
use std::sync::Arc;

use egui::{ColorImage, TextureHandle, TextureOptions};
use engine::images::Pixels;
use image::imageops::{self, FilterType};
use image::{ImageBuffer, Rgb};

/// The use of a texture, which decides its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// Small, in the filmstrip or beside a name.
    Thumbnail,
    /// On the canvas. The GPU interpolates linearly, which shows the pixel grid of a small picture,
    /// so small pictures are enlarged with a cubic kernel first.
    Canvas,
    /// On the canvas, with every pixel a square.
    Pixels,
}

/// The textures in use, bounded in bytes.
#[derive(Default)]
pub struct Textures {
    entries: HashMap<(usize, Use), Entry>,
    bytes: usize,
    clock: u64,
}

struct Entry {
    texture: TextureHandle,
    /// Kept alive so that no other picture can reuse this address.
    _pixels: Arc<Pixels>,
    last_used: u64,
}

impl Textures {
    const MAX_BYTES: usize = 160 << 20;

    /// The texture of a picture, uploaded now if it was not before.
    pub fn get(&mut self, ctx: &egui::Context, pixels: &Arc<Pixels>, purpose: Use) -> TextureHandle {
        self.clock += 1;
        let key = (Arc::as_ptr(pixels).addr(), purpose);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.last_used = self.clock;
            return entry.texture.clone();
        }
        let most_side = ctx.input(|input| input.max_texture_side);
        let image = prepared(pixels, purpose, most_side);
        let options = match purpose {
            Use::Pixels => TextureOptions::NEAREST,
            _ => TextureOptions::LINEAR,
        };
        self.bytes += image.as_raw().len();
        let texture = ctx.load_texture("picture", image, options);
        let entry = Entry { texture: texture.clone(), _pixels: Arc::clone(pixels), last_used: self.clock };
        self.entries.insert(key, entry);
        self.forget_oldest();
        texture
    }

    fn forget_oldest(&mut self) {
        while self.bytes > Self::MAX_BYTES && self.entries.len() > 1 {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last_used);
            let Some(key) = oldest.map(|(&key, _)| key) else { return };
            if let Some(entry) = self.entries.remove(&key) {
                self.bytes = self.bytes.saturating_sub(entry.texture.byte_size());
            }
        }
    }
}

fn prepared(pixels: &Pixels, purpose: Use, most_side: usize) -> ColorImage {
    let most_side = most_side as u32;
    let long_side = pixels.width.max(pixels.height).max(1);
    let wanted = match purpose {
        Use::Thumbnail => 128,
        // A preview changes many times a second; 16 times its side is smooth and quick.
        Use::Canvas if long_side <= 32 => 16 * long_side,
        Use::Canvas => long_side.max(512),
        Use::Pixels => long_side,
    };
    let target = wanted.min(most_side);
    if target == long_side {
        return color_image(pixels.width, pixels.height, &pixels.rgb);
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(target) / u64::from(long_side)).max(1) as u32;
    let (width, height) = (scaled(pixels.width), scaled(pixels.height));
    let source: ImageBuffer<Rgb<u8>, &[u8]> =
        ImageBuffer::from_raw(pixels.width, pixels.height, pixels.rgb.as_slice())
            .expect("Pixels are as many as their sides say");
    // Previews have few pixels; a sharper kernel would show where they were.
    let filter = match target / long_side {
        0 => FilterType::Triangle,
        1..=7 => FilterType::CatmullRom,
        _ => FilterType::Gaussian,
    };
    let resized = imageops::resize(&source, width, height, filter);
    color_image(width, height, resized.as_raw())
}

fn color_image(width: u32, height: u32, rgb: &[u8]) -> ColorImage {
    ColorImage::from_rgb([width as usize, height as usize], rgb)
}
