//! Trajectories on the plane of their principal components.

use std::sync::Arc;

use engine::diffusion::{Latents, LossGuidance, RecordedStep, RecordedSteps, Sampler};
use engine::images::read_recipe;
use engine::inspect::trajectory_map::{
    MapLayout, MapPoint, MapView, MappedRun, TrajectoryMap, TrajectoryMapper,
};
use engine::recipe::Recipe;
use engine::session::{Event, JobEvent, JobId, MapRequest, Request, Session};

use crate::support::cli::tidepool;
use crate::support::folders::folder;
use crate::support::session::{generate, open_built_in};
use crate::support::waiting::next;

/// A step whose picture lies at (x, y) of the first two dimensions, and whose noisy latents are twice as far.
fn step([x, y]: [f32; 2]) -> RecordedStep {
    let latents = |scale: f32| Latents::new([1, 4, 1, 1], vec![scale * x, scale * y, 5.0, -1.0]);
    RecordedStep {
        sigma: 2.0,
        x: latents(2.0),
        denoised: latents(1.0),
        loss_guidance: None,
        guidance: None,
        later: Vec::new(),
    }
}

fn run(run: u64, steps: &[RecordedStep]) -> MappedRun<'_> {
    MappedRun { run, steps: RecordedSteps { start_step: 3, parts: [steps, &[]] } }
}

fn distance(a: &MapPoint, b: &MapPoint) -> f32 {
    (a.at[0] - b.at[0]).hypot(a.at[1] - b.at[1])
}

#[test]
fn steps_on_a_plane_keep_their_distances_and_arrows_their_directions() {
    // A run along the first dimension, from whose third step another one turns off by a right angle.
    let straight: Vec<_> = [[0.0, 0.0], [3.0, 0.0], [6.0, 0.0], [9.0, 0.0]].map(step).to_vec();
    let mut turned: Vec<_> = [[0.0, 0.0], [3.0, 0.0], [6.0, 0.0], [6.0, 4.0]].map(step).to_vec();
    turned[1].guidance = Some(Latents::new([1, 4, 1, 1], vec![0.0, 0.5, 0.0, 7.0]));
    let gradient = Latents::new([1, 4, 1, 1], vec![0.25, 0.0, 0.0, 0.0]);
    turned[2].loss_guidance = Some(LossGuidance { losses: vec![Some(vec![1.0])], gradient });
    let runs = [run(1, &straight), run(2, &turned)];
    let mut mapper = TrajectoryMapper::default();
    for (view, scale) in [(MapView::Predicted, 1.0), (MapView::Noisy, 2.0)] {
        let map = mapper.map(view, &runs, 2).expect("a map");
        let [first, second] = &map.paths[..] else { panic!("two paths") };
        let steps: Vec<usize> = second.points.iter().map(|point| point.step).collect();
        assert_eq!((first.run, second.run, steps), (1, 2, vec![3, 4, 5, 6]));
        assert!((distance(&first.points[0], &first.points[3]) - 9.0 * scale).abs() < 1e-4);
        assert!((distance(&first.points[3], &second.points[3]) - 5.0 * scale).abs() < 1e-4, "3, 4 and 5");
        assert!((distance(&first.points[2], &second.points[2])).abs() < 1e-4, "they share this step");
        assert!((map.variance_explained.iter().sum::<f32>() - 1.0).abs() < 1e-5, "all lies on the plane");
        // Guidance points where the turn goes; the loss moves by sigma^2 times the gradient, back where the run came from.
        let along = |from: &MapPoint, to: &MapPoint| [to.at[0] - from.at[0], to.at[1] - from.at[1]];
        let up = along(&second.points[2], &second.points[3]).map(|value| value / (4.0 * scale));
        let back = along(&second.points[2], &second.points[0]).map(|value| value / (6.0 * scale));
        for (arrow, expected) in
            [(second.points[1].guidance, up.map(|value| 0.5 * value)), (second.points[2].loss_guidance, back)]
        {
            let arrow = arrow.expect("an arrow");
            assert!((arrow[0] - expected[0]).abs() + (arrow[1] - expected[1]).abs() < 1e-4, "{arrow:?}");
        }
        assert!(first.points.iter().all(|point| point.guidance.is_none()), "only the current run has arrows");
    }
}

