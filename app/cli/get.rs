//! `tidepool get`: downloads a model from the Hugging Face Hub.

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::format::human_size;
use engine::pipeline::StopFlag;
use serde_json::{Value, json};

use super::run::raise_on_ctrl_c;
use super::{Failure, print, progress};
use crate::features::settings::models_folder;
use crate::hub::{
    Access, Checksum, DownloadRequest, FetchError, Hub, Licence, Location, MAIN, Plan, RetryPolicy,
    STABLE_DIFFUSION_1_5, TransferStage,
};

#[derive(Debug, Args)]
pub struct GetArgs {
    /// The model's name on the hub, or the address of its page or of one of its files
    #[arg(value_name = "OWNER/NAME", default_value = STABLE_DIFFUSION_1_5)]
    pub model: String,
    /// A branch, a tag or a commit [default: main]
    #[arg(long, value_name = "R")]
    pub revision: Option<String>,
    /// Full-precision weights if there are any, at twice the size; a GPU uses half precision anyway
    #[arg(long)]
    pub full: bool,
    /// Only this checkpoint of the repository
    #[arg(long, value_name = "NAME", conflicts_with = "full")]
    pub file: Option<String>,
    /// The folder that gets a subfolder for the model [default: Tidepool's models folder]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Accept the licence and the size without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Print one JSON object instead of the path
    #[arg(long)]
    pub json: bool,
}

pub fn get(args: &GetArgs) -> Result<(), Failure> {
    let Location { repository, revision, file } = args.model.parse().map_err(Failure::usage)?;
    let revision = args.revision.clone().or(revision).unwrap_or_else(|| MAIN.to_owned());
    let access = Access::of_environment(|name| std::env::var_os(name)).map_err(Failure::usage)?;
    let hub = Hub::new(access, RetryPolicy::default());
    let stop = StopFlag::default();
    raise_on_ctrl_c(stop.clone());
    let control = || if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };

    let request = DownloadRequest { full: args.full, file: args.file.clone().or(file) };
    let plan =
        hub.plan(&repository, &revision, &request, &mut |_| control()).map_err(|error| match error {
            FetchError::Paused { .. } => Failure::failed("Stopped; nothing was downloaded"),
            error => Failure::failed(error),
        })?;
    let target = args.into.clone().unwrap_or_else(models_folder).join(repository.folder_name());
    let (needed, free) = hub.disk_space(&plan, &target);
    describe(&hub, &plan, &target, needed, free);
    if !args.yes && !ask_consent()? {
        return Err(Failure::failed("Nothing was downloaded"));
    }

    let bar = progress::download_bar(plan.bytes());
    let downloaded = hub.fetch(&plan, &target, &mut |progress| {
        bar.set_position(progress.done);
        bar.set_message(match &progress.stage {
            TransferStage::Downloading => progress.file.clone(),
            TransferStage::Verifying => format!("{}, verifying the part that is already here", progress.file),
            TransferStage::Waiting { cause, secs } => format!("{cause}; trying again in {secs} s"),
        });
        control()
    });
    bar.finish_and_clear();
    let path = downloaded.map_err(|error| match error {
        FetchError::Paused { path } => Failure::failed(format!(
            "Paused; the part that is already here is kept, and the same command resumes the download: {}",
            path.display()
        )),
        error => Failure::failed(error),
    })?;
    if args.json {
        print(report(&plan, &path))
    } else {
        eprintln!("Use this path with --model, or open the model in the window:");
        print(path.display())
    }
}

/// Shows what the model is, its licence, its size, and where it will be.
fn describe(hub: &Hub, plan: &Plan, target: &Path, needed: u64, free: Option<u64>) {
    eprintln!("{}: {}", plan.repository, plan.description);
    eprintln!("  page     {}", hub.page(&plan.repository));
    eprintln!("  licence  {}", licence_text(&plan.licence));
    let done = plan.bytes().saturating_sub(needed);
    let already = if done > 0 { format!(", {} of it already here", human_size(done)) } else { String::new() };
    eprintln!("  size     {} in {} files{already}", human_size(plan.bytes()), plan.files.len());
    let free = free.map_or_else(String::new, |free| format!(", with {} free", human_size(free)));
    eprintln!("  into     {}{free}", target.display());
}

/// The licence's name, and where to read it.
fn licence_text(licence: &Licence) -> String {
    match licence.url() {
        Some(url) => format!("{}: {url}", licence.name()),
        None => format!("{} (see the model's page)", licence.name()),
    }
}

/// Asks on a terminal. A script has to pass `--yes`.
fn ask_consent() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("Nothing was downloaded: to accept the licence and the size, add --yes"));
    }
    eprint!("Download it under this licence? [y/N] ");
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::failed(format!("The answer could not be read ({error})")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn report(plan: &Plan, path: &Path) -> Value {
    let files = plan.files.iter().map(|file| {
        let sha256 = if let Checksum::Sha256(hex) = &file.checksum { Some(hex) } else { None };
        json!({ "path": file.path, "bytes": file.bytes, "sha256": sha256 })
    });
    json!({
        "path": path.display().to_string(),
        "repository": plan.repository.to_string(),
        "commit": plan.commit,
        "licence": { "name": plan.licence.name(), "id": plan.licence.id, "words": licence_text(&plan.licence) },
        "bytes": plan.bytes(),
        "files": files.collect::<Vec<_>>(),
    })
}
