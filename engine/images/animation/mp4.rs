//! Writes an animation as H.264 in MP4, for players that do not play animated pictures.
//!
//! OpenH264 encodes in one pass, at a quality that preserves noise. The frame rate is constant and the last
//! frame is repeated while it is held, because every player and every site that re-encodes it supports that.
//! The colours are tagged as OpenH264 converts them: primaries and transfer curve of sRGB, matrix of
//! BT.601.

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
use super::{Animation, report};
use crate::files::{IfExists, SaveError, write_atomically};
use crate::images::Pixels;

pub(super) fn write(
    path: &Path,
    animation: &Animation,
    renderer: &FrameRenderer,
    progress: &mut dyn FnMut(f32) -> bool,
) -> Result<(), SaveError> {
    let frame_timings = animation.frame_timings();
    let all: usize = frame_timings.iter().map(|timing| timing.ticks as usize).sum();
    write_atomically(path, IfExists::Replace, |out| {
        let mut writer = Mp4Writer::begin(out, animation.frames_per_second(), all)?;
        let mut done = 0;
        for timing in &frame_timings {
            let picture = yuv(&even(renderer.frame(&animation.frames[timing.frame])));
            for _ in 0..timing.ticks {
                report(progress, done, all)?;
                writer.add(&picture)?;
                done += 1;
            }
        }
        writer.end()
    })
}

/// An MP4 file that is being written.
struct Mp4Writer<'a, W> {
    out: &'a mut W,
    encoder: Encoder,
    muxer: Mp4FileMuxer,
    fps: NonZero<u32>,
    /// Bytes written so far.
    offset: u64,
    has_begun: bool,
}

impl<'a, W: Write + Seek> Mp4Writer<'a, W> {
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
            // One keyframe per second, so that seeking is quick.
            .intra_frame_period(IntraFramePeriod::from_num_frames(fps))
            .vui(colours);
        let encoder =
            Encoder::with_api_config(OpenH264API::from_source(), config).map_err(io::Error::other)?;
        // The table of frames goes before them, so that a browser can start before the file is complete.
        let muxer = Mp4FileMuxer::with_options(Mp4FileMuxerOptions {
            reserved_moov_box_size: estimate_maximum_moov_box_size(&[frames]),
            ..Mp4FileMuxerOptions::default()
        });
        let muxer = muxer.map_err(io::Error::other)?;
        out.write_all(muxer.initial_boxes_bytes())?;
        let offset = muxer.initial_boxes_bytes().len() as u64;
        let fps = NonZero::new(fps).expect("the frame rate is at least 1");
        Ok(Self { out, encoder, muxer, fps, offset, has_begun: false })
    }

    fn add(&mut self, picture: &YUVBuffer) -> io::Result<()> {
        let encoded = self.encoder.encode(picture).map_err(io::Error::other)?;
        let keyframe = matches!(encoded.frame_type(), FrameType::IDR | FrameType::I);
        let stream = encoded.to_vec();
        let length_size = LengthSize::FourBytes;
        // The first frame starts with the parameters of all frames.
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
            data_offset: self.offset,
            data_size: data.len(),
        };
        self.muxer.append_sample(&sample).map_err(io::Error::other)?;
        self.out.write_all(&data)?;
        self.offset += data.len() as u64;
        Ok(())
    }

    /// Writes the table of frames and the lengths that were not known before.
    fn end(mut self) -> io::Result<()> {
        let boxes = self.muxer.finalize().map_err(io::Error::other)?;
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

/// Makes both sides even, because H.264 halves the resolution of colour, by repeating the last row or column.
fn even(picture: Pixels) -> Pixels {
    let Pixels { width, height, ref rgb } = picture;
    if width.is_multiple_of(2) && height.is_multiple_of(2) {
        return picture;
    }
    let (wide, high) = (width.next_multiple_of(2), height.next_multiple_of(2));
    let pixel = |x: u32, y: u32| {
        let index = (y.min(height - 1) as usize * width as usize + x.min(width - 1) as usize) * 3;
        [rgb[index], rgb[index + 1], rgb[index + 2]]
    };
    Pixels::new(wide, high, (0..high).flat_map(|y| (0..wide).flat_map(move |x| pixel(x, y))).collect())
}
