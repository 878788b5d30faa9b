//! The engine behind its channels: one thread, answers in order, and nothing that takes it down.

use std::path::PathBuf;
use std::sync::Arc;

use engine::checkpoint::ModelSource;
use engine::concepts::ConceptSet;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::diffusion::RecordedStep;
use engine::diffusion::{Sampler, StepView};
use engine::images::Pixels;
use engine::pipeline::Pipeline;
use engine::pipeline::{Frame, StopFlag};
use engine::recipe::{Recipe, RecordedRun, Start};
use engine::session::{Event, Job, JobEvent, JobId, ModelEvent, Request, Session};

use crate::support::waiting::next;

fn cpu() -> DeviceChoice {
    DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() }
}

fn session_with(source: ModelSource) -> Session {
    let session = Session::start(|| ());
    session.send(Request::OpenModel { source, vae: None, device: cpu(), stop: StopFlag::default() });
    session
}

fn generate(session: &Session, id: u64, recipe: Recipe) -> StopFlag {
    go_on(session, id, recipe, None)
}

fn go_on(session: &Session, id: u64, recipe: Recipe, recorded_by: Option<JobId>) -> StopFlag {
    let stop = StopFlag::default();
    let job = Job { id: JobId(id), stop: stop.clone() };
    session.send(Request::Generate {
        job,
        recipe: Box::new(recipe),
        concepts: ConceptSet::default(),
        recorded_by,
        keeps_run: true,
    });
    stop
}

/// The events of a job, up to the one that ends it.
fn events_of(session: &Session, id: u64) -> Vec<JobEvent> {
    let mut events = Vec::new();
    loop {
        match next(session.events()) {
            Event::Job { id: JobId(from), event } if from == id => {
                let is_last = event.is_last();
                events.push(event);
                if is_last {
                    return events;
                }
            }
            _ => {}
        }
    }
}

fn short() -> Recipe {
    Recipe { prompt: "a puppy".into(), steps: 3, ..Recipe::default() }
}

#[test]
fn a_job_starts_steps_and_finishes() {
    let session = session_with(ModelSource::BuiltIn);
    generate(&session, 7, short());
    let events = events_of(&session, 7);
    assert!(matches!(&events[0], JobEvent::Started { sigmas, start_step: 0 } if sigmas.len() == 4));
    let steps: Vec<usize> = events
        .iter()
        .filter_map(|event| if let JobEvent::Step(frame) = event { Some(frame.step) } else { None })
        .collect();
    assert_eq!(steps, [0, 1, 2]);
    assert!(matches!(&events[4], JobEvent::Finished { pictures, .. } if pictures.len() == 1));
}

#[test]
fn a_stopped_job_says_so_and_the_next_one_works() {
    let session = session_with(ModelSource::BuiltIn);
    let stop = generate(&session, 1, Recipe { steps: 1000, ..short() });
    loop {
        let event = next(session.events());
        if matches!(event, Event::Job { event: JobEvent::Step(_), .. }) {
            break;
        }
    }
    stop.raise();
    assert!(matches!(events_of(&session, 1).last(), Some(JobEvent::Stopped)), "it did not run to the end");
    generate(&session, 2, short());
    assert!(matches!(events_of(&session, 2).last(), Some(JobEvent::Finished { .. })));
}

fn finished(session: &Session, id: u64) -> Vec<Arc<Pixels>> {
    match events_of(session, id).pop() {
        Some(JobEvent::Finished { pictures, .. }) => pictures,
        other => panic!("it ended with {other:?}"),
    }
}

#[test]
fn a_stopped_job_resumes_where_it_was_and_ends_in_the_same_picture() {
    let session = session_with(ModelSource::BuiltIn);
    let recipe = Recipe { steps: 30, sampler: Sampler::DpmPp2mSde, ..short() };
    generate(&session, 1, recipe.clone());
    let whole = finished(&session, 1);
    let stop = generate(&session, 2, recipe.clone());
    loop {
        let event = next(session.events());
        if matches!(event, Event::Job { event: JobEvent::Step(Frame { step: 5, .. }), .. }) {
            break;
        }
    }
    stop.raise();
    assert!(matches!(events_of(&session, 2).last(), Some(JobEvent::Stopped)));
    go_on(&session, 3, recipe, Some(JobId(2)));
    let again = finished(&session, 3);
    assert_eq!(again, whole);
}

#[test]
fn a_branch_has_the_same_picture_with_the_film_and_without() {
    let session = session_with(ModelSource::BuiltIn);
    let from = Recipe { steps: 6, ..short() };
    let branch = Recipe { prompt: "a kitten".into(), ..from.clone() }.branching(&from, 2);
    generate(&session, 1, from);
    let first = finished(&session, 1);
    go_on(&session, 2, branch.clone(), Some(JobId(1)));
    let with_film = finished(&session, 2);
    go_on(&session, 3, branch, Some(JobId(77)));
    assert_eq!(finished(&session, 3), with_film);
    assert_ne!(with_film, first);
}

fn decoded(session: &Session, id: u64, step: usize, view: StepView) -> Vec<Arc<Pixels>> {
    session.send(Request::Decode { job: JobId(id), step, view });
    let event = next(session.events());
    let Event::Job { event: JobEvent::Decoded { step: of_step, view: of, pictures }, .. } = event else {
        panic!("{event:?} is no decoded step");
    };
    assert_eq!((of_step, of), (step, view));
    pictures
}

