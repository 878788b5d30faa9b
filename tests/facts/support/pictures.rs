//! Pictures, recipes and traces for the facts about files, and PNG files made byte by byte.

use std::fs;
use std::io::Cursor;

use engine::diffusion::{Latents, LossGuidance, RecordedStep, Sampler, Schedule};
use engine::images::{
    Animation, Array, FoundRecipe, Panel, Pixels, Playback, Provenance, RecipeReadError, Trace, read_recipe,
};
use engine::recipe::{Guidance, Recipe};
use image::{DynamicImage, ImageFormat};

use super::folders::folder;

pub fn recipe(prompt: &str) -> Recipe {
    Recipe {
        prompt: prompt.to_owned(),
        width: 512,
        height: 512,
        seed: 965_400_086,
        steps: 20,
        sampler: Sampler::DpmPp2m,
        schedule: Schedule::Karras,
        guidance: Guidance { cfg_scale: 7.0 },
        ..Recipe::default()
    }
}

pub fn prompt_of(found: &Option<FoundRecipe>) -> String {
    found.as_ref().map_or("none".to_owned(), |found| found.provenance.recipe.prompt.clone())
}

pub fn read_bytes(png: &[u8]) -> Result<Option<FoundRecipe>, RecipeReadError> {
    let folder = folder();
    let path = folder.path().join("a.png");
    fs::write(&path, png).expect("written");
    read_recipe(&path)
}

pub fn gradient(width: u32, height: u32) -> Pixels {
    let colour = |x: u32, y: u32| [(x * 7) as u8, (y * 5) as u8, (x * y) as u8];
    let rows = (0..height).flat_map(|y| (0..width).flat_map(move |x| colour(x, y)));
    Pixels::new(width, height, rows.collect())
}

pub fn flat(width: u32, height: u32, colour: [u8; 3]) -> Pixels {
    Pixels::new(width, height, colour.repeat((width * height) as usize))
}

/// Ten frames a second without captions. Frame i is grey of the value 40 i, and half as large as it will be.
pub fn animation(frames: u8, size: (u32, u32)) -> Animation {
    let grey = |step: u8| flat(size.0 / 2, size.1 / 2, [40 * step; 3]);
    let pane = |step| Panel { picture: grey(step).into(), caption: None };
    let provenance = Provenance::new("m", recipe("a film"));
    let frames = (0..frames).map(|frame| vec![pane(frame)]).collect();
    Animation { frames, size, fps: 10, playback: Playback::Loop, provenance }
}

pub fn trace() -> Trace {
    let array = |shape: &[usize], scale: f32| {
        let count = shape.iter().product::<usize>();
        Array::new(shape, (0..count).map(|i| i as f32 * scale).collect())
    };
    let latents = |scale| Latents::new([1, 4, 2, 2], array(&[1, 4, 2, 2], scale).data);
    Trace {
        provenance: Provenance::new("m", recipe("a cat")),
        sigmas: vec![14.6, 1.0, 0.0],
        steps: vec![
            RecordedStep {
                sigma: 14.6,
                x: latents(0.1),
                denoised: latents(0.3),
                loss_guidance: None,
                guidance: None,
                later: vec![latents(0.7)],
            },
            RecordedStep {
                sigma: 1.0,
                x: latents(0.2),
                denoised: latents(0.4),
                loss_guidance: Some(LossGuidance {
                    losses: vec![None, Some(vec![0.5])],
                    gradient: latents(0.8),
                }),
                guidance: None,
                later: vec![],
            },
        ],
        cond: array(&[1, 7, 3], 0.5),
        uncond: Some(array(&[1, 7, 3], 0.6)),
        latents: latents(f32::MIN_POSITIVE),
        image: array(&[1, 3, 16, 16], 1e-3),
    }
}

pub fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

/// A grey PNG with these chunks before its pixels.
pub fn png_with(chunks: &[Vec<u8>]) -> Vec<u8> {
    with_chunks(&encoded(&DynamicImage::new_luma8(2, 2), ImageFormat::Png), chunks)
}

pub fn with_chunks(png: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    const AFTER_HEADER: usize = 8 + 25;
    [&png[..AFTER_HEADER], &chunks.concat(), &png[AFTER_HEADER..]].concat()
}

/// The same pixels under a header that says this.
pub fn png_header(png: &[u8], width: u32, height: u32, colour_type: u8) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    let header = [&width[..], &height[..], &[8, colour_type, 0, 0, 0]].concat();
    [&png[..8], &chunk(b"IHDR", &header), &png[33..]].concat()
}

pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [&kind[..], data].concat();
    let length = (data.len() as u32).to_be_bytes();
    [&length[..], &named, &crc32(&named).to_be_bytes()].concat()
}

pub fn text(keyword: &str, text: &str) -> Vec<u8> {
    match keyword {
        "tidepool" => itxt(keyword, text),
        _ => chunk(b"tEXt", format!("{keyword}\0{text}").as_bytes()),
    }
}

pub fn itxt(keyword: &str, text: &str) -> Vec<u8> {
    chunk(b"iTXt", format!("{keyword}\0\0\0\0\0{text}").as_bytes())
}

/// The data of every chunk of this kind.
pub fn chunks_of(png: &[u8], kind: &[u8; 4]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = &png[8..];
    while let Some((head, after)) = rest.split_at_checked(8) {
        let length = u32::from_be_bytes(head[..4].try_into().expect("4 bytes")) as usize;
        if &head[4..] == kind {
            found.push(after[..length].to_vec());
        }
        rest = &after[length + 4..];
    }
    found
}

/// The checksum of PNG (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}

/// 8 x 8 pixels of Adobe CMYK, every ink at 128: each code table has one code, `0`, for "no change"
/// and for "end of block", so one zero byte is the whole picture.
pub fn cmyk_jpeg() -> Vec<u8> {
    let table = |class: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 16]].concat();
    [
        b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0".to_vec(),
        [&[0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat(),
        b"\xff\xc0\0\x14\x08\0\x08\0\x08\x04\x01\x11\0\x02\x11\0\x03\x11\0\x04\x11\0".to_vec(),
        table(0x00),
        table(0x10),
        b"\xff\xda\0\x0e\x04\x01\0\x02\0\x03\0\x04\0\0\x3f\0".to_vec(),
        b"\0\xff\xd9".to_vec(),
    ]
    .concat()
}

/// Two frames of 2 x 2 pixels; the first has the colour 10, 20, 30.
pub fn animated_webp() -> Vec<u8> {
    let still = |colour: [u8; 3]| {
        let picture = image::RgbImage::from_pixel(2, 2, image::Rgb(colour));
        encoded(&picture.into(), ImageFormat::WebP)[12..].to_vec()
    };
    let riff = |name: &[u8; 4], data: &[u8]| [&name[..], &(data.len() as u32).to_le_bytes(), data].concat();
    // Place, sides less one, 100 ms, no blending.
    let frame = |colour| {
        let head = [0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 100, 0, 0, 2];
        riff(b"ANMF", &[&head[..], &still(colour)].concat())
    };
    let parts = [
        b"WEBP".to_vec(),
        riff(b"VP8X", &[2, 0, 0, 0, 1, 0, 0, 1, 0, 0]),
        riff(b"ANIM", &[0, 0, 0, 0, 0, 0]),
        frame([10, 20, 30]),
        frame([200, 200, 200]),
    ];
    riff(b"RIFF", &parts.concat())
}
