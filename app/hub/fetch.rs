//! The two things to do with a hub: plan a download, and carry it out.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use engine::checkpoint::{MAX_CONFIG_BYTES, PipelineClass};
use engine::format::human_size;

use super::download_folder::{DownloadFolder, bytes_done, is_complete};
use super::http::{Head, Hub, Request, Response};
use super::listing::Listing;
use super::partial_file::{PartialFile, bytes_downloaded};
use super::plan::choose;
use super::repository::percent_encoded;
use super::retry::{Transfer, TransferError};
use super::{
    Checksum, DownloadRequest, FetchError, Layout, Plan, PlannedFile, Progress, Repository, TransferStage,
};

/// More than the listing of a repository with ten thousand files.
const MAX_LISTING: usize = 16 << 20;
/// Bytes left free on the disk for other programs.
const RESERVED: u64 = 64 << 20;

/// Receives the progress and answers whether to continue.
type Report<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

impl Hub {
    /// Plans a download. Nothing is written.
    pub fn plan(
        &self,
        repository: &Repository,
        revision: &str,
        request: &DownloadRequest,
        report: Report<'_>,
    ) -> Result<Plan, FetchError> {
        let mut transfer = Transfer::new(0, self.retry, report);
        let place = repository.to_string();
        let path =
            format!("api/models/{repository}/revision/{}?blobs=true", percent_encoded(revision, false));
        let json = self.send_with_retries(&path, false, &place, &mut transfer, |response, transfer| {
            let body = response.read_to_end(MAX_LISTING, transfer)?;
            body.ok_or_else(|| FetchError::InvalidResponse("it is too long".into(), place.clone()).into())
        });
        let json = json.map_err(|error| fetch_error(error, Path::new(&place)))?;
        let listing = Listing::read(&json, repository, revision)?;
        if listing.is_gated && !self.access.has_token() {
            return Err(FetchError::Gated(self.page(repository)));
        }
        if request.file.is_none() {
            let class = self.pipeline_class(&listing, repository, &mut transfer);
            let class = class.map_err(|error| fetch_error(error, Path::new(&place)))?;
            if let Some(what) = class.and_then(|class| class.refusal) {
                return Err(FetchError::NotAModel { why: format!("it is {what}"), name: place });
            }
        }
        let (layout, description, files) = choose(&listing, repository, request)?;
        let files = files.into_iter().map(|file| match file.bytes {
            Some(bytes) => Ok(PlannedFile { path: file.path, bytes, checksum: file.checksum }),
            None => self.look_up_file(repository, &listing.commit, &file.path, &mut transfer),
        });
        let files = files.collect::<Result<_, _>>().map_err(|error| fetch_error(error, Path::new(&place)))?;
        let Listing { commit, licence, .. } = listing;
        let plan = Plan { repository: repository.clone(), commit, licence, layout, description, files };
        if !plan.is_valid() {
            return Err(FetchError::InvalidResponse("a file has an invalid name".into(), place));
        }
        Ok(plan)
    }

    /// Downloads a plan into the folder `target`, and returns what to open: the folder, or the one
    /// checkpoint in it. Files that are already there are not downloaded again.
    pub fn fetch(&self, plan: &Plan, target: &Path, report: Report<'_>) -> Result<PathBuf, FetchError> {
        let model_path = |folder: PathBuf| match plan.layout {
            Layout::Folder => folder,
            Layout::File => folder.join(&plan.files[0].path),
        };
        if !plan.is_valid() {
            let place = target.display().to_string();
            return Err(FetchError::InvalidResponse("the plan is damaged".into(), place));
        }
        if is_complete(target, plan) {
            return Ok(model_path(target.to_owned()));
        }
        self.check_size(plan, target)?;
        let download = DownloadFolder::claim(target, plan)?;
        let mut transfer = Transfer::new(plan.bytes(), self.retry, report);
        for file in &plan.files {
            transfer.progress.file.clone_from(&file.path);
            let fetched = self.fetch_file(plan, file, &download.folder, &mut transfer);
            fetched.map_err(|error| fetch_error(error, &download.folder))?;
        }
        download.finish().map(model_path)
    }

    /// Bytes still to download for `target`, and bytes free on its disk.
    pub fn disk_space(&self, plan: &Plan, target: &Path) -> (u64, Option<u64>) {
        let needed = plan.bytes().saturating_sub(bytes_done(target, plan));
        let existing = target.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        (needed, (self.free_space)(existing))
    }

