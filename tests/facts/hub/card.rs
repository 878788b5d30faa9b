//! The download card in the window's Models tab: licence and size before the download, then its progress.

use std::path::PathBuf;

use app::features::command::Command;
use app::features::download::{DownloadCommand, DownloadPhase};
use app::features::effect::Effect;
use app::features::event::AppEvent;
use app::features::settings::Settings;
use app::features::state::AppState;
use app::hub::{
    Checksum, DownloadOffer, HubCommand, HubEvent, Layout, Licence, Plan, PlannedFile, Progress, Unfinished,
};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use crate::support::window_harness::TestWindow;

const GIGABYTE: u64 = 1_000_000_000;

fn plan() -> Plan {
    Plan {
        repository: app::hub::STABLE_DIFFUSION_1_5.parse().expect("a repository"),
        commit: "451f4fe16113bff5a5d2269ed5ad43b0592e9a14".into(),
        licence: Licence { id: Some("creativeml-openrail-m".into()), link: None },
        layout: Layout::Folder,
        description: "A model in diffusers layout, f16".into(),
        files: vec![PlannedFile {
            path: "unet/diffusion_pytorch_model.fp16.safetensors".into(),
            bytes: 2 * GIGABYTE,
            checksum: Checksum::Sha256("00".repeat(32)),
        }],
    }
}

fn folder() -> PathBuf {
    PathBuf::from("/models/stable-diffusion-v1-5--stable-diffusion-v1-5")
}

fn offer() -> HubEvent {
    let page = "https://hub.example/stable-diffusion-v1-5".into();
    HubEvent::Found(Box::new(DownloadOffer {
        plan: plan(),
        folder: folder(),
        done: 0,
        free: Some(80 * GIGABYTE),
        page,
    }))
}

fn came(done: u64) -> HubEvent {
    HubEvent::Progress(Progress { done, total: 2 * GIGABYTE, ..Progress::default() })
}

fn receive(state: &mut AppState, report: HubEvent) -> Vec<Effect> {
    state.receive(AppEvent::Hub(report))
}

fn command(state: &mut AppState, command: DownloadCommand) -> Vec<Effect> {
    state.handle(Command::Download(command))
}

fn hub_command(effects: &[Effect]) -> Option<&HubCommand> {
    effects.iter().find_map(|effect| match effect {
        Effect::Hub(command) => Some(command),
        _ => None,
    })
}

#[test]
fn nothing_is_fetched_before_licence_and_size_were_shown() {
    let mut state = AppState::new(Settings::default());
    let effects = command(&mut state, DownloadCommand::LookUpStandard);
    assert!(matches!(hub_command(&effects), Some(HubCommand::LookUp { .. })));
    assert!(hub_command(&command(&mut state, DownloadCommand::Start)).is_none(), "there is no offer yet");
    assert!(receive(&mut state, offer()).is_empty());
    let effects = command(&mut state, DownloadCommand::Start);
    assert!(
        matches!(hub_command(&effects), Some(HubCommand::Fetch { plan: wanted, .. }) if *wanted == plan())
    );
}

#[test]
fn a_paused_download_resumes_and_a_cancelled_one_is_discarded() {
    let mut state = AppState::new(Settings::default());
    command(&mut state, DownloadCommand::LookUpStandard);
    receive(&mut state, offer());
    command(&mut state, DownloadCommand::Start);
    receive(&mut state, came(GIGABYTE));
    command(&mut state, DownloadCommand::Pause);
    let DownloadPhase::Running(running) = &state.download.phase else {
        panic!("it runs until the download has stopped")
    };
    assert!(running.stop.is_raised());
    receive(&mut state, HubEvent::Paused { done: GIGABYTE });
    assert!(matches!(&state.download.phase, DownloadPhase::Paused(left) if left.done == GIGABYTE));

    let effects = command(&mut state, DownloadCommand::Start);
    assert!(matches!(hub_command(&effects), Some(HubCommand::Fetch { .. })));
    command(&mut state, DownloadCommand::Cancel);
    let effects = receive(&mut state, HubEvent::Paused { done: GIGABYTE });
    assert!(
        matches!(hub_command(&effects), Some(HubCommand::Discard { folder: thrown }) if *thrown == folder())
    );
}

#[test]
fn what_was_left_at_the_last_start_is_offered_again() {
    let mut state = AppState::new(Settings::default());
    let found = Unfinished { plan: plan(), folder: folder(), done: GIGABYTE / 2 };
    receive(&mut state, HubEvent::Unfinished(vec![found]));
    assert!(matches!(&state.download.phase, DownloadPhase::Paused(left) if left.done == GIGABYTE / 2));
}

#[test]
fn the_card_says_what_it_is_and_how_far() {
    let mut window = TestWindow::opened(Harness::builder().with_size([1440.0, 900.0]), Settings::default());
    let tell = |window: &mut TestWindow, report: HubEvent| {
        window.harness.state_mut().state.receive(AppEvent::Hub(report));
        window.harness.run();
    };
    // Not by a click, which would ask the hub.
    window.harness.get_by_label("Get Stable Diffusion 1.5…");
    window.harness.state_mut().state.handle(Command::Download(DownloadCommand::LookUpStandard));
    tell(&mut window, offer());
    window.harness.get_by_label_contains("CreativeML Open RAIL-M");
    window.harness.get_by_label("Licence text");
    window.harness.get_by_label_contains(" in one file");
    window.harness.state_mut().state.handle(Command::Download(DownloadCommand::Start));
    tell(&mut window, came(GIGABYTE / 2));
    window.harness.get_by_label("25 %");
    tell(&mut window, HubEvent::Failed { done: GIGABYTE / 2, text: "The hub does not answer".into() });
    window.harness.get_by_label("The hub does not answer");
    window.harness.get_by_label("Resume");
    window.harness.state_mut().state.handle(Command::Download(DownloadCommand::Start));
    tell(&mut window, HubEvent::Complete(folder()));
    window.harness.get_by_label("Open it");
}
