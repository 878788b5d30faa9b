//! What the window asks of a hub, each on a thread of its own, and what it hears back.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::pipeline::StopFlag;

use super::download_folder::done;
use super::{
    Access, Doing, FetchError, Hub, MAIN, Patience, Plan, Progress, Repository, Unfinished, Wish, discard,
    unfinished,
};

/// Something that takes time.
#[derive(Clone, Debug)]
pub enum Errand {
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
pub enum Report {
    Found(Box<Offer>),
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
pub struct Offer {
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
pub fn run(errand: Errand, tell: impl Fn(Report) + Send + 'static) {
    let work = move || match errand {
        Errand::LookUp { repository, models, stop } => match look_up(&repository, &models, &stop) {
            Ok(offer) => tell(Report::Found(Box::new(offer))),
            Err(FetchError::Paused { .. }) => {}
            Err(error) => tell(Report::NotFound(error.to_string())),
        },
        Errand::Fetch { plan, folder, stop } => {
            let fetched = hub().and_then(|hub| hub.fetch(&plan, &folder, &mut teller(&tell, &stop)));
            tell(match fetched {
                Ok(path) => Report::Complete(path),
                Err(FetchError::Paused { .. }) => Report::Paused { done: done(&folder, &plan) },
                Err(error) => Report::Failed { done: done(&folder, &plan), text: error.to_string() },
            });
        }
        Errand::Discard { folder } => {
            tell(Report::Discarded(discard(&folder).map_err(|error| error.to_string())));
        }
        Errand::FindUnfinished { models } => tell(Report::Unfinished(unfinished(&models))),
    };
    if let Err(error) = std::thread::Builder::new().name("errand to the hub".into()).spawn(work) {
        tracing::error!("no thread for an errand to the hub: {error}");
    }
}

fn look_up(repository: &Repository, models: &Path, stop: &StopFlag) -> Result<Offer, FetchError> {
    let hub = hub()?;
    let plan = hub.plan(repository, MAIN, &Wish::default(), &mut |_| flow(stop))?;
    let folder = models.join(repository.folder_name());
    let (needed, free) = hub.room(&plan, &folder);
    let done = plan.bytes().saturating_sub(needed);
    Ok(Offer { page: hub.page(repository), plan, folder, done, free })
}

/// The environment is asked each time: a token may have been set right.
fn hub() -> Result<Hub, FetchError> {
    Ok(Hub::new(Access::of_environment(|name| std::env::var_os(name))?, Patience::default()))
}

fn teller<'a>(
    tell: &'a impl Fn(Report),
    stop: &'a StopFlag,
) -> impl FnMut(&Progress) -> ControlFlow<()> + 'a {
    let mut told: Option<(Instant, Doing)> = None;
    move |progress| {
        let is_news = |(at, doing): &(Instant, Doing)| at.elapsed() >= NEWS_EVERY || *doing != progress.doing;
        if told.as_ref().is_none_or(is_news) {
            told = Some((Instant::now(), progress.doing.clone()));
            tell(Report::Came(progress.clone()));
        }
        flow(stop)
    }
}

fn flow(stop: &StopFlag) -> ControlFlow<()> {
    if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
