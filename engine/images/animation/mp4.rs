//! A film as H.264 in MP4, for players that know no animated pictures.
//!
//! OpenH264 encodes, in one pass at a quality that leaves noise noisy; the frames follow each other at
//! one pace and the last one is repeated while it is held, since that is what every player, and every
//! site that encodes it anew, understands. Colours are marked as what OpenH264's conversion makes:
//! sRGB's primaries and curve, in the matrix of BT.601.

use std::io::{self, Seek, SeekFrom, Write};
use std::num::NonZero;
use std::path::Path;

use openh264::OpenH264API;
use openh264::encoder::{
    ColorPrimaries, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod,
    MatrixCoefficients, QpRange, RateControlMode, TransferCharacteristics, VuiConfig,
};
use openh264::formats::{RgbSliceU8, YUVBuffer};
use shiguredo_mp4::TrackKind;
use shiguredo_mp4::bitstream::h264::{
    H264SampleEntryConfig, LengthSize, annexb_to_length_prefixed, build_avc1_box_from_annexb,
};
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::mux::{Mp4FileMuxer, Mp4FileMuxerOptions, Sample, estimate_maximum_moov_box_size};

use super::frame_renderer::FrameRenderer;
use super::{Animation, go_on};
use crate::files::{IfExists, SaveError, write_atomically};
use crate::images::Pixels;

pub(super) fn write(
    path: &Path,
    reel: &Animation,
    composer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let frame_timings = reel.frame_timings();
    let all: usize = frame_timings.iter().map(|showing| showing.ticks as usize).sum();
    write_atomically(path, IfExists::Replace, |out| {
        let mut film = Film::begin(out, reel.pace(), all)?;
        let mut done = 0;
        for showing in &frame_timings {
            let picture = yuv(&even(composer.frame(&reel.shots[showing.shot])));
            for _ in 0..showing.ticks {
                go_on(progress, done, all)?;
                film.add(&picture)?;
                done += 1;
            }
        }
        film.end()
    })
}

/// A file that is being written: the encoder, and the table of what it made.
struct Film<'a, W> {
    out: &'a mut W,
    encoder: Encoder,
    table: Mp4FileMuxer,
    fps: NonZero<u32>,
    /// Bytes so far.
    at: u64,
    has_begun: bool,
}

impl<'a, W: Write + Seek> Film<'a, W> {
    fn begin(out: &'a mut W, fps: u32, frames: usize) -> io::Result<Self> {
        let colours = VuiConfig::new()
            .color_primaries(ColorPrimaries::Bt709)
            .transfer_characteristics(TransferCharacteristics::Srgb)
            .matrix_coefficients(MatrixCoefficients::Smpte170M);
        let config = EncoderConfig::new()
            .max_frame_rate(FrameRate::from_hz(fps as f32))
            .rate_control_mode(RateControlMode::Off)
            .qp(QpRange::new(18, 18))
            .skip_frames(false)
            .complexity(Complexity::High)
            // A second of frames hangs on each whole one, so that scrubbing is quick.
            .intra_frame_period(IntraFramePeriod::from_num_frames(fps))
            .vui(colours);
        let encoder =
            Encoder::with_api_config(OpenH264API::from_source(), config).map_err(io::Error::other)?;
        // Room before the frames for the table of them, so that a browser may begin before all is there.
        let table = Mp4FileMuxer::with_options(Mp4FileMuxerOptions {
            reserved_moov_box_size: estimate_maximum_moov_box_size(&[frames]),
            ..Mp4FileMuxerOptions::default()
        });
        let table = table.map_err(io::Error::other)?;
        out.write_all(table.initial_boxes_bytes())?;
        let at = table.initial_boxes_bytes().len() as u64;
        let fps = NonZero::new(fps).expect("a pace is held to at least one");
        Ok(Self { out, encoder, table, fps, at, has_begun: false })
    }

    fn add(&mut self, picture: &YUVBuffer) -> io::Result<()> {
        let encoded = self.encoder.encode(picture).map_err(io::Error::other)?;
        let keyframe = matches!(encoded.frame_type(), FrameType::IDR | FrameType::I);
        let stream = encoded.to_vec();
        let length_size = LengthSize::FourBytes;
        // The first frame begins with what describes all of them.
        let sample_entry = match self.has_begun {
            true => None,
            false => {
                let about = build_avc1_box_from_annexb(&stream, &H264SampleEntryConfig { length_size });
                Some(SampleEntry::Avc1(about.map_err(io::Error::other)?))
            }
        };
        self.has_begun = true;
        let data = annexb_to_length_prefixed(&stream, length_size).map_err(io::Error::other)?;
        let sample = Sample {
            track_kind: TrackKind::Video,
            sample_entry,
            keyframe,
            timescale: self.fps,
            duration: 1,
            composition_time_offset: None,
            data_offset: self.at,
            data_size: data.len(),
        };
        self.table.append_sample(&sample).map_err(io::Error::other)?;
        self.out.write_all(&data)?;
        self.at += data.len() as u64;
        Ok(())
    }

    /// Writes the table, and the lengths that were not known before.
    fn end(mut self) -> io::Result<()> {
        let boxes = self.table.finalize().map_err(io::Error::other)?;
        for (offset, bytes) in boxes.offset_and_bytes_pairs() {
            self.out.seek(SeekFrom::Start(offset))?;
            self.out.write_all(bytes)?;
        }
        Ok(())
    }
}

fn yuv(picture: &Pixels) -> YUVBuffer {
    let sides = (picture.width as usize, picture.height as usize);
    YUVBuffer::from_rgb8_source(RgbSliceU8::new(&picture.rgb, sides))
}

/// With sides that can be halved, as colour is in H.264: an odd one has its last row or column twice.
fn even(picture: Pixels) -> Pixels {
    let Pixels { width, height, ref rgb } = picture;
    if width.is_multiple_of(2) && height.is_multiple_of(2) {
        return picture;
    }
    let (wide, high) = (width.next_multiple_of(2), height.next_multiple_of(2));
    let pixel = |x: u32, y: u32| {
        let at = (y.min(height - 1) as usize * width as usize + x.min(width - 1) as usize) * 3;
        [rgb[at], rgb[at + 1], rgb[at + 2]]
    };
    Pixels::new(wide, high, (0..high).flat_map(|y| (0..wide).flat_map(move |x| pixel(x, y))).collect())
}
