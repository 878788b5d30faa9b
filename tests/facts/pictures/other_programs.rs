//! Pictures of other programs: A1111's text in Exif, and settings that are named but not read.

use std::fs;
use std::path::{Path, PathBuf};

use app::features::drop::{DroppedFiles, FileContents};
use engine::images::{RecipeReadError, read_recipe};
use image::{DynamicImage, ImageFormat};

use crate::support::cli::tidepool;
use crate::support::folders::folder;
use crate::support::numbers::golden_folder;
use crate::support::pictures::{chunk, encoded, itxt, png_with, prompt_of, read_bytes, text};

fn golden(name: &str) -> PathBuf {
    golden_folder().join("data/pictures").join(name)
}

/// Exif data with these fields, all of which have one byte per element; the user comment is in a directory of its own.
fn exif(is_little_endian: bool, fields: &[(u16, &[u8])]) -> Vec<u8> {
    let number = |value: usize, len: usize| {
        let mut bytes = (value as u32).to_le_bytes()[..len].to_vec();
        if !is_little_endian {
            bytes.reverse();
        }
        bytes
    };
    let (mut file, mut at_end) = (Vec::new(), Vec::new());
    file.extend(if is_little_endian { *b"II*\0" } else { *b"MM\0*" });
    file.extend(number(8, 4));
    let (comments, main): (Vec<_>, Vec<_>) = fields.iter().partition(|(tag, _)| *tag == 0x9286);
    let main_len = 2 + 12 * (main.len() + 1) + 4;
    let values_at = 8 + main_len + 2 + 12 * comments.len() + 4;
    let mut directory = |fields: &[&(u16, &[u8])], pointer: Option<usize>| {
        let mut bytes = number(fields.len() + usize::from(pointer.is_some()), 2);
        for (tag, value) in fields {
            let place = number(values_at + at_end.len(), 4);
            bytes.extend([number((*tag).into(), 2), number(7, 2), number(value.len(), 4)].concat());
            match value.len() {
                ..=4 => bytes.extend([value, &[0; 4][value.len()..]].concat()),
                _ => bytes.extend(place),
            }
            at_end.extend_from_slice(value);
        }
        if let Some(pointer) = pointer {
            bytes.extend([number(0x8769, 2), number(4, 2), number(1, 4), number(pointer, 4)].concat());
        }
        [bytes, number(0, 4)].concat()
    };
    file.extend(directory(&main, Some(8 + main_len)));
    file.extend(directory(&comments, None));
    [file, at_end].concat()
}

fn jpeg_with(exif: &[u8]) -> Vec<u8> {
    let jpeg = encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
    let app1 = [b"Exif\0\0", exif].concat();
    let length = (app1.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &app1, &jpeg[2..]].concat()
}

fn webp_with(exif: &[u8]) -> Vec<u8> {
    let pixels = encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::WebP)[12..].to_vec();
    let riff = |name: &[u8; 4], data: &[u8]| {
        [&name[..], &(data.len() as u32).to_le_bytes(), data, &[0][..data.len() % 2]].concat()
    };
    let parts =
        [b"WEBP".to_vec(), riff(b"VP8X", &[8, 0, 0, 0, 7, 0, 0, 7, 0, 0]), pixels, riff(b"EXIF", exif)];
    riff(b"RIFF", &parts.concat())
}

const COMMENT: u16 = 0x9286;

#[test]
fn the_text_of_a1111_is_read_from_a_jpeg_and_a_webp() {
    for name in ["exif-little-endian.jpg", "exif-big-endian.webp"] {
        let found = read_recipe(&golden(name)).expect(name).expect(name);
        let recipe = &found.provenance.recipe;
        assert_eq!(recipe.prompt, "a red kite over dunes");
        assert_eq!(recipe.negative_prompt, "blur, noise");
        assert_eq!((recipe.steps, recipe.seed, recipe.width, recipe.height), (22, 4242, 512, 768));
        assert_eq!(found.provenance.program, "AUTOMATIC1111 v1.10.1");
    }
}