#[test]
fn any_view_of_any_recorded_step_is_decoded_in_full() {
    let session = session_with(ModelSource::BuiltIn);
    generate(&session, 1, short());
    let events = events_of(&session, 1);
    let frames = events.iter().filter_map(|event| match event {
        JobEvent::Step(frame) => Some(frame),
        _ => None,
    });
    for frame in frames {
        for view in StepView::ALL {
            let (preview, full) = (&frame.preview(view)[0], &decoded(&session, 1, frame.step, view)[0]);
            assert_eq!((preview.width, preview.height), (16, 16), "{view:?}");
            assert_eq!((full.width, full.height), (128, 128), "{view:?}");
        }
    }
}

#[test]
fn what_a_step_has_no_picture_of_is_answered_with_none() {
    let session = session_with(ModelSource::BuiltIn);
    let mut alone = short();
    alone.guidance.cfg_scale = 1.0;
    generate(&session, 1, alone);
    let events = events_of(&session, 1);
    assert!(events.iter().all(|event| !matches!(event, JobEvent::Step(frame) if !frame.guidance.is_empty())));
    assert!(decoded(&session, 1, 1, StepView::Guidance).is_empty(), "no guidance at a scale of 1");
    assert!(decoded(&session, 1, 9, StepView::Predicted).is_empty(), "no such step");
    assert!(decoded(&session, 7, 1, StepView::NoisyLatents).is_empty(), "no such job");
    assert!(!decoded(&session, 1, 1, StepView::PredictedNoise).is_empty());
}

/// The size of latents is proportional to the picture's area, so a small run shows what a large one keeps.
#[test]
fn fifty_steps_at_512_pixels_take_less_than_40_mb() {
    let pipeline = Pipeline::open(&ModelSource::BuiltIn, cpu(), &mut |_| true).expect("the built-in model");
    let mut run = RecordedRun::default();
    pipeline.generate_from(&mut run, &short(), &StopFlag::default(), &mut |_| ()).expect("a picture");
    let steps = &run.trajectory.steps;
    let most = steps.iter().map(RecordedStep::bytes).max().expect("steps");
    // x, predicted x0 and what guidance added: 3 x 4 x 64 x 64 numbers of 4 bytes are 196,608 bytes a step.
    assert_eq!(most * (512 / 128) * (512 / 128) * 50, 9_830_400);
}

#[test]
fn bad_recipes_fail_in_words_and_harm_nothing() {
    let session = session_with(ModelSource::BuiltIn);
    let mut bad = [
        Recipe { steps: 0, ..short() },
        Recipe { steps: 1_000_000, ..short() },
        Recipe { batch: 9, ..short() },
        Recipe { width: 129, ..short() },
        Recipe { height: 0, ..short() },
        Recipe { width: 16_384, ..short() },
        Recipe { start: Start::Image { path: "no/such.png".into(), strength: 0.5 }, ..short() },
        Recipe { start: Start::Image { path: "x.png".into(), strength: -1.0 }, ..short() },
        Recipe { start: Start::Image { path: "x.png".into(), strength: f32::NAN }, ..short() },
    ]
    .to_vec();
    for scale in [f32::NAN, f32::INFINITY, -1.0] {
        let mut recipe = short();
        recipe.guidance.cfg_scale = scale;
        bad.push(recipe);
    }
    for (id, recipe) in bad.into_iter().enumerate() {
        generate(&session, id as u64, recipe.clone());
        let events = events_of(&session, id as u64);
        let Some(JobEvent::Failed { text }) = events.last() else {
            panic!("{recipe:?} gave {events:?}");
        };
        assert!(text.len() > 20, "{text:?} is no sentence");
    }
    generate(&session, 99, short());
    assert!(matches!(events_of(&session, 99).last(), Some(JobEvent::Finished { .. })));
}

#[test]
fn a_folder_that_is_not_a_model_is_refused_by_name() {
    let session = session_with(ModelSource::Folder(PathBuf::from("/no/such/model")));
    let text = loop {
        if let Event::Model(ModelEvent::Failed { text }) = next(session.events()) {
            break text;
        }
    };
    assert!(text.contains("/no/such/model"), "{text}");
    generate(&session, 1, short());
    assert!(matches!(events_of(&session, 1).last(), Some(JobEvent::Failed { .. })));
}

#[test]
fn a_thousand_stopped_jobs_leave_the_engine_working() {
    let session = session_with(ModelSource::BuiltIn);
    for id in 0..1000 {
        generate(&session, id, Recipe { steps: 1000, ..short() }).raise();
    }
    generate(&session, 1000, short());
    assert!(matches!(events_of(&session, 1000).last(), Some(JobEvent::Finished { .. })));
}

#[test]
fn dropping_a_session_ends_its_job() {
    let session = session_with(ModelSource::BuiltIn);
    generate(&session, 1, Recipe { steps: 1000, width: 512, height: 512, ..short() });
    let events = session.events().clone();
    drop(session);
    let is_finished = |event| matches!(event, Event::Job { event: JobEvent::Finished { .. }, .. });
    assert!(!events.try_iter().any(is_finished), "a thousand steps were run");
}
