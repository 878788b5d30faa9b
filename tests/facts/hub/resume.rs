//! Pausing, resuming after a restart, discarding: half a model never has the name of a whole one.

use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use app::hub::{FetchError, TransferStage, discard, unfinished};

use crate::support::fake_hub::{FakeHub, checkpoint, demo, shared, twist};
use crate::support::fake_server::{Mishap, Reply};

/// Downloads more than `bytes` bytes, then pauses.
fn pause_after(fake_hub: &FakeHub, bytes: u64) {
    let paused = fake_hub.fetch_watched(|progress| match progress.done > bytes {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    let error = paused.expect_err("it was paused");
    assert!(matches!(error, FetchError::Paused { .. }), "{error}");
    assert!(!fake_hub.target().exists());
}

#[test]
fn a_paused_download_resumes_where_it_was() {
    let fake_hub = FakeHub::open(checkpoint(), Vec::new());
    pause_after(&fake_hub, 400_000);
    let kept = fs::metadata(fake_hub.part().join("model.safetensors.part")).expect("a part").len();
    assert!(kept > 400_000);
    let left = unfinished(fake_hub.folder.path());
    assert_eq!((left.len(), left[0].done, &left[0].folder), (1, kept, &fake_hub.target()));
    assert_eq!(left[0].plan, fake_hub.plan().expect("a plan"), "all that is needed to go on");
    // Another process would do the same.
    fake_hub
        .client
        .fetch(&left[0].plan, &left[0].folder, &mut |_| ControlFlow::Continue(()))
        .expect("fetches");
    fake_hub.check();
    assert_eq!(fake_hub.asked()[1].from(), Some(kept as usize));
    assert_eq!(unfinished(fake_hub.folder.path()), []);
}

#[test]
fn of_many_files_those_that_are_complete_stay() {
    let fake_hub = FakeHub::open(demo(), Vec::new());
    let total = fake_hub.plan().expect("a plan").bytes();
    pause_after(&fake_hub, total / 2);
    let first = fake_hub.asked().len();
    fake_hub.fetch().expect("fetches");
    fake_hub.check();
    let mut paths: Vec<_> = fake_hub.asked().iter().map(|seen| seen.path.clone()).collect();
    let count = paths.len();
    paths.sort();
    paths.dedup();
    assert!(first < count && count - paths.len() <= 1, "at most the file at hand is asked for twice");
}

#[test]
fn a_part_that_was_spoilt_on_the_disk_is_found_out() {
    let fake_hub = FakeHub::open(checkpoint(), Vec::new());
    pause_after(&fake_hub, 400_000);
    let part = fake_hub.part().join("model.safetensors.part");
    let mut bytes = fs::read(&part).expect("a part");
    bytes[7] ^= 1;
    fs::write(&part, bytes).expect("spoils");
    fake_hub.fetch().expect("fetches");
    fake_hub.check();
}

#[test]
fn a_part_longer_than_the_file_is_downloaded_again() {
    let fake_hub = FakeHub::open(checkpoint(), Vec::new());
    pause_after(&fake_hub, 400_000);
    fs::write(fake_hub.part().join("model.safetensors.part"), vec![0; 1_300_000]).expect("spoils");
    fake_hub.fetch().expect("fetches");
    fake_hub.check();
}

#[test]
fn a_new_version_takes_over_what_did_not_change() {
    let old = FakeHub::open(demo(), Vec::new());
    let total = old.plan().expect("a plan").bytes();
    pause_after(&old, total / 2);
    let mut files = demo();
    files.get_mut("model_index.json").expect("a file").push(b'\n');
    files.insert("unet/diffusion_pytorch_model.safetensors".into(), vec![3; 5000]);
    let new = FakeHub { folder: old.folder, ..FakeHub::open(files, Vec::new()) };
    new.fetch().expect("fetches");
    new.check();
    let paths: Vec<_> = new.asked().iter().map(|seen| seen.path.clone()).collect();
    assert!(paths.iter().any(|path| path.ends_with("model_index.json")), "{paths:?}");
    assert!(!paths.iter().any(|path| path.ends_with("merges.txt")), "{paths:?}");
}

#[test]
fn a_pause_is_obeyed_even_when_nothing_comes() {
    let stalls = || twist(|_, reply| reply.but(Mishap::Stall(1000)));
    // Nothing but the pause ends this: the silence is taken for a stall after a day.
    let fake_hub = FakeHub::open(checkpoint(), vec![stalls()]).with_stall(Duration::from_secs(24 * 60 * 60));
    let mut asked_in_silence = 0;
    let paused = fake_hub.fetch_watched(|progress| {
        asked_in_silence += u32::from(progress.done == 1000);
        if asked_in_silence == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(paused, Err(FetchError::Paused { .. })));
    assert_eq!(asked_in_silence, 4, "it is not asked again");
}

#[test]
fn while_it_waits_for_a_server_it_says_so() {
    let busy = twist(|_, _| Reply::new(429, "").with("Retry-After", 60));
    let fake_hub = FakeHub::open(checkpoint(), vec![busy]);
    let mut said = None;
    let paused = fake_hub.fetch_watched(|progress| match &progress.stage {
        TransferStage::Waiting { cause, secs } => {
            said = Some((cause.clone(), *secs));
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(paused, Err(FetchError::Paused { .. })));
    assert_eq!(said, Some(("too many requests".to_owned(), 60)));
}

#[test]
fn discarding_leaves_nothing() {
    let fake_hub = FakeHub::open(demo(), Vec::new());
    pause_after(&fake_hub, 1000);
    discard(&fake_hub.target()).expect("throws away");
    assert_eq!(fs::read_dir(fake_hub.folder.path()).expect("reads").count(), 0);
    discard(&fake_hub.target()).expect("nothing to throw away");
    fake_hub.fetch().expect("fetches");
    discard(&fake_hub.target()).expect("a finished model is no part of one");
    fake_hub.check();
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let fake_hub = FakeHub::open(checkpoint(), Vec::new());
    for folder in [fake_hub.target(), fake_hub.part()] {
        fs::create_dir(&folder).expect("makes");
        fs::write(folder.join("mine.txt"), "mine").expect("writes");
        let error = fake_hub.fetch().expect_err("somebody's folder");
        assert!(matches!(error, FetchError::Exists { .. }), "{error}");
        discard(&fake_hub.target()).expect("leaves it");
        assert!(folder.join("mine.txt").exists());
        fs::remove_dir_all(&folder).expect("removes");
    }
    fs::write(fake_hub.target(), "a file").expect("writes");
    assert!(matches!(fake_hub.fetch(), Err(FetchError::Exists { .. })));
}

#[test]
fn two_do_not_fetch_the_same_model_at_once() {
    let fake_hub = FakeHub::open(checkpoint(), Vec::new());
    let second = shared(None);
    let fetched = fake_hub.fetch_watched(|progress| {
        let mut second = second.lock().expect("no panic");
        if progress.done > 1000 && second.is_none() {
            *second = Some(fake_hub.fetch().expect_err("somebody else is at it"));
            let discarded = discard(&fake_hub.target()).expect_err("in use");
            assert!(matches!(discarded, FetchError::InUse { .. }), "{discarded}");
        }
        ControlFlow::Continue(())
    });
    fetched.expect("the first goes on");
    fake_hub.check();
    assert!(matches!(*second.lock().expect("no panic"), Some(FetchError::InUse { .. })));
}

#[test]
fn a_note_that_leads_out_of_its_folder_is_not_believed() {
    let fake_hub = FakeHub::open(checkpoint(), Vec::new());
    pause_after(&fake_hub, 1000);
    let note = fake_hub.part().join("download.json");
    let honest = fs::read_to_string(&note).expect("a note");
    for path in ["../outside", "/etc/passwd", "C:\\x", "a/../../b", ".hidden", "a//b", ""] {
        let wicked = honest.replace("\"model.safetensors\"", &serde_json::json!(path).to_string());
        assert_ne!(wicked, honest);
        fs::write(&note, wicked).expect("writes");
        assert_eq!(unfinished(fake_hub.folder.path()), [], "{path}");
    }
    fs::write(&note, "{").expect("writes");
    assert_eq!(unfinished(fake_hub.folder.path()), []);
    fake_hub.fetch().expect("begins with a note of its own");
    fake_hub.check();
}

#[test]
fn progress_only_ever_says_what_is_there() {
    let fake_hub = FakeHub::open(demo(), vec![twist(|_, reply| reply.but(Mishap::Cut(5)))]);
    let total = fake_hub.plan().expect("a plan").bytes();
    let mut last = 0;
    fake_hub
        .fetch_watched(|progress| {
            assert!(progress.done <= progress.total && progress.total == total, "{progress:?}");
            last = progress.done;
            ControlFlow::Continue(())
        })
        .expect("fetches");
    assert_eq!(last, total);
}
