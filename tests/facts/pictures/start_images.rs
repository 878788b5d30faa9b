//! Start images: every format, depth and orientation, and files that are not pictures.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use engine::files::FileError;
use engine::images::{
    AnimationFormat, CropRect, Pixels, RecipeReadError, StartImageError, crop_and_resize, crop_to_fill, load,
    read_recipe, to_signed_planes, write_animation,
};
use image::{DynamicImage, ImageFormat, RgbImage};

use crate::support::cpu_time::assert_cpu_time_below;
use crate::support::folders::folder;
use crate::support::numbers::golden_folder;
use crate::support::pictures::{
    animated_webp, animation, chunk, cmyk_jpeg, encoded, flat, gradient, png_header, with_chunks,
};

#[test]
fn pictures_of_every_format_are_loaded_whatever_their_name() {
    let folder = folder();
    let source = RgbImage::from_raw(32, 16, gradient(32, 16).rgb).expect("32 x 16");
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ] {
        let bytes = encoded(&DynamicImage::from(source.clone()), format);
        let path = folder.path().join("picture.txt");
        fs::write(&path, &bytes).expect("written");
        let loaded = load(&path).expect("a picture");
        assert_eq!((loaded.pixels.width, loaded.pixels.height), (32, 16), "{format:?}");
        assert_eq!(loaded.notes, [""; 0], "{format:?}");
        let lossless = !matches!(format, ImageFormat::Jpeg | ImageFormat::Gif);
        assert!(!lossless || loaded.pixels.rgb == source.as_raw()[..], "{format:?}");

        let step = (bytes.len() / 60).max(1);
        for length in (0..bytes.len()).step_by(step) {
            fs::write(&path, &bytes[..length]).expect("written");
            if let Err(error) = load(&path) {
                assert!(error.to_string().ends_with("picture.txt"), "{error}");
            }
        }
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x5a;
            fs::write(&path, &changed).expect("written");
            let _either = load(&path);
        }
    }
}

/// Pictures that Pillow wrote, in every format and in several forms of it.
fn whole_pictures() -> Vec<PathBuf> {
    let files = fs::read_dir(golden_folder().join("data/pictures")).expect("golden pictures").flatten();
    let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("whole-")));
    files.sort();
    assert_eq!(files.len(), 15);
    files
}

#[test]
fn a_picture_that_is_cut_short_is_refused_unless_no_pixel_is_missing() {
    let folder = folder();
    let path = folder.path().join("cut");
    for file in whole_pictures() {
        let whole = load(&file).unwrap_or_else(|error| panic!("{error}")).pixels;
        let bytes = fs::read(&file).expect("reads");
        for length in (1..bytes.len()).step_by(7).chain(bytes.len() - 20..bytes.len()) {
            fs::write(&path, &bytes[..length]).expect("writes");
            let of = format!("{length} of {} bytes of {}", bytes.len(), file.display());
            match load(&path) {
                Ok(cut) => assert!(cut.pixels == whole, "{of}"),
                Err(StartImageError::Damaged { .. } | StartImageError::NotAPicture { .. }) => {}
                Err(error) => panic!("{of}: {error}"),
            }
        }
    }
    let cut = golden_folder().join("data/pictures/cut.jpg");
    let error = load(&cut).expect_err("half of it is missing").to_string();
    assert!(error.contains("copy it again") && error.ends_with("cut.jpg"), "{error}");
}

#[test]
fn a_jpeg_ends_at_its_own_end_and_at_no_other() {
    let folder = folder();
    let path = folder.path().join("a.jpg");
    let bytes = fs::read(golden_folder().join("data/pictures/whole-baseline.jpg")).expect("reads");
    let with_segment = |marker: u8, data: &[u8]| {
        let length = (data.len() as u16 + 2).to_be_bytes();
        [&bytes[..2], &[0xff, marker], &length, data, &bytes[2..]].concat()
    };
    let thumbnail = with_segment(0xe1, &[b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", &bytes[..]].concat());
    let comment = with_segment(0xfe, b"\xff\xd9");
    let fill_bytes = [&bytes[..2], &[0xff; 5], &bytes[2..]].concat();
    let whole = load(&golden_folder().join("data/pictures/whole-baseline.jpg")).expect("a picture").pixels;
    for (what, bytes) in [("thumbnail", &thumbnail), ("comment", &comment), ("fill bytes", &fill_bytes)] {
        // A camera may append a film or another picture.
        for after in [&b""[..], b"\0", b"trailing", b"\xff\xd8\xff\xe0 another"] {
            fs::write(&path, [bytes, after].concat()).expect("writes");
            let loaded = load(&path).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(loaded.pixels == whole, "{what}");
        }
        for length in [bytes.len() / 3, bytes.len() - 200, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).expect("writes");
            assert!(matches!(load(&path), Err(StartImageError::Damaged { .. })), "{what}, {length} bytes");
        }
    }
}

#[test]
fn every_depth_becomes_eight_bits_of_rgb() {
    let folder = folder();
    let path = folder.path().join("a");
    let load_bytes = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        load(&path).expect("a picture")
    };
    let grey = load_bytes(&encoded(&DynamicImage::new_luma8(2, 1), ImageFormat::Png));
    assert_eq!(grey.pixels.rgb, [0; 6]);

    let deep = image::ImageBuffer::from_pixel(1, 1, image::Rgb([65535u16, 32768, 0]));
    assert_eq!(load_bytes(&encoded(&deep.into(), ImageFormat::Png)).pixels.rgb, [255, 128, 0]);

    let glass = image::RgbaImage::from_pixel(1, 1, image::Rgba([100, 0, 200, 128]));
    let loaded = load_bytes(&encoded(&glass.into(), ImageFormat::Png));
    assert_eq!(loaded.pixels.rgb, [177, 127, 227]);
    assert!(loaded.notes[0].contains("white"));

    let indices = image::GrayImage::from_raw(2, 1, vec![0, 1]).expect("2 x 1");
    let palette = [chunk(b"PLTE", &[9, 8, 7, 1, 2, 3]), chunk(b"tRNS", &[255, 0])];
    let palette = with_chunks(&encoded(&indices.into(), ImageFormat::Png), &palette);
    let palette = png_header(&palette, 2, 1, 3);
    assert_eq!(load_bytes(&palette).pixels.rgb, [9, 8, 7, 255, 255, 255]);

    let ink = load_bytes(&cmyk_jpeg());
    assert_eq!((ink.pixels.width, ink.pixels.height), (8, 8));
    assert!(ink.pixels.rgb.iter().all(|value| value.abs_diff(64) <= 2), "{:?}", &ink.pixels.rgb[..3]);
}

