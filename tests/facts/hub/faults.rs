//! Whatever the line and the server do: the right bytes, or a sentence and no folder.

use std::io::Write;
use std::time::Duration;

use app::hub::{FetchError, in_words};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::fake_hub::{Booth, Twist, checkpoint, demo, twist};
use crate::support::fake_server::{Mishap, Reply, Server};

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).expect("into memory");
    out.finish().expect("into memory")
}

fn status(status: u16) -> Twist {
    twist(move |_, _| Reply::new(status, "no"))
}

fn mishap(mishap: Mishap) -> Twist {
    twist(move |_, reply| reply.but(mishap))
}

/// Whatever goes wrong, once or a few times, the model is there in the end.
#[track_caller]
fn survives(what: &str, twists: Vec<Twist>) -> Booth {
    survives_with(what, twists, Duration::from_secs(20))
}

#[track_caller]
fn survives_with(what: &str, twists: Vec<Twist>, stall: Duration) -> Booth {
    let count = twists.len();
    let booth = Booth::open(checkpoint(), twists).with_stall(stall);
    let fetched = booth.fetch().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(fetched, booth.target().join("model.safetensors"), "{what}");
    booth.check();
    assert!(booth.asked().len() >= count, "{what}: not all of it went wrong");
    booth
}

/// It goes wrong for good: a sentence, and nothing under the final name.
#[track_caller]
fn fails(what: &str, always: impl Fn() -> Twist) -> (FetchError, Booth) {
    let booth = Booth::open(checkpoint(), (0..20).map(|_| always()).collect());
    let error = booth.fetch().expect_err(what);
    assert!(!booth.target().exists(), "{what}");
    (error, booth)
}

#[test]
fn a_whole_model_comes_and_nothing_else_of_its_repository() {
    let booth = Booth::open(demo(), Vec::new());
    assert_eq!(booth.fetch().expect("fetches"), booth.target());
    booth.check();
    let again = booth.asked().len();
    assert_eq!(booth.fetch().expect("is there"), booth.target());
    assert_eq!(booth.asked().len(), again, "what is there is not fetched again");
}

#[test]
fn a_cut_line_is_taken_up_where_it_was_cut() {
    for after in [0, 1, 1000, 700_001, 1_199_999] {
        let booth = survives("cut", vec![mishap(Mishap::Cut(after))]);
        let second = booth.asked()[1].from().unwrap_or(0);
        assert_eq!(second, after, "only the rest is asked for");
    }
    survives("three cuts", vec![mishap(Mishap::Cut(10)), mishap(Mishap::Cut(0)), mishap(Mishap::Cut(5))]);
}

#[test]
fn many_cuts_are_no_reason_to_give_up_while_something_comes() {
    survives("thirty cuts", (0..30).map(|_| mishap(Mishap::Cut(30_000))).collect());
}

#[test]
fn a_stalled_line_is_asked_anew() {
    let twists = vec![mishap(Mishap::Stall(500)), mishap(Mishap::Stall(0))];
    let booth = survives_with("stall", twists, Duration::from_secs(1));
    assert_eq!(booth.asked()[1].from(), Some(500));
}

#[test]
fn a_slow_body_is_waited_for() {
    let slow = mishap(Mishap::Slow(Duration::from_millis(100)));
    let booth = survives_with("slow", vec![slow], Duration::from_millis(1500));
    assert_eq!(booth.asked().len(), 1, "longer than a stall as a whole, and never still for so long");
}

#[test]
fn a_server_without_ranges_begins_anew() {
    let cut = mishap(Mishap::Cut(900_000));
    let deaf = twist(|_, reply| {
        let whole = checkpoint().remove("model.safetensors").expect("the file");
        Reply { status: 200, body: whole, ..reply }
    });
    survives("no ranges", vec![cut, deaf]);
    let (error, _) = fails("no ranges and always cut", || {
        twist(|_, _| {
            let whole = checkpoint().remove("model.safetensors").expect("the file");
            Reply::new(200, whole).but(Mishap::Cut(900_000))
        })
    });
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
}

#[test]
fn a_range_from_elsewhere_is_not_appended() {
    let elsewhere = twist(|_, reply| Reply {
        headers: vec![("Content-Range".into(), "bytes 0-1199999/1200000".into())],
        status: 206,
        ..reply
    });
    survives("elsewhere", vec![mishap(Mishap::Cut(1000)), elsewhere]);
    let unsaid = twist(|_, reply| Reply { headers: Vec::new(), ..reply });
    survives("no Content-Range", vec![mishap(Mishap::Cut(1000)), unsaid]);
}

#[test]
fn a_refused_range_begins_anew() {
    survives("416", vec![mishap(Mishap::Cut(1000)), status(416)]);
}

#[test]
fn a_lie_about_the_length_is_found_out() {
    // Shorter than it says: the connection ends early. Longer: what is too much is not read.
    survives("nothing said", vec![twist(|_, reply| reply.claiming(None).but(Mishap::Cut(70_000)))]);
    survives("no length", vec![twist(|_, reply| reply.claiming(None))]);
    for wrong in [1_199_999, 1_200_001, 5] {
        let (error, _) = fails("wrong length", || twist(move |_, reply| reply.claiming(Some(wrong))));
        assert!(matches!(error, FetchError::Changed { .. }), "{wrong}: {error}");
        assert!(error.to_string().contains("1200000"), "{error}");
    }
}

#[test]
fn a_body_without_end_is_read_no_further_than_the_file() {
    survives("endless", vec![twist(|_, reply| reply.claiming(None).but(Mishap::Endless))]);
}

