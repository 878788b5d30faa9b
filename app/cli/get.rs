//! `tidepool get`: a model from the Hugging Face Hub.

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;

use engine::format::human_size;
use engine::pipeline::StopFlag;
use serde_json::{Value, json};

use super::args::GetArgs;
use super::{Failure, print, progress, render};
use crate::features::settings::models_folder;
use crate::hub::{Access, Checksum, DownloadRequest, FetchError, Hub, Plan, RetryPolicy, TransferStage};

pub fn get(args: &GetArgs) -> Result<(), Failure> {
    let repository = args.model.parse().map_err(Failure::usage)?;
    let access = Access::of_environment(|name| std::env::var_os(name)).map_err(Failure::usage)?;
    let hub = Hub::new(access, RetryPolicy::default());
    let stop = StopFlag::default();
    render::raise_on_ctrl_c(stop.clone());
    let go_on = || if stop.is_raised() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };

    let command = DownloadRequest { full: args.full, file: args.file.clone() };
    let plan =
        hub.plan(&repository, &args.revision, &command, &mut |_| go_on()).map_err(|error| match error {
            FetchError::Paused { .. } => Failure::failed("Stopped; nothing was fetched"),
            error => Failure::failed(error),
        })?;
    let target = args.into.clone().unwrap_or_else(models_folder).join(repository.folder_name());
    let (needed, free) = hub.disk_space(&plan, &target);
    describe(&hub, &plan, &target, needed, free);
    if !args.yes && !consents()? {
        return Err(Failure::failed("Nothing was fetched"));
    }

    let bar = progress::fetching_bar(plan.bytes());
    let fetched = hub.fetch(&plan, &target, &mut |progress| {
        bar.set_position(progress.done);
        bar.set_message(match &progress.doing {
            TransferStage::Fetching => progress.file.clone(),
            TransferStage::Checking => format!("{}, checking what came before", progress.file),
            TransferStage::Waiting { cause, secs } => format!("{cause}; trying again in {secs} s"),
        });
        go_on()
    });
    bar.finish_and_clear();
    let path = fetched.map_err(|error| match error {
        FetchError::Paused { path } => Failure::failed(format!(
            "Paused; what has come is kept, and the same command goes on from there: {}",
            path.display()
        )),
        error => Failure::failed(error),
    })?;
    if args.json {
        print(report(&plan, &path))
    } else {
        eprintln!("Use it with --model, or open it in the window:");
        print(path.display())
    }
}

/// What it is, under which licence, how large, and where it goes.
fn describe(hub: &Hub, plan: &Plan, target: &Path, needed: u64, free: Option<u64>) {
    eprintln!("{}: {}", plan.repository, plan.what);
    eprintln!("  page     {}", hub.page(&plan.repository));
    eprintln!("  licence  {}", plan.licence.in_words());
    let came = plan.bytes().saturating_sub(needed);
    let already = if came > 0 { format!(", of which {} are here", human_size(came)) } else { String::new() };
    eprintln!("  size     {} in {} files{already}", human_size(plan.bytes()), plan.files.len());
    let free = free.map_or_else(String::new, |free| format!(", with {} free", human_size(free)));
    eprintln!("  into     {}{free}", target.display());
}

/// Asks on a terminal. A script has to say it beforehand.
fn consents() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "Nothing was fetched: if the licence and the size are fine, say so with --yes",
        ));
    }
    eprint!("Fetch it under this licence? [y/N] ");
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Failure::failed(format!("The answer could not be read ({error})")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn report(plan: &Plan, path: &Path) -> Value {
    let files = plan.files.iter().map(|file| {
        let sha256 = if let Checksum::Sha256(hex) = &file.digest { Some(hex) } else { None };
        json!({ "path": file.path, "bytes": file.bytes, "sha256": sha256 })
    });
    json!({
        "path": path.display().to_string(),
        "repository": plan.repository.to_string(),
        "commit": plan.commit,
        "licence": { "name": plan.licence.name(), "id": plan.licence.id, "words": plan.licence.in_words() },
        "bytes": plan.bytes(),
        "files": files.collect::<Vec<_>>(),
    })
}