#[test]
fn all_eight_orientations_come_upright() {
    let folder = folder();
    let path = folder.path().join("a");
    let colours: [[u8; 3]; 6] =
        [[250, 5, 5], [5, 250, 5], [5, 5, 250], [240, 240, 5], [5, 240, 240], [240, 5, 240]];
    let blocks = RgbImage::from_fn(48, 32, |x, y| image::Rgb(colours[(y / 16 * 3 + x / 16) as usize]));
    for orientation in 1..=8u8 {
        // TIFF header, one entry: tag 0x0112, type SHORT, count 1.
        let exif =
            [b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation][..], &[0; 6]].concat();
        let jpeg = encoded(&DynamicImage::from(blocks.clone()), ImageFormat::Jpeg);
        let app1 = [b"Exif\0\0", &exif[..]].concat();
        let length = (app1.len() as u16 + 2).to_be_bytes();
        let jpeg = [&jpeg[..2], &[0xff, 0xe1], &length, &app1, &jpeg[2..]].concat();
        let png = encoded(&DynamicImage::from(blocks.clone()), ImageFormat::Png);
        let png = with_chunks(&png, &[chunk(b"eXIf", &exif)]);
        for bytes in [jpeg, png] {
            fs::write(&path, &bytes).expect("written");
            let shown = load(&path).expect("a picture").pixels;
            let sides = if orientation < 5 { (48, 32) } else { (32, 48) };
            assert_eq!((shown.width, shown.height), sides, "orientation {orientation}");
            for (y, x) in (0..sides.1 / 16).flat_map(|y| (0..sides.0 / 16).map(move |x| (y, x))) {
                // Column and row in the 3 x 2 blocks as stored (Exif 2.3, 4.6.4, tag 274).
                let (column, row) = match orientation {
                    1 => (x, y),
                    2 => (2 - x, y),
                    3 => (2 - x, 1 - y),
                    4 => (x, 1 - y),
                    5 => (y, x),
                    6 => (y, 1 - x),
                    7 => (2 - y, 1 - x),
                    _ => (2 - y, x),
                };
                let at = ((y * 16 + 8) * shown.width + x * 16 + 8) as usize * 3;
                let colour = colours[(row * 3 + column) as usize];
                let near = shown.rgb[at..].iter().zip(colour).all(|(a, b)| a.abs_diff(b) < 30);
                assert!(near, "orientation {orientation}, block {x} {y}");
            }
        }
    }
}

#[test]
fn the_first_picture_of_an_animation_is_used_and_said_so() {
    let folder = folder();
    let path = folder.path().join("film.gif");
    write_animation(&path, AnimationFormat::Gif, &animation(2, (32, 32)), &mut |_| true).expect("written");
    let first = load(&path).expect("a picture");
    assert_eq!(first.pixels.rgb[..3], [0, 0, 0]);
    assert!(first.notes[0].contains("animation"));

    write_animation(&path, AnimationFormat::Gif, &animation(1, (32, 32)), &mut |_| true).expect("written");
    assert!(load(&path).expect("a picture").notes.is_empty());

    fs::write(&path, animated_webp()).expect("written");
    let first = load(&path).expect("a picture");
    assert_eq!(first.pixels.rgb[..3], [10, 20, 30]);
    assert!(first.notes[0].contains("animation"), "{:?}", first.notes);
}

