//! The principal components of points.

use engine::diffusion::TorchGenerator;
use engine::inspect::principal_components::PrincipalComponents;

use crate::support::numbers::{Golden, assert_near, notes};

fn components(points: &[Vec<f32>]) -> PrincipalComponents {
    let mut components = PrincipalComponents::default();
    components.extend(&points.iter().map(Vec::as_slice).collect::<Vec<_>>());
    components
}

#[track_caller]
fn assert_at(components: &PrincipalComponents, expected: &[[f64; 2]]) {
    for (ours, expected) in components.coordinates().iter().zip(expected) {
        for (ours, expected) in ours.iter().zip(expected) {
            assert!((ours - expected).abs() < 1e-5, "{:?}", components.coordinates());
        }
    }
}

#[test]
fn points_on_a_line_lie_on_the_first_component_at_their_distances() {
    // (1, 2, 2) has the length 3.
    let points: Vec<Vec<f32>> =
        [0.0, 1.0, 5.0].iter().map(|along| vec![7.0 + along, 2.0 * along, 2.0 * along - 1.0]).collect();
    let found = components(&points);
    assert_at(&found, &[[-6.0, 0.0], [-3.0, 0.0], [9.0, 0.0]]);
    let [first, second] = found.variance_explained();
    assert!((first - 1.0).abs() < 1e-6 && second < 1e-6, "{first} {second}");
}

#[test]
fn an_ellipse_has_its_axes_as_components_and_their_squares_as_variances() {
    // Two orthogonal directions in four dimensions; over a circle cos^2 adds up to half the number of points.
    let points: Vec<Vec<f32>> = (0..40)
        .map(|index| {
            let angle = index as f32 * std::f32::consts::TAU / 40.0;
            let (x, y) = (5.0 * angle.cos(), 2.0 * angle.sin());
            vec![0.6 * x, 0.8 * x + 3.0, y, -1.0]
        })
        .collect();
    let found = components(&points);
    let [first, second] = found.variance_explained();
    assert!((first - 25.0 / 29.0).abs() < 1e-6 && (second - 4.0 / 29.0).abs() < 1e-6, "{first} {second}");
    assert!((found.coordinates()[0][0] + 5.0).abs() < 1e-5, "the first point is on the left");
    let axes = found.axes(&points.iter().map(Vec::as_slice).collect::<Vec<_>>());
    for (axis, expected) in axes.iter().zip([[-0.6, -0.8, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]) {
        let along: f32 = axis.iter().zip(expected).map(|(a, b)| a * b).sum();
        assert!((along.abs() - 1.0).abs() < 1e-5, "{axis:?}");
    }
}

#[test]
fn a_square_has_two_components_of_one_variance() {
    let points = [[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]].map(Vec::from);
    let found = components(&points);
    assert_eq!(found.variance_explained().map(|part| (part * 1e6).round() / 1e6), [0.5, 0.5]);
    for ([x, y], _) in found.coordinates().iter().zip(&points) {
        assert!((x.hypot(*y) - std::f64::consts::SQRT_2).abs() < 1e-6, "distances stay");
    }
}

#[test]
fn few_and_equal_points_have_coordinates_that_are_finite() {
    for points in [vec![], vec![vec![1.0, 2.0]], vec![vec![0.0; 3]; 5], vec![vec![1.0], vec![3.0]]] {
        let found = components(&points);
        assert_eq!(found.coordinates().len(), points.len());
        assert!(found.coordinates().iter().flatten().all(|value| value.is_finite()));
        assert!(found.variance_explained().iter().all(|part| (0.0..=1.0).contains(part)));
    }
}

#[test]
fn a_new_point_costs_few_readings_and_the_result_is_that_of_all_at_once() {
    // 20 runs of 50 steps, from their own noise to their own end.
    let mut torch = TorchGenerator::new(32);
    let mut points: Vec<Vec<f32>> = Vec::new();
    for _ in 0..20 {
        let (noise, end) = (torch.randn(256), torch.randn(256));
        points.extend((0..50).map(|step| {
            let left = 1.0 - step as f32 / 50.0;
            noise.iter().zip(&end).map(|(noise, end)| left * noise + (1.0 - left).powi(2) * end).collect()
        }));
    }
    let points: Vec<&[f32]> = points.iter().map(Vec::as_slice).collect();
    let readings = |found: &mut PrincipalComponents, points: &[&[f32]]| {
        let before = found.readings();
        found.extend(points);
        found.readings() - before
    };
    // The first twenty components have almost one variance, which is the hardest case.
    const FEW: usize = 5;
    let mut whole = PrincipalComponents::default();
    assert!(readings(&mut whole, &points) <= FEW);
    let mut found = PrincipalComponents::default();
    readings(&mut found, &points[..999]);
    assert!(readings(&mut found, &points) <= FEW);
    assert_eq!(readings(&mut found, &points), 0, "nothing is new");
    let near = |a: &PrincipalComponents, b: &PrincipalComponents| {
        for (a, b) in a.coordinates().iter().flatten().zip(b.coordinates().iter().flatten()) {
            assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} is not {b}");
        }
    };
    near(&found, &whole);
    found.retain(|index| index < 999);
    assert!(readings(&mut found, &points[..999]) <= FEW);
    let mut without = PrincipalComponents::default();
    without.extend(&points[..999]);
    near(&found, &without);
}

#[test]
fn principal_components_are_those_of_numpys_svd() {
    let (golden, notes) = (Golden::open("components.safetensors"), notes("components.json"));
    for (name, case) in notes["cases"].as_object().expect("cases") {
        let number = |name: &str| case[name].as_f64().expect(name);
        let (runs, steps) = (number("runs") as u64, number("steps") as usize);
        let shape = case["shape"].as_array().expect("a shape");
        let dimensions = shape.iter().map(|side| side.as_u64().expect("a side") as usize).product();
        let mut points: Vec<Vec<f32>> = Vec::new();
        for run in 0..runs {
            let [noise, end] = [2 * run, 2 * run + 1].map(|seed| TorchGenerator::new(seed).randn(dimensions));
            for step in 0..steps {
                let left = ((steps - step) as f64 / steps as f64 * number("scale")) as f32;
                let done = (step as f64 / steps as f64).powi(2) as f32;
                points.push(noise.iter().zip(&end).map(|(noise, end)| left * noise + done * end).collect());
            }
        }
        let mut found = PrincipalComponents::default();
        found.extend(&points.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let ours: Vec<f32> = found.coordinates().iter().flatten().map(|value| *value as f32).collect();
        assert_near(name, &ours, &golden.get(&format!("{name}.coordinates")), 1, 1e-4);
        let explained = found.variance_explained().map(|part| part as f32);
        assert_near(name, &explained, &golden.get(&format!("{name}.explained")), 1, 1e-4);
    }
}
