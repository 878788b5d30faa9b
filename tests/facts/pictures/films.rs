//! Animations: every frame is there, at its size and for its time, as other decoders see it.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use engine::files::SaveError;
use engine::images::{Animation, AnimationFormat, Panel, Playback, load, read_recipe, write_animation};
use image::codecs::{gif::GifDecoder, png::PngDecoder};
use image::metadata::LoopCount;
use image::{AnimationDecoder, Frame, GenericImageView};

use crate::support::folders::{folder, names};
use crate::support::pictures::{animation, flat, gradient, prompt_of};

fn write(path: &Path, format: AnimationFormat, animation: &Animation) {
    write_animation(path, format, animation, &mut |_| true).expect("written");
}

/// The frames of a film, and whether it plays again and again.
fn read(path: &Path) -> (Vec<Frame>, bool) {
    let file = BufReader::new(File::open(path).expect("open"));
    fn all<'a>(decoder: impl AnimationDecoder<'a>) -> (Vec<Frame>, bool) {
        let is_endless = matches!(decoder.loop_count(), LoopCount::Infinite);
        (decoder.into_frames().collect_frames().expect("frames"), is_endless)
    }
    if path.extension().is_some_and(|ending| ending != "gif") {
        return all(PngDecoder::new(file).expect("a PNG").apng().expect("an APNG"));
    }
    // To browsers a GIF without Netscape's extension plays once; the decoder makes no difference.
    let bytes = fs::read(path).expect("read");
    let is_endless = bytes.windows(11).any(|name| name == b"NETSCAPE2.0");
    (all(GifDecoder::new(file).expect("a GIF")).0, is_endless)
}

fn milliseconds(frames: &[Frame]) -> Vec<f32> {
    let ratio = |frame: &Frame| frame.delay().numer_denom_ms();
    frames.iter().map(|frame| ratio(frame).0 as f32 / ratio(frame).1 as f32).collect()
}

#[test]
fn a_film_holds_every_frame_at_its_size_and_pace() {
    let folder = folder();
    for (name, format) in [("f.gif", AnimationFormat::Gif), ("f.png", AnimationFormat::Apng)] {
        let path = folder.path().join(name);
        write(&path, format, &animation(5, (64, 48)));
        let (frames, is_endless) = read(&path);
        assert_eq!(milliseconds(&frames), [100.0, 100.0, 100.0, 100.0, 2000.0], "{name}");
        assert!(is_endless, "{name}");
        for (frame, grey) in frames.iter().zip([0_u8, 40, 80, 120, 160]) {
            assert_eq!(frame.buffer().dimensions(), (64, 48), "{name}");
            let seen = frame.buffer().get_pixel(30, 30);
            assert!(seen[0].abs_diff(grey) <= 4 && seen[3] == 255, "{name}: {seen:?} for {grey}");
        }
    }
}

#[test]
fn an_apng_keeps_every_colour_and_the_recipe() {
    let folder = folder();
    let path = folder.path().join("f.png");
    let pane = |picture| vec![Panel { picture, caption: None }];
    let pictures = [gradient(31, 17).into(), flat(31, 17, [1, 2, 3]).into()];
    let film = Animation {
        frames: pictures.into_iter().map(pane).collect(),
        size: (31, 17),
        ..animation(1, (2, 2))
    };
    write(&path, AnimationFormat::Apng, &film);
    let (frames, _) = read(&path);
    let rgb = frames[0].buffer().pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    assert!(rgb.eq(gradient(31, 17).rgb));
    assert_eq!(prompt_of(&read_recipe(&path).expect("read")), "a film");
    // A program that cannot show animations shows the first frame.
    assert_eq!(load(&path).expect("a picture").pixels, gradient(31, 17));
}

