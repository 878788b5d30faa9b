//! What the window asks of a hub, each on a thread of its own, and what it hears back.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::pipeline::StopFlag;

use super::download_folder::done;
use super::{
    Access, DownloadRequest, FetchError, Hub, MAIN, Plan, Progress, Repository, RetryPolicy, TransferStage,
    Unfinished, discard, unfinished,
};

/// Something that takes time.
#[derive(Clone, Debug)]
pub enum HubCommand {
    /// What is it, and is there room for it in this folder of models?
    LookUp { repository: Repository, models: PathBuf, stop: StopFlag },
    /// Ended by the flag; what has come is kept.
    Fetch { plan: Plan, folder: PathBuf, stop: StopFlag },
    /// Throw away what has come.
    Discard { folder: PathBuf },
    /// What was left in the middle when the program was closed?
    FindUnfinished { models: PathBuf },
}

/// How an errand goes.
#[derive(Clone, Debug)]
pub enum HubEvent {
    Found(Box<DownloadOffer>),
    /// There is nothing to be had.
    NotFound(String),
    Came(Progress),
    /// The folder or checkpoint to open.
    Complete(PathBuf),
    Paused {
        done: u64,
    },
    /// Not without the person's help; what has come is kept.
    Failed {
        done: u64,
        text: String,
    },
    Discarded(Result<(), String>),
    Unfinished(Vec<Unfinished>),
}

/// What a person should know before saying yes.
#[derive(Clone, Debug, PartialEq)]
pub struct DownloadOffer {
    pub plan: Plan,
    pub folder: PathBuf,
    /// Of the plan, what lies on the disk from earlier.
    pub done: u64,
    /// Room on the disk, where the system tells.
    pub free: Option<u64>,
    pub page: String,
}

/// News is shown, not counted: more often than this nobody sees.
const NEWS_EVERY: Duration = Duration::from_millis(200);

/// Does it on a thread of its own, and tells how it goes.
pub fn run(errand: HubCommand, tell: impl Fn(HubEvent) + Send + 'static) {
    let work = move || match errand {
        HubCommand::LookUp { repository, models, stop } => match look_up(&repository, &models, &stop) {
            Ok(offer) => tell(HubEvent::Found(Box::new(offer))),
            Err(FetchError::Paused { .. }) => {}
            Err(error) => tell(HubEvent::NotFound(error.to_string())),
        },
        HubCommand::Fetch { plan, folder, stop } => {
            let fetched = hub().and_then(|hub| hub.fetch(&plan, &folder, &mut teller(&tell, &stop)));
            tell(match fetched {
                Ok(path) => HubEvent::Complete(path),
                Err(FetchError::Paused { .. }) => HubEvent::Paused { done: done(&folder, &plan) },
                Err(error) => HubEvent::Failed { done: done(&folder, &plan), text: error.to_string() },
            });
        }
        HubCommand::Discard { folder } => {
            tell(HubEvent::Discarded(discard(&folder).map_err(|error| error.to_string())));
        }
        HubCommand::FindUnfinished { models } => tell(HubEvent::Unfinished(unfinished(&models))),
    };
    if let Err(error) = std::thread::Builder::new().name("errand to the hub".into()).spawn(work) {
        tracing::error!("no thread for an errand to the hub: {error}");
    }
}

fn look_up(repository: &Repository, models: &Path, stop: &StopFlag) -> Result<DownloadOffer, FetchError> {
    let hub = hub()?;
    let plan = hub.plan(repository, MAIN, &DownloadRequest::default(), &mut |_| flow(stop))?;
    let folder = models.join(repository.folder_name());
    let (needed, free) = hub.disk_space(&plan, &folder);
    let done = plan.bytes().saturating_sub(needed);
    Ok(DownloadOffer { page: hub.page(repository), plan, folder, done, free })
}

/// The environment is asked each time: a token may have been set right.
fn hub() -> Result<Hub, FetchError> {
    Ok(Hub::new(Access::of_environment(|name| std::env::var_os(name))?, RetryPolicy::default()))
}

fn teller<'a>(
    tell: &'a impl Fn(HubEvent),
    stop: &'a StopFlag,
) -> impl FnMut(&Progress) -> ControlFlow<()> + 'a {
    let mut told: Option<(Instant, TransferStage)> = None;
    move |progress| {
        let is_news =
            |(at, doing): &(Instant, TransferStage)| at.elapsed() >= NEWS_EVERY || *doing != progress.doing;
        if told.as_ref().is_none_or(is_news) {
            told = Some((Instant::now(), progress.doing.clone()));
            tell(HubEvent::Came(progress.clone()));
        }
        flow(stop)
    }
}

fn flow(stop: &StopFlag) -> ControlFlow<()> {
    if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