#[test]
fn a_new_step_costs_few_readings_of_the_steps_of_the_map() {
    let steps: Vec<_> = (0..50).map(|at| step([at as f32, (at as f32).sin()])).collect();
    let others: Vec<Vec<_>> =
        (0..19).map(|run| (0..50).map(|at| step([at as f32, run as f32])).collect()).collect();
    let mut mapper = TrajectoryMapper::default();
    let mut map = |live: &[RecordedStep]| {
        let mut runs: Vec<_> = (0..).zip(&others).map(|(id, steps)| run(id, steps)).collect();
        runs.push(run(99, live));
        let map = mapper.map(MapView::Predicted, &runs, 99).expect("a map");
        (mapper.readings(), map)
    };
    let (before, _) = map(&steps[..49]);
    let (after, live) = map(&steps);
    assert!((1..=3).contains(&(after - before)), "{}", after - before);
    assert_eq!(map(&steps).0, after, "the same map again costs none");
    assert_eq!(live.paths.last().expect("the live path").points.len(), 50);
}

#[test]
fn a_map_has_the_newest_paths_that_fit_and_those_of_one_size_alone() {
    let long: Vec<Vec<_>> =
        (0..5).map(|run| (0..600).map(|at| step([at as f32, run as f32])).collect()).collect();
    let runs: Vec<_> = (0..).zip(&long).map(|(id, steps)| run(id, steps)).collect();
    let paths = |map: TrajectoryMap| map.paths.iter().map(|path| path.run).collect::<Vec<_>>();
    let map =
        |runs: &[MappedRun<'_>], current| TrajectoryMapper::default().map(MapView::Noisy, runs, current);
    assert_eq!(paths(map(&runs, 4).expect("a map")), [2, 3, 4]);
    assert_eq!(paths(map(&runs, 0).expect("a map")), [0, 3, 4], "the current run is always on it");

    let wide = [[1.0; 8], [2.0; 8]].map(|data| {
        let latents = Latents::new([1, 4, 1, 2], data.to_vec());
        RecordedStep { x: latents.clone(), denoised: latents, ..step([0.0; 2]) }
    });
    let mixed = [run(1, &wide), run(2, &long[0][..5])];
    assert_eq!(paths(map(&mixed, 1).expect("a map")), [1]);
    assert_eq!(paths(map(&mixed, 2).expect("a map")), [2]);
    assert_eq!(map(&[run(1, &[])], 1), None);
    assert_eq!(map(&mixed, 7), None);
}

#[test]
fn every_picture_of_a_batch_has_its_path() {
    let batch: Vec<_> = (0..4)
        .map(|at| {
            let latents =
                Latents::new([2, 4, 1, 1], vec![at as f32, 0.0, 0.0, 0.0, 0.0, at as f32, 0.0, 0.0]);
            RecordedStep { x: latents.clone(), denoised: latents, ..step([0.0; 2]) }
        })
        .collect();
    let map = TrajectoryMapper::default().map(MapView::Predicted, &[run(1, &batch)], 1).expect("a map");
    let [first, second] = &map.paths[..] else { panic!("two paths") };
    assert_eq!((first.picture, second.picture), (0, 1));
    let apart = distance(&first.points[3], &second.points[3]);
    assert!((apart - 18.0f32.sqrt()).abs() < 1e-4, "{apart}: both are 3 away from where both begin");
}

#[test]
fn a_layout_keeps_everything_inside_at_one_scale_and_pictures_apart() {
    let steps: Vec<_> = (0..30).map(|at| step([3.0 * at as f32, (at as f32 * 0.7).sin() * 20.0])).collect();
    let map = TrajectoryMapper::default().map(MapView::Predicted, &[run(1, &steps)], 1).expect("a map");
    let (size, margin, side) = ([300.0, 240.0], 30.0, 34.0);
    let layout = MapLayout::new(&map, size, margin);
    let path = &map.paths[0];
    let places: Vec<[f32; 2]> = path.points.iter().map(|point| layout.place(point.at)).collect();
    for place in &places {
        assert!(
            (0..2).all(|axis| (margin - 0.01..=size[axis] - margin + 0.01).contains(&place[axis])),
            "{place:?}"
        );
    }
    let drawn = (places[0][0] - places[9][0]).hypot(places[0][1] - places[9][1]);
    let drawn_too = (places[3][0] - places[25][0]).hypot(places[3][1] - places[25][1]);
    let ratio = distance(&path.points[0], &path.points[9]) / distance(&path.points[3], &path.points[25]);
    assert!((drawn / drawn_too / ratio - 1.0).abs() < 1e-3, "one scale");
    let shown = layout.thumbnails(&map, path, &path.shown_steps(4), (size, side), &mut Vec::new());
    assert_eq!(
        shown[..2].iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [32, 3],
        "the last and the first"
    );
    for (index, (_, centre)) in shown.iter().enumerate() {
        assert!((0..2).all(|axis| (side / 2.0..=size[axis] - side / 2.0).contains(&centre[axis])));
        for (_, other) in &shown[..index] {
            assert!((0..2).any(|axis| (centre[axis] - other[axis]).abs() >= side), "{centre:?} {other:?}");
        }
    }
}

/// The last map before the job ends, and the first one after.
fn maps_of(session: &Session, job: u64) -> [Option<Arc<TrajectoryMap>>; 2] {
    let (mut before, mut has_ended) = (None, false);
    loop {
        match next(session.events()) {
            Event::TrajectoryMap(map) if has_ended => return [before, Some(map)],
            Event::TrajectoryMap(map) => before = Some(map),
            Event::Job { id, event } if id == JobId(job) && event.is_last() => {
                assert!(matches!(event, JobEvent::Finished { .. }), "{event:?}");
                has_ended = true;
            }
            _ => {}
        }
    }
}

#[test]
fn the_engine_keeps_the_map_up_to_date_while_it_samples() {
    let session = open_built_in();
    let recipe = Recipe { prompt: "a puppy".into(), steps: 6, width: 64, height: 64, ..Recipe::default() };
    let watch = |jobs: &[u64]| {
        let jobs: Vec<JobId> = jobs.iter().map(|job| JobId(*job)).collect();
        let current = *jobs.last().expect("a job");
        session.send(Request::WatchMap(Some(MapRequest { jobs, current, view: MapView::Noisy })));
    };
    watch(&[1]);
    generate(&session, 1, recipe.clone());
    let [during, after] = maps_of(&session, 1);
    let during = during.expect("the first steps are mapped while the next are sampled");
    assert!((1..=6).contains(&during.paths[0].points.len()));
    assert_eq!(after.expect("a map").paths[0].points.len(), 6);

    watch(&[1, 2]);
    generate(&session, 2, Recipe { sampler: Sampler::Heun, ..recipe.clone() });
    let [_, after] = maps_of(&session, 2);
    let after = after.expect("a map");
    let paths: Vec<(u64, usize)> = after.paths.iter().map(|path| (path.run, path.points.len())).collect();
    assert_eq!(paths, [(1, 6), (2, 6)]);
    let starts: Vec<[f32; 2]> = after.paths.iter().map(|path| path.points[0].at).collect();
    assert!(
        (0..2).all(|axis| (starts[0][axis] - starts[1][axis]).abs() < 1e-2),
        "one seed, one start: {starts:?}"
    );
    assert!(after.paths[1].points.iter().all(|point| point.guidance.is_some()));

    session.send(Request::WatchMap(None));
    generate(&session, 3, recipe);
    loop {
        match next(session.events()) {
            Event::TrajectoryMap(_) => panic!("a map that nobody watches"),
            Event::Job { event, .. } if event.is_last() => break,
            _ => {}
        }
    }
}

#[test]
fn render_writes_the_map_of_a_batch_with_its_recipe() {
    let folder = folder();
    let render = |options: &str| {
        let options =
            format!("render fox --device cpu --size 64x64 --steps 4 --seed 5 --batch 2 -o a.png {options}");
        let said = tidepool(folder.path(), &options.split(' ').collect::<Vec<_>>());
        assert_eq!(said.status, Some(0), "{options}: {}", said.stderr);
        said.stdout
    };
    let json: serde_json::Value = serde_json::from_str(&render("--map map.png --json")).expect("JSON");
    assert_eq!(json["map"], "map.png");
    render("--map noisy.png --map-view noisy");
    let read = |name: &str| {
        let path = folder.path().join(name);
        let recipe = read_recipe(&path).expect("a picture").expect("a recipe");
        (recipe.provenance.recipe.seed, image::open(path).expect("a picture").to_rgb8())
    };
    let ((seed, predicted), (_, noisy)) = (read("map.png"), read("noisy.png"));
    assert_eq!(seed, 5);
    assert_ne!(predicted, noisy);
    // Both paths are drawn, each in its colour, on white.
    for colour in [[0x1f, 0x6f, 0xc4], [0xb3, 0x59, 0x0a], [255; 3]] {
        assert!(predicted.pixels().filter(|pixel| pixel.0 == colour).count() > 200, "{colour:?}");
    }
    let refused = tidepool(folder.path(), &["render", "fox", "--map-view", "noisy"]);
    assert_eq!(refused.status, Some(2), "without --map there is no view of it");
}