    fn check_size(&self, plan: &Plan, target: &Path) -> Result<(), FetchError> {
        match self.disk_space(plan, target) {
            (needed, Some(free)) if free < needed.saturating_add(RESERVED) => Err(FetchError::DiskFull {
                needed: human_size(needed.saturating_add(RESERVED)),
                free: human_size(free),
                path: target.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Sends a request until it succeeds or fails for good, and reads the response.
    fn send_with_retries<T>(
        &self,
        path: &str,
        head_only: bool,
        place: &str,
        transfer: &mut Transfer<'_>,
        mut read: impl FnMut(Response, &mut Transfer<'_>) -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        transfer.reset_attempts();
        loop {
            let request = Request { head_only, ..self.request(path, None)? };
            let attempt = self.send(request, transfer).and_then(|response| {
                self.check_response(&response.head, place)?;
                read(response, transfer)
            });
            match attempt {
                Err(TransferError::Temporary(cause, retry_after)) => {
                    transfer.wait_to_retry(place, cause, retry_after)?;
                }
                result => return result,
            }
        }
    }

    /// Reads the configuration that tells what the model is; `None` unless it is in diffusers layout.
    fn pipeline_class(
        &self,
        listing: &Listing,
        repository: &Repository,
        transfer: &mut Transfer<'_>,
    ) -> Result<Option<PipelineClass>, TransferError> {
        let mut read = |path: &str| {
            let place = format!("{repository}: {path}");
            let url_path = file_path(repository, &listing.commit, path);
            let read = |_| {
                self.send_with_retries(&url_path, false, &place, transfer, |response, transfer| {
                    let body = response.read_to_end(MAX_CONFIG_BYTES, transfer)?;
                    body.ok_or_else(|| {
                        FetchError::InvalidResponse("it is too long".into(), place.clone()).into()
                    })
                })
            };
            listing.find(path).map(read).transpose()
        };
        let Some(index) = read("model_index.json")? else { return Ok(None) };
        let unet = read("unet/config.json")?;
        PipelineClass::read(&index, unet.as_deref()).map(Some).map_err(|error| {
            let why = format!("its model_index.json is invalid ({error})");
            FetchError::NotAModel { why, name: repository.to_string() }.into()
        })
    }

    /// Asks for the size and checksum of a file that the listing gives without them.
    fn look_up_file(
        &self,
        repository: &Repository,
        commit: &str,
        path: &str,
        transfer: &mut Transfer<'_>,
    ) -> Result<PlannedFile, TransferError> {
        let place = format!("{repository}: {path}");
        let url_path = file_path(repository, commit, path);
        let head =
            self.send_with_retries(&url_path, true, &place, transfer, |response, _| Ok(response.head))?;
        let bytes = head.linked_length.or(head.length);
        let bytes = bytes.ok_or_else(|| FetchError::InvalidResponse("a file has no length".into(), place))?;
        let checksum = head.linked_sha256.map_or(Checksum::Unknown, Checksum::Sha256);
        Ok(PlannedFile { path: path.to_owned(), bytes, checksum })
    }

    /// Turns an unsuccessful status into an error.
    fn check_response(&self, head: &Head, place: &str) -> Result<(), TransferError> {
        let place = place.to_owned();
        match (head.status, head.error_code.as_deref()) {
            (200 | 206, _) if head.is_html => Err(FetchError::WebPage(place).into()),
            (200 | 206, _) => Ok(()),
            (_, Some("GatedRepo")) => Err(FetchError::Gated(place).into()),
            (_, Some("RevisionNotFound" | "EntryNotFound")) | (404 | 410, _) => {
                Err(FetchError::NotFound(place).into())
            }
            (401, _) if self.access.has_token() => Err(FetchError::TokenRefused(place).into()),
            (401, _) => Err(FetchError::Unauthorized(place).into()),
            (403, _) => Err(FetchError::Gated(place).into()),
            (429, _) => Err(TransferError::Temporary("too many requests".into(), head.retry_after)),
            (status @ (408 | 500..=599), _) => {
                Err(TransferError::Temporary(format!("the server sent status {status}"), head.retry_after))
            }
            (status, _) => Err(FetchError::InvalidResponse(format!("status {status}"), place).into()),
        }
    }

    fn request(&self, path: &str, from: Option<(u64, Option<String>)>) -> Result<Request, FetchError> {
        let address = self.access.endpoint.below(path);
        let address = address.ok_or_else(|| FetchError::BadEndpoint(self.access.endpoint.to_string()))?;
        Ok(Request { address, head_only: false, from })
    }

    /// Downloads one file in as many attempts as necessary.
    fn fetch_file(
        &self,
        plan: &Plan,
        file: &PlannedFile,
        folder: &Path,
        transfer: &mut Transfer<'_>,
    ) -> Result<(), TransferError> {
        let target = folder.join(&file.path);
        let done_before = transfer.progress.done;
        if target.is_file() && bytes_downloaded(&target) == file.bytes {
            // A file has its final name only after its checksum was verified.
            transfer.progress.done += file.bytes;
            return Ok(());
        }
        let parent = target.parent().expect("the file is in a folder");
        fs::create_dir_all(parent).map_err(|cause| FetchError::Disk { cause, path: parent.to_owned() })?;
        let place = format!("{}: {}", plan.repository, file.path);
        let path = file_path(&plan.repository, &plan.commit, &file.path);
        transfer.progress.stage = TransferStage::Verifying;
        let mut part = PartialFile::open(&target, file, transfer)?;
        transfer.progress.stage = TransferStage::Downloading;
        transfer.reset_attempts();
        // A server without range support starts over each time, so only bytes beyond this count as progress.
        let mut max_done = part.done;
        let mut was_invalid = false;
        while !part.is_valid(file) {
            if part.done == file.bytes {
                part.restart(file)?;
                if std::mem::replace(&mut was_invalid, true) {
                    return Err(FetchError::Damaged(place).into());
                }
            }
            transfer.progress.done = done_before + part.done;
            let attempt = self.fetch_rest(&path, &place, file, &mut part, transfer, done_before);
            if part.done > max_done {
                max_done = part.done;
                transfer.reset_attempts();
            }
            match attempt {
                Err(TransferError::Temporary(cause, retry_after)) => {
                    transfer.wait_to_retry(&place, cause, retry_after)?;
                }
                other => other?,
            }
        }
        part.finish(&target)?;
        transfer.progress.done = done_before + file.bytes;
        transfer.tick()
    }

    /// One attempt to download the rest of a file.
    fn fetch_rest(
        &self,
        path: &str,
        place: &str,
        file: &PlannedFile,
        part: &mut PartialFile,
        transfer: &mut Transfer<'_>,
        done_before: u64,
    ) -> Result<(), TransferError> {
        let from = (part.done > 0).then(|| (part.done, part.tag.clone()));
        let mut response = self.send(self.request(path, from)?, transfer)?;
        let head = response.head.clone();
        if head.status == 416 {
            part.restart(file)?;
            return Err(TransferError::Temporary("the server cannot resume this file".into(), None));
        }
        self.check_response(&head, place)?;
        let is_resumed = head.status == 206;
        if is_resumed {
            let is_other_version = part.tag.is_some() && head.tag.is_some() && part.tag != head.tag;
            let is_other_range = head.range.is_none_or(|(first, _)| first != part.done);
            if is_other_version || is_other_range || head.was_compressed {
                part.restart(file)?;
                return Err(TransferError::Temporary("the file has changed on the server".into(), None));
            }
        } else {
            // The server does not support ranges, or it has another version by now.
            part.restart(file)?;
            part.set_tag(head.tag.clone())?;
            transfer.progress.done = done_before;
        }
        let total = if is_resumed { head.range.and_then(|(_, total)| total) } else { head.length };
        check_against_listing(&head, total, file, place)?;
        while part.done < file.bytes {
            let Some(bytes) = response.next_chunk(transfer)? else {
                return Err(TransferError::Temporary("the connection ended early".into(), None));
            };
            // Bytes beyond the listed length are dropped.
            let left = usize::try_from(file.bytes - part.done).unwrap_or(usize::MAX);
            part.append(&bytes[..bytes.len().min(left)])?;
            transfer.progress.done = done_before + part.done;
        }
        Ok(())
    }
}

/// Compares the length and checksum in a response's headers with the listing.
fn check_against_listing(
    head: &Head,
    total: Option<u64>,
    file: &PlannedFile,
    place: &str,
) -> Result<(), FetchError> {
    let changed = |why: String| Err(FetchError::Changed { why, file: place.to_owned() });
    let lengths = [total, head.linked_length];
    if let Some(bytes) = lengths.into_iter().flatten().find(|bytes| *bytes != file.bytes) {
        return changed(format!("{bytes} bytes instead of {}", file.bytes));
    }
    match (&head.linked_sha256, &file.checksum) {
        (Some(sent), Checksum::Sha256(listed)) if sent != listed => changed("another checksum".into()),
        _ => Ok(()),
    }
}

fn file_path(repository: &Repository, commit: &str, path: &str) -> String {
    format!("{repository}/resolve/{}/{}", percent_encoded(commit, false), percent_encoded(path, true))
}

fn fetch_error(error: TransferError, place: &Path) -> FetchError {
    match error {
        TransferError::Permanent(error) => error,
        TransferError::Stopped => FetchError::Paused { path: place.to_owned() },
        TransferError::Temporary(cause, _) => {
            FetchError::Unreachable { tries: 1, cause, place: place.display().to_string() }
        }
    }
}
