//! MP4: read here box by box as in ISO/IEC 14496-12, decoded by OpenH264, and probed by ffmpeg.

use std::fs;
use std::path::Path;
use std::process::Command;

use engine::images::{Animation, AnimationFormat, Panel, Playback, write_animation};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;

use crate::support::folders::{folder, names};
use crate::support::pictures::{animation, flat, gradient};

/// The contents of the box at a path of names such as `moov/trak`.
fn find<'a>(bytes: &'a [u8], path: &str) -> &'a [u8] {
    let (name, rest) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let mut left = bytes;
    while let Some((head, _)) = left.split_at_checked(8) {
        let length = number(head, 0) as usize;
        let length = if length == 0 { left.len() } else { length };
        // A length of 1 stands for one of 64 bits behind the name.
        let (begin, length) = match length {
            1 => (16, u64::from_be_bytes(left[8..16].try_into().expect("8 bytes")) as usize),
            length => (8, length),
        };
        if &head[4..8] == name.as_bytes() {
            let inside = &left[begin..length];
            return rest.map_or(inside, |rest| find(inside, rest));
        }
        left = &left[length..];
    }
    panic!("no {name}")
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

/// What a player reads of a film.
struct DecodedVideo {
    size: (u32, u32),
    frames: usize,
    seconds: f64,
    /// Of each sample.
    data: Vec<Vec<u8>>,
    /// As a decoder takes it: the description of the stream first.
    parameters: Vec<u8>,
}

fn read(path: &Path) -> DecodedVideo {
    let bytes = fs::read(path).expect("read");
    assert_eq!(&bytes[4..8], b"ftyp");
    let track = find(&bytes, "moov/trak");
    let header = find(track, "mdia/mdhd");
    assert_eq!(header[0], 0, "version 0");
    let (timescale, duration) = (number(header, 12), number(header, 16));
    let table = find(track, "mdia/minf/stbl");
    let times = find(table, "stts");
    let runs =
        (0..number(times, 4) as usize).map(|run| (number(times, 8 + 8 * run), number(times, 12 + 8 * run)));
    let runs: Vec<_> = runs.collect();
    assert_eq!(runs.iter().map(|(count, ticks)| count * ticks).sum::<u32>(), duration);
    let sizes = find(table, "stsz");
    assert_eq!(number(sizes, 4), 0, "each sample has its own size");
    let frames = number(sizes, 8) as usize;
    assert_eq!(runs.iter().map(|(count, _)| *count as usize).sum::<usize>(), frames);
    // One chunk holds them all, or they follow each other chunk by chunk.
    let begin = number(find(table, "stco"), 8) as usize;
    let mut at = begin;
    let data = (0..frames).map(|frame| {
        let size = number(sizes, 12 + 4 * frame) as usize;
        at += size;
        bytes[at - size..at].to_vec()
    });
    let data = data.collect();
    let entry = find(&find(table, "stsd")[8..], "avc1");
    let sides = number(entry, 24);
    let about = find(&entry[78..], "avcC");
    DecodedVideo {
        size: (sides >> 16, sides & 0xffff),
        frames,
        seconds: f64::from(duration) / f64::from(timescale),
        data,
        parameters: annex_b(&parameter_sets(about)),
    }
}

/// Sequence and picture parameter sets, each behind its length in four bytes.
fn parameter_sets(avcc: &[u8]) -> Vec<u8> {
    let mut sets = Vec::new();
    let mut at = 5;
    for mask in [0x1f, 0xff] {
        let count = avcc[at] & mask;
        at += 1;
        for _ in 0..count {
            let length = usize::from(u16::from_be_bytes([avcc[at], avcc[at + 1]]));
            sets.extend((length as u32).to_be_bytes());
            sets.extend(&avcc[at + 2..at + 2 + length]);
            at += 2 + length;
        }
    }
    sets
}

/// Start codes in place of lengths.
fn annex_b(sample: &[u8]) -> Vec<u8> {
    let (mut stream, mut left) = (Vec::new(), sample);
    while !left.is_empty() {
        let length = number(left, 0) as usize;
        stream.extend([0, 0, 0, 1]);
        stream.extend(&left[4..4 + length]);
        left = &left[4 + length..];
    }
    stream
}

/// By ITU-R BT.601, of 16 to 235.
fn rgb(picture: &impl YUVSource) -> Vec<u8> {
    let ((width, height), (across, half, _)) = (picture.dimensions(), picture.strides());
    let pixel = |x: usize, y: usize| {
        let at = y / 2 * half + x / 2;
        let y = 1.164_383 * (f32::from(picture.y()[y * across + x]) - 16.0);
        let (u, v) = (f32::from(picture.u()[at]) - 128.0, f32::from(picture.v()[at]) - 128.0);
        [y + 1.596_027 * v, y - 0.391_762 * u - 0.812_968 * v, y + 2.017_232 * u]
    };
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y)));
    pixels.map(|value| value.round().clamp(0.0, 255.0) as u8).collect()
}