#[test]
fn a_file_that_changes_between_two_requests_is_not_stitched_together() {
    let other = |reply: Reply| Reply {
        headers: reply.headers.into_iter().filter(|(name, _)| name != "ETag").collect(),
        ..reply
    };
    let renamed = twist(move |_, reply| other(reply).with("ETag", "\"another\""));
    let booth = survives("another tag", vec![mishap(Mishap::Cut(1000)), renamed]);
    assert!(booth.asked()[1].header("if-range").is_some_and(|tag| tag.starts_with('"')), "it is asked for");
    let (error, _) = fails("another checksum", || {
        twist(|_, reply| {
            let headers = vec![("X-Linked-Etag".to_owned(), format!("\"{}\"", "ab".repeat(32)))];
            Reply { headers, ..reply }
        })
    });
    assert!(matches!(error, FetchError::Changed { .. }), "{error}");
}

#[test]
fn wrong_bytes_are_thrown_away() {
    let spoilt = || {
        twist(|_, mut reply| {
            if let Some(byte) = reply.body.last_mut() {
                *byte ^= 1;
            }
            reply
        })
    };
    let booth = survives("spoilt once", vec![spoilt()]);
    assert_eq!(booth.asked()[1].from(), None, "from the beginning");
    let (error, booth) = fails("spoilt always", spoilt);
    assert!(matches!(error, FetchError::Damaged(_)), "{error}");
    assert_eq!(booth.asked().len(), 2);
    assert!(std::fs::metadata(booth.part().join("model.safetensors.part")).is_ok_and(|part| part.len() == 0));
}

#[test]
fn small_files_are_checked_too() {
    let spoilt = || twist(|_, reply| Reply { body: reply.body.to_ascii_uppercase(), ..reply });
    let booth = Booth::open(demo(), vec![spoilt(), spoilt()]);
    let error = booth.fetch().expect_err("a config in capitals");
    assert!(matches!(error, FetchError::Damaged(_)), "{error}");
}

#[test]
fn a_login_page_is_named_for_what_it_is() {
    let page = || {
        twist(|_, _| Reply::new(200, "<html>Welcome</html>").with("Content-Type", "text/html; charset=utf-8"))
    };
    let (error, _) = fails("page", page);
    assert!(matches!(error, FetchError::Page(_)), "{error}");
    let booth = Booth::with(
        checkpoint(),
        Server::start(|_, _| Reply::new(200, "<html>Welcome</html>").with("Content-Type", "text/html")),
    );
    assert!(matches!(booth.plan(), Err(FetchError::Page(_))));
}

#[test]
fn what_was_compressed_on_the_way_is_unpacked() {
    let zipped =
        || twist(|_, reply| Reply { body: gzipped(&reply.body), ..reply }.with("Content-Encoding", "gzip"));
    survives("gzip", vec![zipped()]);
    survives("a zipped rest", vec![mishap(Mishap::Cut(1000)), zipped()]);
    let (error, _) = fails("brotli", || twist(|_, reply| reply.with("Content-Encoding", "br")));
    assert!(matches!(error, FetchError::Nonsense(..)), "{error}");
    // 4 GB of zeros, packed: read no further than the file is long.
    let bomb = || {
        twist(|_, reply| {
            Reply { body: gzipped(&vec![0; 64 << 20]), ..reply }.with("Content-Encoding", "gzip")
        })
    };
    assert!(matches!(fails("bomb", bomb).0, FetchError::Damaged(_)));
}

#[test]
fn a_server_in_trouble_is_asked_again_and_given_up_in_the_end() {
    survives("500, 503, 408", vec![status(500), status(503), status(408)]);
    let (error, booth) = fails("502", || status(502));
    assert_eq!(booth.asked().len(), 4, "as often as patience says");
    assert!(error.to_string().contains("What has come is kept"), "{error}");
}

#[test]
fn a_server_that_wants_a_pause_gets_it() {
    let busy = |secs: u64| move || twist(move |_, _| Reply::new(429, "").with("Retry-After", secs));
    let begun = std::time::Instant::now();
    survives("429", vec![busy(1)()]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let (error, booth) = fails("an hour", busy(3600));
    assert!(error.to_string().contains("60 minutes"), "{error}");
    assert_eq!(booth.asked().len(), 1);
}

#[test]
fn each_refusal_has_its_sentence() {
    for (code, word) in
        [(401, "HF_TOKEN"), (403, "terms"), (404, "nothing of this name"), (410, "nothing"), (451, "451")]
    {
        let (error, booth) = fails("refused", || status(code));
        assert!(error.to_string().contains(word), "{code}: {error}");
        assert_eq!(booth.asked().len(), 1, "{code}: asking again is of no use");
    }
}

#[test]
fn a_server_that_speaks_no_http_is_given_up() {
    let gone = Server::start(|_, _| Reply::new(200, ""));
    let address = gone.address();
    drop(gone);
    std::thread::sleep(Duration::from_millis(50));
    let error = crate::support::fake_hub::plan(&crate::support::fake_hub::hub(&address, None))
        .expect_err("nobody is there");
    assert!(matches!(error, FetchError::Unreachable { tries: 4, .. }), "{error}");
}

#[test]
fn a_full_disk_is_seen_beforehand() {
    let mut booth = Booth::open(checkpoint(), Vec::new());
    booth.hub.free_space = |_| Some(1 << 20);
    let error = booth.fetch().expect_err("no room");
    assert!(matches!(error, FetchError::NoRoom { .. }), "{error}");
    assert!(!booth.part().exists() && booth.asked().is_empty(), "nothing was begun");
}

#[test]
fn sizes_are_said_as_people_say_them() {
    for (bytes, words) in
        [(0, "0 kB"), (1, "1 kB"), (999_000, "999 kB"), (52_000_000, "52 MB"), (2_132_000_000, "2.13 GB")]
    {
        assert_eq!(in_words(bytes), words);
    }
}
