//! Inspecting latents, through the real engine.

use std::sync::Arc;

use engine::checkpoint::ModelSource;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::diffusion::{Latents, StepView, TorchGenerator};
use engine::images::Pixels;
use engine::pipeline::Pipeline;
use engine::pipeline::StopFlag;
use engine::session::{Event, ImageSource, InspectRequest, InspectResult, JobId, Request, Session};

use crate::support::waiting::next;

fn cpu() -> DeviceChoice {
    DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() }
}

/// Inspects with the built-in model.
fn inspect(request: InspectRequest) -> Result<InspectResult, String> {
    let session = Session::start(|| ());
    let source = ModelSource::BuiltIn;
    session.send(Request::OpenModel { source, vae: None, device: cpu(), stop: StopFlag::default() });
    session.send(Request::Inspect { id: 7, request });
    loop {
        let event = next(session.events());
        if let Event::Inspection { id, result } = event {
            assert_eq!(id, 7);
            return result;
        }
    }
}

fn pipeline() -> Pipeline {
    Pipeline::open(&ModelSource::BuiltIn, cpu(), &mut |_| true).expect("the built-in model")
}

/// A picture of soft colours, wider than high, so that its middle is used.
fn picture() -> ImageSource {
    let at = |index: u32| {
        let (x, y) = ((index % 96) as f32, (index / 96) as f32);
        [128.0 + 90.0 * (x / 17.0).sin(), 2.0 * y + 60.0, 255.0 - 2.0 * x].map(|value| value as u8)
    };
    let rgb = (0..96 * 64).flat_map(at).collect();
    ImageSource { pixels: Arc::new(Pixels::new(96, 64, rgb)), width: 64, height: 64 }
}

/// `encoded + noise * sigma`, decoded.
#[test]
fn noise_is_added_to_the_latents_of_the_picture_and_decoded() {
    let (pipeline, never) = (pipeline(), StopFlag::default());
    let x0 = pipeline.encode(&picture().pixels, (64, 64), &never).expect("latents");
    assert_eq!(x0.shape, [1, 4, 8, 8]);
    for sigma in [0.0, 0.7913, 14.6146] {
        let noise = TorchGenerator::new(32).randn(256);
        let data = x0.data.iter().zip(&noise).map(|(x0, noise)| x0 + sigma * noise).collect();
        let expected = pipeline.pictures(&Latents::new(x0.shape, data), &never).expect("a picture");
        let seen = inspect(InspectRequest::AddNoise { to: picture(), seed: 32, sigma });
        assert_eq!(seen, Ok(InspectResult::Noised(Arc::clone(&expected[0]))), "sigma {sigma}");
    }
}

#[test]
fn the_round_trip_is_that_without_noise_and_its_difference_is_reported() {
    let Ok(InspectResult::RoundTrip(trip)) = inspect(InspectRequest::RoundTrip(picture())) else {
        panic!("no round trip")
    };
    let Ok(InspectResult::Noised(unharmed)) =
        inspect(InspectRequest::AddNoise { to: picture(), seed: 1, sigma: 0.0 })
    else {
        panic!("no picture")
    };
    assert_eq!(trip.decoded, unharmed);
    let middle = picture().pixels.rgb[16 * 3..80 * 3].to_vec();
    assert_eq!(trip.original.rgb[..64 * 3], middle, "the middle of the picture, untouched");
    let apart = trip.original.rgb.iter().zip(&trip.decoded.rgb).map(|(a, b)| f64::from(a.abs_diff(*b)));
    let mean = apart.sum::<f64>() / (64.0 * 64.0 * 3.0);
    assert!((f64::from(trip.mean_difference) - mean).abs() < 1e-4);
    assert!((0.01..30.0).contains(&mean), "the autoencoder keeps the picture: {mean} of 255");
}

#[test]
fn channels_are_those_of_the_encoded_picture_with_their_ranges() {
    let x0 = pipeline().encode(&picture().pixels, (64, 64), &StopFlag::default()).expect("latents");
    let Ok(InspectResult::Channels(channels)) = inspect(InspectRequest::Channels(picture())) else {
        panic!("no channels")
    };
    assert_eq!(channels.len(), 4);
    for (channel, plane) in channels.iter().zip(x0.data.chunks(64)) {
        let min = plane.iter().copied().reduce(f32::min);
        let max = plane.iter().copied().reduce(f32::max);
        assert_eq!((Some(channel.min), Some(channel.max)), (min, max));
        assert_eq!((channel.picture.width, channel.picture.height), (8, 8));
        for (rgb, value) in channel.picture.rgb.chunks(3).zip(plane) {
            let grey = 255.0 * (value - channel.min) / (channel.max - channel.min);
            assert!(
                rgb.iter().all(|&level| (f32::from(level) - grey).abs() <= 0.51),
                "{rgb:?} is not {grey}"
            );
        }
    }
}

#[test]
fn what_cannot_be_seen_is_said() {
    let step =
        InspectRequest::StepChannels { job: JobId(3), step: 1, view: StepView::NoisyLatents, picture: 0 };
    inspect(step).expect_err("no such job");
    let odd = ImageSource { width: 65, ..picture() };
    for bad in [InspectRequest::Channels(odd.clone()), InspectRequest::RoundTrip(odd)] {
        let text = inspect(bad).expect_err("no such size");
        assert!(text.contains("65"), "{text}");
    }
    let session = Session::start(|| ());
    session.send(Request::Inspect { id: 1, request: InspectRequest::Channels(picture()) });
    let event = next(session.events());
    assert!(matches!(event, Event::Inspection { id: 1, result: Err(text) } if text.contains("No model")));
}
