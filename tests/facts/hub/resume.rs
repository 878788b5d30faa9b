//! Pausing, going on after a restart, giving up: at no time is there half a model under its name.

use std::fs;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use app::hub::{Doing, FetchError, discard, unfinished};

use crate::support::fake_hub::{Booth, checkpoint, demo, shared, twist};
use crate::support::fake_server::{Mishap, Reply};

/// Fetches until more than `bytes` have come, then pauses.
fn pause_after(booth: &Booth, bytes: u64) {
    let paused = booth.fetch_watched(|progress| match progress.done > bytes {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    let error = paused.expect_err("it was paused");
    assert!(matches!(error, FetchError::Paused { .. }), "{error}");
    assert!(!booth.target().exists());
}

#[test]
fn a_paused_download_goes_on_where_it_was() {
    let booth = Booth::open(checkpoint(), Vec::new());
    pause_after(&booth, 400_000);
    let kept = fs::metadata(booth.part().join("model.safetensors.part")).expect("a part").len();
    assert!(kept > 400_000);
    let left = unfinished(booth.folder.path());
    assert_eq!((left.len(), left[0].done, &left[0].folder), (1, kept, &booth.target()));
    assert_eq!(left[0].plan, booth.plan().expect("a plan"), "all that is needed to go on");
    // Another process would do just this.
    booth.hub.fetch(&left[0].plan, &left[0].folder, &mut |_| ControlFlow::Continue(())).expect("fetches");
    booth.check();
    assert_eq!(booth.asked()[1].from(), Some(kept as usize));
    assert_eq!(unfinished(booth.folder.path()), []);
}

#[test]
fn of_many_files_those_that_are_there_stay() {
    let booth = Booth::open(demo(), Vec::new());
    let total = booth.plan().expect("a plan").bytes();
    pause_after(&booth, total / 2);
    let first = booth.asked().len();
    booth.fetch().expect("fetches");
    booth.check();
    let mut paths: Vec<_> = booth.asked().iter().map(|seen| seen.path.clone()).collect();
    let count = paths.len();
    paths.sort();
    paths.dedup();
    assert!(first < count && count - paths.len() <= 1, "at most the file at hand is asked for twice");
}

#[test]
fn a_part_that_was_spoilt_on_the_disk_is_found_out() {
    let booth = Booth::open(checkpoint(), Vec::new());
    pause_after(&booth, 400_000);
    let part = booth.part().join("model.safetensors.part");
    let mut bytes = fs::read(&part).expect("a part");
    bytes[7] ^= 1;
    fs::write(&part, bytes).expect("spoils");
    booth.fetch().expect("fetches");
    booth.check();
}

#[test]
fn a_part_longer_than_the_file_is_begun_anew() {
    let booth = Booth::open(checkpoint(), Vec::new());
    pause_after(&booth, 400_000);
    fs::write(booth.part().join("model.safetensors.part"), vec![0; 1_300_000]).expect("spoils");
    booth.fetch().expect("fetches");
    booth.check();
}

#[test]
fn a_new_version_takes_over_what_did_not_change() {
    let old = Booth::open(demo(), Vec::new());
    let total = old.plan().expect("a plan").bytes();
    pause_after(&old, total / 2);
    let mut files = demo();
    files.insert("model_index.json".into(), b"{}".to_vec());
    files.insert("unet/diffusion_pytorch_model.safetensors".into(), vec![3; 5000]);
    let new = Booth { folder: old.folder, ..Booth::open(files, Vec::new()) };
    new.fetch().expect("fetches");
    new.check();
    let paths: Vec<_> = new.asked().iter().map(|seen| seen.path.clone()).collect();
    assert!(paths.iter().any(|path| path.ends_with("model_index.json")), "{paths:?}");
    assert!(!paths.iter().any(|path| path.ends_with("merges.txt")), "{paths:?}");
}

#[test]
fn a_pause_is_obeyed_at_once_even_when_nothing_comes() {
    let stalls = || twist(|_, reply| reply.but(Mishap::Stall(1000)));
    let booth = Booth::open(checkpoint(), vec![stalls(), stalls()]).with_stall(Duration::from_secs(60));
    let mut asked = None;
    let paused = booth.fetch_watched(|progress| {
        if progress.done < 1000 {
            return ControlFlow::Continue(());
        }
        let asked = asked.get_or_insert_with(Instant::now);
        if asked.elapsed() > Duration::from_millis(200) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(paused, Err(FetchError::Paused { .. })));
    let waited = asked.expect("it stalled").elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}

#[test]
fn while_it_waits_for_a_server_it_says_so() {
    let busy = twist(|_, _| Reply::new(429, "").with("Retry-After", 60));
    let booth = Booth::open(checkpoint(), vec![busy]);
    let mut said = None;
    let paused = booth.fetch_watched(|progress| match &progress.doing {
        Doing::Waiting { cause, secs } => {
            said = Some((cause.clone(), *secs));
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(paused, Err(FetchError::Paused { .. })));
    assert_eq!(said, Some(("the hub wants fewer requests".to_owned(), 60)));
}

#[test]
fn giving_up_leaves_nothing() {
    let booth = Booth::open(demo(), Vec::new());
    pause_after(&booth, 1000);
    discard(&booth.target()).expect("throws away");
    assert_eq!(fs::read_dir(booth.folder.path()).expect("reads").count(), 0);
    discard(&booth.target()).expect("nothing to throw away");
    booth.fetch().expect("fetches");
    discard(&booth.target()).expect("a finished model is no part of one");
    booth.check();
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let booth = Booth::open(checkpoint(), Vec::new());
    for folder in [booth.target(), booth.part()] {
        fs::create_dir(&folder).expect("makes");
        fs::write(folder.join("mine.txt"), "mine").expect("writes");
        let error = booth.fetch().expect_err("somebody's folder");
        assert!(matches!(error, FetchError::Exists { .. }), "{error}");
        discard(&booth.target()).expect("leaves it");
        assert!(folder.join("mine.txt").exists());
        fs::remove_dir_all(&folder).expect("removes");
    }
    fs::write(booth.target(), "a file").expect("writes");
    assert!(matches!(booth.fetch(), Err(FetchError::Exists { .. })));
}

#[test]
fn two_do_not_fetch_the_same_model_at_once() {
    let booth = Booth::open(checkpoint(), Vec::new());
    let second = shared(None);
    let fetched = booth.fetch_watched(|progress| {
        let mut second = second.lock().expect("no panic");
        if progress.done > 1000 && second.is_none() {
            *second = Some(booth.fetch().expect_err("somebody else is at it"));
            let discarded = discard(&booth.target()).expect_err("in use");
            assert!(matches!(discarded, FetchError::InUse { .. }), "{discarded}");
        }
        ControlFlow::Continue(())
    });
    fetched.expect("the first goes on");
    booth.check();
    assert!(matches!(*second.lock().expect("no panic"), Some(FetchError::InUse { .. })));
}

#[test]
fn a_note_that_leads_out_of_its_folder_is_not_believed() {
    let booth = Booth::open(checkpoint(), Vec::new());
    pause_after(&booth, 1000);
    let note = booth.part().join("download.json");
    let honest = fs::read_to_string(&note).expect("a note");
    for path in ["../outside", "/etc/passwd", "C:\\x", "a/../../b", ".hidden", "a//b", ""] {
        let wicked = honest.replace("\"model.safetensors\"", &serde_json::json!(path).to_string());
        assert_ne!(wicked, honest);
        fs::write(&note, wicked).expect("writes");
        assert_eq!(unfinished(booth.folder.path()), [], "{path}");
    }
    fs::write(&note, "{").expect("writes");
    assert_eq!(unfinished(booth.folder.path()), []);
    booth.fetch().expect("begins with a note of its own");
    booth.check();
}

#[test]
fn progress_only_ever_says_what_is_there() {
    let booth = Booth::open(demo(), vec![twist(|_, reply| reply.but(Mishap::Cut(5)))]);
    let total = booth.plan().expect("a plan").bytes();
    let mut last = 0;
    booth
        .fetch_watched(|progress| {
            assert!(progress.done <= progress.total && progress.total == total, "{progress:?}");
            last = progress.done;
            ControlFlow::Continue(())
        })
        .expect("fetches");
    assert_eq!(last, total);
}