fn decode(seen: &DecodedVideo) -> Vec<(usize, usize, Vec<u8>)> {
    let mut decoder = Decoder::new().expect("a decoder");
    let mut pictures = Vec::new();
    for (index, sample) in seen.data.iter().enumerate() {
        let mut stream = if index == 0 { seen.parameters.clone() } else { Vec::new() };
        stream.extend(annex_b(sample));
        let picture = decoder.decode(&stream).expect("it decodes").expect("a picture a sample");
        let (width, height) = picture.dimensions();
        pictures.push((width, height, rgb(&picture)));
    }
    pictures
}

#[test]
fn an_mp4_holds_every_frame_at_one_pace_and_its_end_for_two_seconds() {
    let folder = folder();
    let path = folder.path().join("f.mp4");
    for (fps, playback, steps) in [
        (10, Playback::Loop, (0..5).collect::<Vec<_>>()),
        (12, Playback::Once, (0..5).collect()),
        (30, Playback::PingPong, vec![0, 1, 2, 3, 4, 3, 2, 1]),
    ] {
        write_animation(
            &path,
            AnimationFormat::Mp4,
            &Animation { fps, playback, ..animation(5, (64, 48)) },
            &mut |_| true,
        )
        .expect("written");
        let seen = read(&path);
        assert_eq!(seen.size, (64, 48));
        let held = 2 * fps as usize;
        assert_eq!(seen.frames, steps.len() - 1 + held);
        assert!((seen.seconds - seen.frames as f64 / f64::from(fps)).abs() < 1e-9);

        let order = steps.iter().flat_map(|&step| vec![step; if step == 4 { held } else { 1 }]);
        let pictures = decode(&seen);
        assert_eq!(pictures.len(), seen.frames);
        for ((width, height, rgb), step) in pictures.iter().zip(order) {
            assert_eq!((*width, *height), (64, 48));
            let middle = i32::from(rgb[(24 * 64 + 32) * 3 + 1]);
            assert!((middle - 40 * step).abs() <= 4, "{middle} for step {step}");
        }
    }
    assert_eq!(names(folder.path()), ["f.mp4"]);
}

#[test]
fn colours_come_back_and_odd_sides_are_made_even() {
    let folder = folder();
    let path = folder.path().join("f.mp4");
    let colours = [[230, 40, 40], [40, 200, 60], [30, 60, 220], [255, 255, 255], [0, 0, 0], [250, 200, 20]];
    let pane = |colour| vec![Panel { picture: flat(33, 35, colour).into(), caption: None }];
    let film = Animation { frames: colours.map(pane).to_vec(), size: (33, 35), ..animation(1, (8, 8)) };
    write_animation(&path, AnimationFormat::Mp4, &film, &mut |_| true).expect("written");
    let seen = read(&path);
    assert_eq!(seen.size, (34, 36));
    for ((width, _, rgb), colour) in decode(&seen).iter().zip(colours) {
        // Not at the edge, where the encoder's blocks of 16 colour what is beside.
        for (x, y) in [(1, 1), (16, 16), (20, 28)] {
            let pixel = &rgb[(y * width + x) * 3..][..3];
            let off = pixel.iter().zip(colour).map(|(&seen, meant)| seen.abs_diff(meant)).max();
            assert!(off.is_some_and(|off| off <= 4), "{pixel:?} for {colour:?}");
        }
    }
}

fn ffprobe(path: &Path, entries: &str) -> Vec<String> {
    let args = ["-v", "error", "-count_frames", "-select_streams", "v:0", "-of", "csv=p=0", "-show_entries"];
    let said = Command::new("ffprobe").args(args).arg(entries).arg(path).output().expect("ffprobe runs");
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).trim().split(',').map(str::to_owned).collect()
}

#[test]
#[ignore = "needs ffprobe, which comes with ffmpeg"]
fn ffmpeg_reads_every_film() {
    let folder = folder();
    let noisy = vec![Panel { picture: gradient(96, 64).into(), caption: None }];
    let mut film = animation(5, (96, 64));
    film.frames.insert(0, noisy);
    for (name, format, codec, frames) in [
        ("f.gif", AnimationFormat::Gif, "gif", 6),
        ("f.apng", AnimationFormat::Apng, "apng", 6),
        ("f.mp4", AnimationFormat::Mp4, "h264", 25),
    ] {
        let path = folder.path().join(name);
        write_animation(&path, format, &film, &mut |_| true).expect("written");
        let said = ffprobe(&path, "stream=codec_name,width,height,nb_read_frames");
        assert_eq!(said, [codec, "96", "64", &frames.to_string()], "{name}");
        // ffmpeg gives an APNG no duration of its own.
        if format != AnimationFormat::Apng {
            let seconds: f64 = ffprobe(&path, "format=duration")[0].parse().expect("seconds");
            assert!((seconds - 2.5).abs() < 0.02, "{name}: {seconds}");
        }
    }
}