#[test]
fn a_film_of_any_pace_lasts_as_long_as_it_should() {
    let folder = folder();
    for fps in [1, 3, 7, 12, 24, 30, 50] {
        for (name, format, close) in
            [("f.gif", AnimationFormat::Gif, 5.0), ("f.png", AnimationFormat::Apng, 0.5)]
        {
            let path = folder.path().join(name);
            write(&path, format, &Animation { fps, ..animation(5, (8, 8)) });
            let times = milliseconds(&read(&path).0);
            let whole: f32 = times.iter().sum();
            assert!((whole - (4000.0 / fps as f32 + 2000.0)).abs() <= close, "{name} at {fps}: {times:?}");
            assert!((times[4] - 2000.0).abs() <= close * 2.0, "{name} at {fps}: {times:?}");
        }
    }
}

#[test]
fn a_film_plays_once_again_and_again_or_there_and_back() {
    let folder = folder();
    for (name, format) in [("f.gif", AnimationFormat::Gif), ("f.png", AnimationFormat::Apng)] {
        let path = folder.path().join(name);
        write(&path, format, &Animation { playback: Playback::Once, ..animation(3, (8, 8)) });
        let (frames, is_endless) = read(&path);
        assert_eq!(frames.len(), 3);
        assert!(!is_endless, "{name}");

        write(&path, format, &Animation { playback: Playback::PingPong, ..animation(4, (8, 8)) });
        let (frames, is_endless) = read(&path);
        let greys: Vec<u8> =
            frames.iter().map(|frame| (frame.buffer().get_pixel(4, 4)[0] + 20) / 40).collect();
        assert_eq!(greys, [0, 1, 2, 3, 2, 1], "{name}");
        assert_eq!(milliseconds(&frames)[3], 2000.0, "{name}");
        assert!(is_endless, "{name}");
    }
}

#[test]
fn a_sequence_is_a_folder_of_numbered_pictures_each_with_the_recipe() {
    let folder = folder();
    let frames = folder.path().join("frames/");
    write(
        &frames,
        AnimationFormat::Sequence,
        &Animation { playback: Playback::PingPong, ..animation(3, (16, 8)) },
    );
    assert_eq!(names(&frames), ["0001.png", "0002.png", "0003.png"]);
    for (name, grey) in [("0001.png", 0), ("0002.png", 40), ("0003.png", 80)] {
        assert_eq!(load(&frames.join(name)).expect("a picture").pixels, flat(16, 8, [grey; 3]));
        assert_eq!(prompt_of(&read_recipe(&frames.join(name)).expect("read")), "a film");
    }
    let again = write_animation(&frames, AnimationFormat::Sequence, &animation(1, (8, 8)), &mut |_| true);
    assert!(matches!(again, Err(SaveError::FolderInUse { .. })), "{again:?}");
    assert_eq!(names(&frames).len(), 3, "what is there is left alone");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("made");
    write(&empty, AnimationFormat::Sequence, &animation(2, (8, 8)));
    assert_eq!(names(&empty).len(), 2);
}

#[test]
fn a_contact_sheet_shows_every_step_in_rows() {
    let folder = folder();
    let path = folder.path().join("sheet.png");
    write(&path, AnimationFormat::ContactSheet, &animation(6, (40, 60)));
    let sheet = image::open(&path).expect("a picture");
    // Three columns of two rows, with 8 pixels between and around.
    assert_eq!(sheet.dimensions(), (3 * 40 + 4 * 8, 2 * 60 + 3 * 8));
    for step in 0..6 {
        let (x, y) = (8 + 48 * (step % 3) + 20, 8 + 68 * (step / 3) + 30);
        assert_eq!(u32::from(sheet.get_pixel(x, y)[0]), 40 * step, "step {step}");
    }
    assert_eq!(prompt_of(&read_recipe(&path).expect("read")), "a film");
}

