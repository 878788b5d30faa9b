//! The download card in the window's Models tab: licence and size before the download, then its progress.

use std::path::PathBuf;

use app::command::{Command, DownloadWish, Effect, News};
use app::hub::{Digest, Errand, Form, Licence, Offer, Plan, Progress, Report, Unfinished, Wanted};
use app::settings::Settings;
use app::state::AppState;
use app::state::download::Phase;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use crate::support::window_harness::TestWindow;

const GIGABYTE: u64 = 1_000_000_000;

fn plan() -> Plan {
    Plan {
        repository: app::hub::STABLE_DIFFUSION_1_5.parse().expect("a repository"),
        commit: "451f4fe16113bff5a5d2269ed5ad43b0592e9a14".into(),
        licence: Licence { id: Some("creativeml-openrail-m".into()), link: None },
        form: Form::Folder,
        what: "A model in diffusers layout, f16".into(),
        files: vec![Wanted {
            path: "unet/diffusion_pytorch_model.fp16.safetensors".into(),
            bytes: 2 * GIGABYTE,
            digest: Digest::Sha256("00".repeat(32)),
        }],
    }
}

fn folder() -> PathBuf {
    PathBuf::from("/models/stable-diffusion-v1-5--stable-diffusion-v1-5")
}

fn offer() -> Report {
    let page = "https://hub.example/stable-diffusion-v1-5".into();
    Report::Found(Box::new(Offer {
        plan: plan(),
        folder: folder(),
        done: 0,
        free: Some(80 * GIGABYTE),
        page,
    }))
}

fn came(done: u64) -> Report {
    Report::Came(Progress { done, total: 2 * GIGABYTE, ..Progress::default() })
}

fn hear(state: &mut AppState, report: Report) -> Vec<Effect> {
    state.receive(News::Hub(report))
}

fn wish(state: &mut AppState, wish: DownloadWish) -> Vec<Effect> {
    state.handle(Command::Download(wish))
}

fn errand(effects: &[Effect]) -> Option<&Errand> {
    effects.iter().find_map(|effect| match effect {
        Effect::Hub(errand) => Some(errand),
        _ => None,
    })
}

#[test]
fn nothing_is_fetched_before_licence_and_size_were_shown() {
    let mut state = AppState::new(Settings::default());
    let effects = wish(&mut state, DownloadWish::LookUpStandard);
    assert!(matches!(errand(&effects), Some(Errand::LookUp { .. })));
    assert!(errand(&wish(&mut state, DownloadWish::Start)).is_none(), "there is no offer yet");
    assert!(hear(&mut state, offer()).is_empty());
    let effects = wish(&mut state, DownloadWish::Start);
    assert!(matches!(errand(&effects), Some(Errand::Fetch { plan: wanted, .. }) if *wanted == plan()));
}

#[test]
fn a_paused_download_resumes_and_a_cancelled_one_is_discarded() {
    let mut state = AppState::new(Settings::default());
    wish(&mut state, DownloadWish::LookUpStandard);
    hear(&mut state, offer());
    wish(&mut state, DownloadWish::Start);
    hear(&mut state, came(GIGABYTE));
    wish(&mut state, DownloadWish::Pause);
    let Phase::Running(running) = &state.download.phase else { panic!("it runs until the line lets go") };
    assert!(running.stop.is_raised());
    hear(&mut state, Report::Paused { done: GIGABYTE });
    assert!(matches!(&state.download.phase, Phase::Paused(left) if left.done == GIGABYTE));

    let effects = wish(&mut state, DownloadWish::Start);
    assert!(matches!(errand(&effects), Some(Errand::Fetch { .. })));
    wish(&mut state, DownloadWish::Cancel);
    let effects = hear(&mut state, Report::Paused { done: GIGABYTE });
    assert!(matches!(errand(&effects), Some(Errand::Discard { folder: thrown }) if *thrown == folder()));
}

#[test]
fn what_was_left_at_the_last_start_is_offered_again() {
    let mut state = AppState::new(Settings::default());
    let found = Unfinished { plan: plan(), folder: folder(), done: GIGABYTE / 2 };
    hear(&mut state, Report::Unfinished(vec![found]));
    assert!(matches!(&state.download.phase, Phase::Paused(left) if left.done == GIGABYTE / 2));
}

#[test]
fn the_card_says_what_it_is_and_how_far() {
    let mut window = TestWindow::opened(Harness::builder().with_size([1440.0, 900.0]), Settings::default());
    let tell = |window: &mut TestWindow, report: Report| {
        window.harness.state_mut().state.receive(News::Hub(report));
        window.harness.run();
    };
    // Not by a click, which would ask the hub.
    window.harness.get_by_label("Get Stable Diffusion 1.5…");
    window.harness.state_mut().state.handle(Command::Download(DownloadWish::LookUpStandard));
    tell(&mut window, offer());
    window.harness.get_by_label_contains("CreativeML Open RAIL-M");
    window.harness.get_by_label_contains(" in one file");
    window.harness.state_mut().state.handle(Command::Download(DownloadWish::Start));
    tell(&mut window, came(GIGABYTE / 2));
    window.harness.get_by_label("25 %");
    tell(&mut window, Report::Failed { done: GIGABYTE / 2, text: "The hub does not answer".into() });
    window.harness.get_by_label("The hub does not answer");
    window.harness.get_by_label("Resume");
    window.harness.state_mut().state.handle(Command::Download(DownloadWish::Start));
    tell(&mut window, Report::Complete(folder()));
    window.harness.get_by_label("Open it");
}
