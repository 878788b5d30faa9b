//! What the window asks of the hub, each on a thread of its own, and the events that answer.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::pipeline::StopFlag;

use super::download_folder::bytes_done;
use super::{
    Access, DownloadRequest, FetchError, Hub, Location, MAIN, Plan, Progress, RetryPolicy, TransferStage,
    Unfinished, discard, unfinished,
};

#[derive(Clone, Debug)]
pub enum HubCommand {
    /// Looks up a model, and whether it fits on the disk of this folder of models.
    LookUp { location: Location, models: PathBuf, stop: StopFlag },
    /// Downloads a model. The flag pauses it; the downloaded part is kept.
    Fetch { plan: Plan, folder: PathBuf, stop: StopFlag },
    /// Deletes the downloaded part.
    Discard { folder: PathBuf },
    /// Lists unfinished downloads.
    FindUnfinished { models: PathBuf },
}

#[derive(Clone, Debug)]
pub enum HubEvent {
    Found(Box<DownloadOffer>),
    /// The lookup failed; why, as a sentence.
    NotFound(String),
    Progress(Progress),
    /// The folder or checkpoint to open.
    Complete(PathBuf),
    Paused {
        done: u64,
    },
    /// The downloaded part is kept.
    Failed {
        done: u64,
        text: String,
    },
    Discarded(Result<(), String>),
    Unfinished(Vec<Unfinished>),
}

/// What the user should know before the download starts.
#[derive(Clone, Debug, PartialEq)]
pub struct DownloadOffer {
    pub plan: Plan,
    pub folder: PathBuf,
    /// Bytes of the plan that are already on the disk.
    pub done: u64,
    /// Free bytes on the disk, if known.
    pub free: Option<u64>,
    pub page: String,
}

/// How often the progress is sent, at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Carries out a command on a thread of its own, and sends its events.
pub fn run(command: HubCommand, send: impl Fn(HubEvent) + Send + 'static) {
    let work = move || match command {
        HubCommand::LookUp { location, models, stop } => match look_up(location, &models, &stop) {
            Ok(offer) => send(HubEvent::Found(Box::new(offer))),
            Err(FetchError::Paused { .. }) => {}
            Err(error) => send(HubEvent::NotFound(error.to_string())),
        },
        HubCommand::Fetch { plan, folder, stop } => {
            let fetched =
                hub().and_then(|hub| hub.fetch(&plan, &folder, &mut progress_reporter(&send, &stop)));
            send(match fetched {
                Ok(path) => HubEvent::Complete(path),
                Err(FetchError::Paused { .. }) => HubEvent::Paused { done: bytes_done(&folder, &plan) },
                Err(error) => HubEvent::Failed { done: bytes_done(&folder, &plan), text: error.to_string() },
            });
        }
        HubCommand::Discard { folder } => {
            send(HubEvent::Discarded(discard(&folder).map_err(|error| error.to_string())));
        }
        HubCommand::FindUnfinished { models } => send(HubEvent::Unfinished(unfinished(&models))),
    };
    if let Err(error) = std::thread::Builder::new().name("hub".into()).spawn(work) {
        tracing::error!("the hub's thread could not be started: {error}");
    }
}

fn look_up(location: Location, models: &Path, stop: &StopFlag) -> Result<DownloadOffer, FetchError> {
    let hub = hub()?;
    let Location { repository, revision, file } = location;
    let request = DownloadRequest { file, ..DownloadRequest::default() };
    let revision = revision.as_deref().unwrap_or(MAIN);
    let plan = hub.plan(&repository, revision, &request, &mut |_| control_flow(stop))?;
    let folder = models.join(repository.folder_name());
    let (needed, free) = hub.disk_space(&plan, &folder);
    let done = plan.bytes().saturating_sub(needed);
    Ok(DownloadOffer { page: hub.page(&repository), plan, folder, done, free })
}

/// Reads the environment each time, since the token may have been corrected.
fn hub() -> Result<Hub, FetchError> {
    Ok(Hub::new(Access::of_environment(|name| std::env::var_os(name))?, RetryPolicy::default()))
}

fn progress_reporter<'a>(
    send: &'a impl Fn(HubEvent),
    stop: &'a StopFlag,
) -> impl FnMut(&Progress) -> ControlFlow<()> + 'a {
    let mut last_sent: Option<(Instant, TransferStage)> = None;
    move |progress| {
        let is_due = |(at, stage): &(Instant, TransferStage)| {
            at.elapsed() >= PROGRESS_INTERVAL || *stage != progress.stage
        };
        if last_sent.as_ref().is_none_or(is_due) {
            last_sent = Some((Instant::now(), progress.stage.clone()));
            send(HubEvent::Progress(progress.clone()));
        }
        control_flow(stop)
    }
}

fn control_flow(stop: &StopFlag) -> ControlFlow<()> {
    if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
