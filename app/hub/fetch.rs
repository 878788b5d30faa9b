//! The two things that a hub is asked: what there is, and to send it.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use engine::format::human_size;

use super::download_folder::{DownloadFolder, done, is_complete};
use super::http::{Head, Hub, Request, ResponseBody};
use super::listing::Listing;
use super::partial_file::{PartialFile, bytes_downloaded};
use super::plan::choose;
use super::repository::percent_encoded;
use super::retry::{Progress, RetryState, TransferError, TransferStage, TransferWatch};
use super::{Checksum, DownloadRequest, FetchError, Layout, Plan, PlannedFile, Repository};

/// A repository of ten thousand files is described in less.
const MAX_LISTING: usize = 16 << 20;
/// Left free on the disk, for everybody else.
const SPARE: u64 = 64 << 20;

type Tell<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

impl Hub {
    /// What fetching a model would mean. Nothing is written.
    pub fn plan(
        &self,
        repository: &Repository,
        revision: &str,
        command: &DownloadRequest,
        tell: Tell<'_>,
    ) -> Result<Plan, FetchError> {
        let mut watch = TransferWatch::new(0, tell);
        let path =
            format!("api/models/{repository}/revision/{}?blobs=true", percent_encoded(revision, false));
        let json = self.persist(&path, repository.to_string(), &mut watch, |answer, watch| {
            let whole = answer.whole(MAX_LISTING, watch)?;
            let too_long = || FetchError::Nonsense("it has no end".into(), repository.to_string()).into();
            whole.ok_or_else(too_long)
        });
        let json = json.map_err(|trouble| lasting(trouble, Path::new(&repository.to_string())))?;
        let listing = Listing::read(&json, repository, revision)?;
        if listing.is_gated && !self.access.has_token() {
            return Err(FetchError::Gated(self.page(repository)));
        }
        let (form, what, files) = choose(&listing, repository, command)?;
        let files = files.into_iter().map(|file| {
            let Some(bytes) = file.bytes else {
                return self.measure(repository, &listing.commit, &file.path, &mut watch);
            };
            Ok(PlannedFile { path: file.path, bytes, digest: file.digest })
        });
        let files = files
            .collect::<Result<_, _>>()
            .map_err(|trouble| lasting(trouble, Path::new(&repository.to_string())))?;
        let Listing { commit, licence, .. } = listing;
        let plan = Plan { repository: repository.clone(), commit, licence, form, what, files };
        if !plan.is_sound() {
            return Err(FetchError::Nonsense(
                "a file has a name that no folder can hold".into(),
                repository.to_string(),
            ));
        }
        Ok(plan)
    }

    /// Brings what is planned into the folder `target`, and says what to open: the folder or the one
    /// checkpoint in it. What is there already is not fetched again. `tell` hears of every step and
    /// answers whether to go on.
    pub fn fetch(&self, plan: &Plan, target: &Path, tell: Tell<'_>) -> Result<PathBuf, FetchError> {
        let opened = |folder: PathBuf| match plan.form {
            Layout::Folder => folder,
            Layout::File => folder.join(&plan.files[0].path),
        };
        if !plan.is_sound() {
            return Err(FetchError::Nonsense("the plan is damaged".into(), target.display().to_string()));
        }
        if is_complete(target, plan) {
            return Ok(opened(target.to_owned()));
        }
        self.check_size(plan, target)?;
        let filling = DownloadFolder::claim(target, plan)?;
        let mut watch = TransferWatch::new(plan.bytes(), tell);
        for wanted in &plan.files {
            watch.progress.file.clone_from(&wanted.path);
            let fetched = self.fetch_file(plan, wanted, &filling.folder, &mut watch);
            fetched.map_err(|trouble| lasting(trouble, &filling.folder))?;
        }
        filling.finish().map(opened)
    }

    /// Bytes that are still to come before `target` is there, and bytes that there is room for.
    pub fn disk_space(&self, plan: &Plan, target: &Path) -> (u64, Option<u64>) {
        let needed = plan.bytes().saturating_sub(done(target, plan));
        let there = target.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        (needed, (self.free_space)(there))
    }