#[test]
fn bombs_and_strangers_are_refused_with_a_remedy() {
    let folder = folder();
    let path = folder.path().join("a.png");
    let grey = encoded(&DynamicImage::new_luma8(2, 2), ImageFormat::Png);
    let huge = png_header(&grey, i32::MAX as u32, i32::MAX as u32, 0);
    let many = png_header(&grey, 8192, 8192, 6);
    let none = png_header(&grey, 0, 0, 2);
    let wide = encoded(&DynamicImage::new_luma8(8193, 1), ImageFormat::Png);
    let large = encoded(&DynamicImage::new_luma8(8192, 8192), ImageFormat::Png);
    let gif = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;";
    let bmp =
        [b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\xff\xff\xff\x7f\xff\xff\xff\x7f\x01\0\x18\0", &[0; 24][..]]
            .concat();
    for (name, bytes, words) in [
        ("huge", &huge[..], "too large"),
        ("wide", &wide, "too large"),
        ("many", &many, "too large"),
        ("gif", gif, "too large"),
        ("bmp", &bmp, "save"),
        ("html", b"<!doctype html><title>404</title>", "save it as PNG"),
        ("lfs", b"version https://git-lfs.github.com/spec/v1\n", "save it as PNG"),
        ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "save it as PNG"),
        ("ico", b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0", "save it as PNG"),
        ("none", &none, "damaged"),
        ("byte", b"\x89", "save it as PNG"),
    ] {
        fs::write(&path, bytes).expect("written");
        assert_cpu_time_below(Duration::from_secs(2), name, || {
            let error = load(&path).expect_err(name).to_string();
            assert!(error.contains(words) && error.ends_with("a.png"), "{name}: {error}");
        });
    }
    fs::write(&path, &large).expect("written");
    assert_eq!(load(&path).expect("8192 x 8192 in grey").pixels.rgb.len(), 8192 * 8192 * 3);
}

#[test]
fn only_files_with_something_in_them_are_opened() {
    let folder = folder();
    let missing = folder.path().join("missing.png");
    assert!(matches!(load(&missing), Err(StartImageError::Open(FileError::Missing { .. }))));
    assert!(matches!(load(folder.path()), Err(StartImageError::Open(FileError::Folder { .. }))));
    assert!(matches!(read_recipe(folder.path()), Err(RecipeReadError::Open(FileError::Folder { .. }))));
    let empty = folder.path().join("empty.png");
    fs::write(&empty, b"").expect("written");
    assert!(matches!(load(&empty), Err(StartImageError::Open(FileError::Empty { .. }))));
    assert!(matches!(read_recipe(&empty), Err(RecipeReadError::Open(FileError::Empty { .. }))));
    fs::write(&empty, b"GIF89a").expect("written");
    assert!(matches!(read_recipe(&empty), Err(RecipeReadError::OtherFormat { .. })));
}

#[test]
fn a_start_image_is_cropped_in_its_middle() {
    for (source, target, expected) in [
        ((512, 512), (512, 512), (0, 0, 512, 512)),
        ((1024, 512), (512, 512), (256, 0, 512, 512)),
        ((512, 1024), (512, 512), (0, 256, 512, 512)),
        ((3000, 2000), (512, 768), (833, 0, 1333, 2000)),
        ((1, 1), (2048, 64), (0, 0, 1, 1)),
        ((8192, 1), (64, 2048), (4095, 0, 1, 1)),
        ((100, 8192), (2048, 64), (0, 4094, 100, 3)),
    ] {
        let (x, y, width, height) = expected;
        assert_eq!(crop_to_fill(source, target), CropRect { x, y, width, height }, "{source:?}");
    }
}

#[test]
fn a_picture_of_the_right_size_passes_untouched() {
    let picture = gradient(64, 72);
    assert_eq!(crop_and_resize(&picture, 64, 72), picture);
    let cropped = crop_and_resize(&picture, 64, 64);
    assert_eq!(cropped.rgb, picture.rgb[4 * 64 * 3..68 * 64 * 3]);
    for (width, height) in [(128, 64), (8, 8), (64, 2048)] {
        let grey = crop_and_resize(&flat(31, 77, [90, 91, 92]), width, height);
        assert_eq!(grey, flat(width, height, [90, 91, 92]));
    }
    // Scaling down takes the mean, not every tenth pixel.
    let chequered =
        Pixels::new(80, 80, (0..6400).flat_map(|i| [((i + i / 80) % 2 * 255) as u8; 3]).collect());
    assert!(crop_and_resize(&chequered, 8, 8).rgb.iter().all(|value| value.abs_diff(127) < 20));
}

#[test]
fn planes_run_from_minus_one_to_one() {
    let pixels = Pixels::new(2, 1, vec![0, 51, 255, 255, 0, 102]);
    let expected = [-1.0, 1.0, -0.6, -1.0, 1.0, -0.2];
    let planes = to_signed_planes(&pixels);
    assert!(planes.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{planes:?}");
    let unit: Vec<f32> = planes.iter().map(|value| (value + 1.0) / 2.0).collect();
    assert_eq!(Pixels::from_unit_range(2, 1, &unit), pixels);
}