#[test]
fn a_user_comment_is_read_in_every_encoding() {
    let words = "a 猫, é\nNegative prompt: dog\nSteps: 20, Seed: 3";
    let utf16 = |to_bytes: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    };
    let marked = format!("\u{feff}{words}\0");
    let plain = words.replace(['猫', 'é'], "x");
    let comments = [
        ("UTF-16, big-endian", [b"UNICODE\0", &utf16(u16::to_be_bytes, words)[..]].concat()),
        ("UTF-16, little-endian", [b"UNICODE\0", &utf16(u16::to_le_bytes, words)[..]].concat()),
        ("with a mark, big-endian", [b"UNICODE\0", &utf16(u16::to_be_bytes, &marked)[..]].concat()),
        ("with a mark, little-endian", [b"UNICODE\0", &utf16(u16::to_le_bytes, &marked)[..]].concat()),
        ("UTF-8 by the name of Unicode", [b"UNICODE\0", words.as_bytes()].concat()),
        ("ASCII", [b"ASCII\0\0\0", plain.as_bytes()].concat()),
        ("undefined", [&[0; 8], words.as_bytes()].concat()),
        ("without a name", words.as_bytes().to_vec()),
    ];
    for (what, comment) in comments {
        for is_little_endian in [true, false] {
            let exif = exif(is_little_endian, &[(0x0131, b"some software"), (COMMENT, &comment)]);
            let prefixed = [b"Exif\0\0", &exif[..]].concat();
            let files = [
                jpeg_with(&exif),
                webp_with(&exif),
                webp_with(&prefixed),
                png_with(&[chunk(b"eXIf", &exif)]),
            ];
            for file in files {
                let found = read_bytes(&file).unwrap_or_else(|error| panic!("{what}: {error}"));
                let prompt = if what == "ASCII" { "a x, x" } else { "a 猫, é" };
                assert_eq!(prompt_of(&found), prompt, "{what}");
                let recipe = found.expect("a recipe").provenance.recipe;
                assert_eq!(
                    (recipe.negative_prompt.as_str(), recipe.steps, recipe.seed),
                    ("dog", 20, 3),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_comment_of_a_camera_is_not_a_recipe() {
    for comment in [
        &b"ASCII\0\0\0               "[..],
        b"ASCII\0\0\0Screenshot",
        b"\0\0\0\0\0\0\0\0{\"sceneMode\": 1}",
        b"UNICODE\0",
        b"ASC",
        b"",
    ] {
        let exif = exif(true, &[(0x010f, b"Canon"), (0x0110, b"EOS: 5"), (COMMENT, comment)]);
        assert_eq!(prompt_of(&read_bytes(&jpeg_with(&exif)).expect("a picture")), "none", "{comment:?}");
    }
    let exif = exif(false, &[(COMMENT, b"ASCII\0\0\0a\nSteps: 1, Seed: 1, Size: 8x8")]);
    for at in 0..exif.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut damaged = exif.clone();
            damaged[at] = byte;
            // Whatever it is, it is read in a moment and without a panic.
            drop(read_bytes(&jpeg_with(&damaged)));
            drop(read_bytes(&jpeg_with(&exif[..at])));
        }
    }
}

/// Each file with the program whose it is.
fn foreign_files(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let comfy = exif(true, &[(0x010f, br#"workflow:{"nodes": []}"#), (0x0110, br#"prompt:{"3": {}}"#)]);
    let swarm = exif(false, &[(COMMENT, br#"ASCII\0\0\0{"sui_image_params": {"prompt": "x"}}"#)]);
    let novelai = exif(false, &[(0x0131, b"NovelAI"), (COMMENT, br#"ASCII\0\0\0{"Comment": "{}"}"#)]);
    let xmp =
        br#"<rdf:Description xmp:CreatorTool="Draw Things"><exif:UserComment>{&quot;c&quot;:&quot;x&quot;}"#;
    let made = [
        ("swarm.png", png_with(&[text("parameters", r#"{"sui_image_params": {}}"#)]), "SwarmUI"),
        ("fooocus.png", png_with(&[text("parameters", r#" {"prompt": "x"}"#)]), "Fooocus"),
        ("workflow.png", png_with(&[text("workflow", r#"{"nodes": []}"#)]), "ComfyUI"),
        ("prompt.png", png_with(&[text("prompt", "{\n \"3\": {}}")]), "ComfyUI"),
        ("invoke-2.png", png_with(&[text("sd-metadata", "{}"), text("Dream", "x -s 50")]), "InvokeAI"),
        ("invoke-1.png", png_with(&[text("Dream", "\"x\" -s 50 -S 1")]), "InvokeAI"),
        (
            "braces.png",
            png_with(&[text("prompt", "{a,b} x"), text("num_inference_steps", "25")]),
            "Easy Diffusion",
        ),
        ("draw.png", png_with(&[itxt("XML:com.adobe.xmp", &String::from_utf8_lossy(xmp))]), "Draw Things"),
        ("comfy.webp", webp_with(&comfy), "ComfyUI"),
        ("swarm.jpg", jpeg_with(&swarm), "SwarmUI"),
        ("novelai.webp", webp_with(&novelai), "NovelAI"),
    ];
    let mut files: Vec<(PathBuf, &str)> = Vec::new();
    for (name, bytes, program) in made {
        fs::write(folder.join(name), bytes).expect("writes");
        files.push((folder.join(name), program));
    }
    let given = [
        ("novelai.png", "NovelAI"),
        ("invoke.png", "InvokeAI"),
        ("draw-things.png", "Draw Things"),
        ("easy-diffusion.png", "Easy Diffusion"),
    ];
    files.extend(given.map(|(name, program)| (golden(name), program)));
    files
}

#[test]
fn settings_of_other_programs_are_named() {
    let folder = folder();
    for (path, program) in foreign_files(folder.path()) {
        let error = read_recipe(&path).err().unwrap_or_else(|| panic!("{} is not foreign", path.display()));
        assert!(matches!(error, RecipeReadError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains(program), "{program}: {error}");

        let dropped = DroppedFiles::of(vec![path.clone()]);
        let FileContents::Picture { notes, found: None, .. } = &dropped.others[0].contents else {
            panic!("{dropped:?}");
        };
        assert!(notes.iter().any(|note| note.contains(program)), "{notes:?}");
        let told = tidepool(folder.path(), &["inspect", &path.to_string_lossy()]).stdout;
        assert!(told.contains(program), "{told}");
    }
}

#[test]
fn a_text_that_can_be_read_comes_before_settings_of_other_programs() {
    let parameters = text("parameters", "a cat\nSteps: 20, Seed: 3");
    let workflow = text("workflow", r#"{"nodes": []}"#);
    for chunks in [[parameters.clone(), workflow.clone()], [workflow, parameters]] {
        assert_eq!(prompt_of(&read_bytes(&png_with(&chunks)).expect("a picture")), "a cat");
    }
    for (name, steps) in [("few-settings.png", 20), ("raw-line-break.png", 20)] {
        let found = read_recipe(&golden(name)).expect(name).expect(name);
        assert_eq!(
            (found.provenance.recipe.prompt.as_str(), found.provenance.recipe.steps),
            ("kite", steps),
            "{name}"
        );
    }
}