    fn check_size(&self, plan: &Plan, target: &Path) -> Result<(), FetchError> {
        match self.disk_space(plan, target) {
            (needed, Some(free)) if free < needed.saturating_add(SPARE) => Err(FetchError::NoRoom {
                needed: human_size(needed.saturating_add(SPARE)),
                free: human_size(free),
                path: target.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Asks until there is an answer, and takes from it what is wanted.
    fn persist<T>(
        &self,
        path: &str,
        place: String,
        watch: &mut TransferWatch<'_>,
        mut take: impl FnMut(ResponseBody, &mut TransferWatch<'_>) -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        let mut persistence = RetryState::new(&self.patience, &place);
        loop {
            let question = self.question(path, None)?;
            let tried = self.ask(question, watch).and_then(|answer| {
                self.check_response(&answer.head, &place)?;
                take(answer, watch)
            });
            match tried {
                Err(TransferError::Passing(cause, command)) => persistence.pause(cause, command, watch)?,
                done_or_lasting => return done_or_lasting,
            }
        }
    }

    /// A file whose size the listing does not tell.
    fn measure(
        &self,
        repository: &Repository,
        commit: &str,
        path: &str,
        watch: &mut TransferWatch<'_>,
    ) -> Result<PlannedFile, TransferError> {
        let place = format!("{repository}: {path}");
        let mut persistence = RetryState::new(&self.patience, &place);
        loop {
            let mut question = self.question(&file_path(repository, commit, path), None)?;
            question.head_only = true;
            match self
                .ask(question, watch)
                .and_then(|answer| self.check_response(&answer.head, &place).map(|()| answer.head))
            {
                Err(TransferError::Passing(cause, command)) => persistence.pause(cause, command, watch)?,
                Err(trouble) => return Err(trouble),
                Ok(head) => {
                    let bytes = head.linked_length.or(head.length);
                    let bytes = bytes.ok_or(FetchError::Nonsense("a file has no length".into(), place))?;
                    let digest = head.linked_sha256.map_or(Checksum::Unknown, Checksum::Sha256);
                    return Ok(PlannedFile { path: path.to_owned(), bytes, digest });
                }
            }
        }
    }

    /// What a status means.
    fn check_response(&self, head: &Head, place: &str) -> Result<(), TransferError> {
        let place = place.to_owned();
        match (head.status, head.error_code.as_deref()) {
            (200 | 206, _) if head.is_html => Err(FetchError::Page(place).into()),
            (200 | 206, _) => Ok(()),
            (_, Some("GatedRepo")) => Err(FetchError::Gated(place).into()),
            (_, Some("RevisionNotFound" | "EntryNotFound")) | (404 | 410, _) => {
                Err(FetchError::NotFound(place).into())
            }
            (401, _) if self.access.has_token() => Err(FetchError::TokenRefused(place).into()),
            (401, _) => Err(FetchError::Unknown(place).into()),
            (403, _) => Err(FetchError::Gated(place).into()),
            (429, _) => Err(TransferError::Passing("the hub wants fewer requests".into(), head.retry_after)),
            (408 | 500..=599, _) => Err(TransferError::Passing(
                format!("the server failed with status {}", head.status),
                head.retry_after,
            )),
            (status, _) => Err(FetchError::Nonsense(format!("status {status}"), place).into()),
        }
    }

    fn question(&self, path: &str, from: Option<(u64, Option<String>)>) -> Result<Request, FetchError> {
        let address = self.access.endpoint.below(path);
        let address = address.ok_or_else(|| FetchError::BadEndpoint(self.access.endpoint.to_string()))?;
        Ok(Request { address, head_only: false, from })
    }

    /// Brings one file, over as many tries as it takes.
    fn fetch_file(
        &self,
        plan: &Plan,
        wanted: &PlannedFile,
        folder: &Path,
        watch: &mut TransferWatch<'_>,
    ) -> Result<(), TransferError> {
        let target = folder.join(&wanted.path);
        let before = watch.progress.done;
        if target.is_file() && bytes_downloaded(&target) == wanted.bytes {
            // It got its name after it was checked.
            watch.progress.done += wanted.bytes;
            return Ok(());
        }
        let parent = target.parent().expect("the file is in a folder");
        fs::create_dir_all(parent).map_err(|cause| FetchError::Disk { cause, path: parent.to_owned() })?;
        let place = format!("{}: {}", plan.repository, wanted.path);
        watch.progress.doing = TransferStage::Checking;
        let mut part = PartialFile::open(&target, wanted, watch)?;
        watch.progress.doing = TransferStage::Fetching;
        let mut persistence = RetryState::new(&self.patience, &place);
        // A server without ranges begins anew at every cut: only what was never had counts as headway.
        let mut most = part.done;
        let mut was_wrong = false;
        while !part.is_right(wanted) {
            if part.done == wanted.bytes {
                if std::mem::replace(&mut was_wrong, true) {
                    part.restart(wanted)?;
                    return Err(FetchError::Damaged(place).into());
                }
                part.restart(wanted)?;
            }
            watch.progress.done = before + part.done;
            let path = file_path(&plan.repository, &plan.commit, &wanted.path);
            let tried = self.fetch_on(&path, &place, wanted, &mut part, watch, before);
            if part.done > most {
                most = part.done;
                persistence.encourage();
            }
            match tried {
                Err(TransferError::Passing(cause, command)) => persistence.pause(cause, command, watch)?,
                other => other?,
            }
        }
        part.finish(&target)?;
        watch.progress.done = before + wanted.bytes;
        watch.tick()
    }

    /// One try: from where the part ends to where the answer does.
    fn fetch_on(
        &self,
        path: &str,
        place: &str,
        wanted: &PlannedFile,
        part: &mut PartialFile,
        watch: &mut TransferWatch<'_>,
        before: u64,
    ) -> Result<(), TransferError> {
        let from = (part.done > 0).then(|| (part.done, part.tag.clone()));
        let mut answer = self.ask(self.question(path, from)?, watch)?;
        let head = answer.head.clone();
        if head.status == 416 {
            part.restart(wanted)?;
            return Err(TransferError::Passing("the server does not know the rest of the file".into(), None));
        }
        self.check_response(&head, place)?;
        let continues = head.status == 206;
        if continues {
            let is_another = part.tag.is_some() && head.tag.is_some() && part.tag != head.tag;
            let is_elsewhere = head.range.is_none_or(|(first, _)| first != part.done);
            if is_another || is_elsewhere || head.was_compressed {
                part.restart(wanted)?;
                return Err(TransferError::Passing("the file was changed meanwhile".into(), None));
            }
        } else {
            // The server knows no ranges, or has another version by now.
            part.restart(wanted)?;
            part.remember(head.tag.clone())?;
            watch.progress.done = before;
        }
        let total = if continues { head.range.and_then(|(_, total)| total) } else { head.length };
        check_promise(&head, total, wanted, place)?;
        while part.done < wanted.bytes {
            let Some(bytes) = answer.next(watch)? else {
                return Err(TransferError::Passing("the connection ended early".into(), None));
            };
            // What comes after the end is of no use to anyone.
            let left = usize::try_from(wanted.bytes - part.done).unwrap_or(usize::MAX);
            part.push(&bytes[..bytes.len().min(left)])?;
            watch.progress.done = before + part.done;
        }
        Ok(())
    }
}

/// What an answer says of itself, against what the listing said.
fn check_promise(
    head: &Head,
    total: Option<u64>,
    wanted: &PlannedFile,
    place: &str,
) -> Result<(), FetchError> {
    let changed = |why: String| Err(FetchError::Changed { why, file: place.to_owned() });
    let lengths = [total, head.linked_length];
    if let Some(bytes) = lengths.into_iter().flatten().find(|bytes| *bytes != wanted.bytes) {
        return changed(format!("{bytes} bytes in place of {}", wanted.bytes));
    }
    match (&head.linked_sha256, &wanted.digest) {
        (Some(now), Checksum::Sha256(then)) if now != then => changed("another checksum".into()),
        _ => Ok(()),
    }
}

fn file_path(repository: &Repository, commit: &str, path: &str) -> String {
    format!("{repository}/resolve/{}/{}", percent_encoded(commit, false), percent_encoded(path, true))
}

fn lasting(trouble: TransferError, place: &Path) -> FetchError {
    match trouble {
        TransferError::Lasting(error) => error,
        TransferError::Stopped => FetchError::Paused { path: place.to_owned() },
        TransferError::Passing(cause, _) => {
            FetchError::Unreachable { tries: 1, cause, place: place.display().to_string() }
        }
    }
}