#[test]
fn captions_stand_in_a_strip_of_their_own_and_cover_no_picture() {
    let folder = folder();
    let texts = |left: &str, right: &str| Some([left.to_owned(), right.to_owned()]);
    for (width, height) in [(512, 512), (128, 128), (64, 96), (24, 16)] {
        let pane = |value: u8, caption| Panel { picture: flat(width, height, [value; 3]).into(), caption };
        let both = vec![pane(40, texts("noisy", "σ 14.615")), pane(200, texts("predicted", "step 1"))];
        let film =
            Animation { frames: vec![both.clone(), both], size: (width, height), ..animation(1, (8, 8)) };
        let frames = folder.path().join(format!("{width}"));
        write(&frames, AnimationFormat::Sequence, &film);
        let frame = image::open(frames.join("0001.png")).expect("a picture").into_rgb8();
        let (wide, high) = frame.dimensions();
        assert_eq!(wide, 2 * width);
        assert!(high > height && high.is_multiple_of(2), "{width}: {high}");
        let is = |x: u32, y: u32, value: u8| frame.get_pixel(x, y).0 == [value; 3];
        assert!((0..height).all(|y| (0..width).all(|x| is(x, y, 40) && is(width + x, y, 200))), "{width}");
        // Under both halves there is ink on the strip.
        let strip = *frame.get_pixel(0, high - 1);
        for half in [0..width, width..2 * width] {
            let inked = half.flat_map(|x| (height..high).map(move |y| (x, y)));
            assert!(inked.filter(|&(x, y)| *frame.get_pixel(x, y) != strip).count() > 10, "{width}");
        }
    }
}

#[test]
fn a_film_that_is_stopped_leaves_nothing_and_the_one_before_stays() {
    let folder = folder();
    for format in AnimationFormat::ALL {
        let path =
            folder.path().join(format.extension().map_or("frames".to_owned(), |end| format!("f.{end}")));
        let mut told = Vec::new();
        let stopped = write_animation(&path, format, &animation(6, (32, 32)), &mut |fraction| {
            told.push(fraction);
            told.len() < 4
        });
        assert!(matches!(stopped, Err(SaveError::Stopped { .. })), "{format:?}: {stopped:?}");
        assert!(told.is_sorted() && told.len() == 4 && told[3] < 1.0, "{format:?}: {told:?}");
        assert_eq!(names(folder.path()), [""; 0], "{format:?}");
    }
    let path = folder.path().join("f.gif");
    write(&path, AnimationFormat::Gif, &animation(2, (8, 8)));
    let before = fs::read(&path).expect("read");
    write_animation(&path, AnimationFormat::Gif, &animation(5, (8, 8)), &mut |_| false).expect_err("stopped");
    assert_eq!(fs::read(&path).expect("read"), before);
    assert_eq!(names(folder.path()), ["f.gif"]);
}

#[test]
fn what_a_format_cannot_hold_is_said() {
    let folder = folder();
    let large = |size| Animation { size, ..animation(1, (8, 8)) };
    let cases = [
        (AnimationFormat::Gif, large((65_544, 8)), "65544 x 8"),
        (AnimationFormat::Mp4, large((3848, 16)), "3840 x 2160"),
        (AnimationFormat::Mp4, large((2168, 2168)), "2168"),
        (AnimationFormat::Mp4, large((8, 8)), "16 pixels"),
        (AnimationFormat::Apng, Animation { frames: Vec::new(), ..large((8, 8)) }, "no frames"),
    ];
    for (format, animation, words) in cases {
        let refused = write_animation(&folder.path().join("f"), format, &animation, &mut |_| true)
            .expect_err("refused");
        assert!(refused.to_string().contains(words), "{refused}");
        assert!(refused.to_string().ends_with(&folder.path().join("f").display().to_string()), "{refused}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_name_says_what_film_it_is() {
    let of = |name: &str| AnimationFormat::from_path(Path::new(name));
    assert_eq!(of("a/b.GIF"), Some(AnimationFormat::Gif));
    assert_eq!((of("b.png"), of("b.apng")), (Some(AnimationFormat::Apng), Some(AnimationFormat::Apng)));
    assert_eq!((of("b.mp4"), of("b.mp4/")), (Some(AnimationFormat::Mp4), Some(AnimationFormat::Sequence)));
    assert_eq!((of("b"), of("b.webp"), of("")), (None, None, None));
}
