//! Whatever the connection and the server do, the result is the right bytes, or an error and no folder.

use std::io::Write;
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::time::Duration;

use app::hub::{FetchError, TransferStage};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::fake_hub::{FakeHub, Twist, checkpoint, client, demo, plan, twist};
use crate::support::fake_server::{Mishap, Reply, Server};
use crate::support::waiting::wait_until;

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
fn survives(what: &str, twists: Vec<Twist>) -> FakeHub {
    survives_with(what, twists, Duration::from_secs(20))
}

#[track_caller]
fn survives_with(what: &str, twists: Vec<Twist>, stall: Duration) -> FakeHub {
    let count = twists.len();
    let fake_hub = FakeHub::open(checkpoint(), twists).with_stall(stall);
    let fetched = fake_hub.fetch().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(fetched, fake_hub.target().join("model.safetensors"), "{what}");
    fake_hub.check();
    assert!(fake_hub.asked().len() >= count, "{what}: not all of it went wrong");
    fake_hub
}

/// It fails for good: an error, and nothing under the final name.
#[track_caller]
fn fails(what: &str, always: impl Fn() -> Twist) -> (FetchError, FakeHub) {
    let fake_hub = FakeHub::open(checkpoint(), (0..20).map(|_| always()).collect());
    let error = fake_hub.fetch().expect_err(what);
    assert!(!fake_hub.target().exists(), "{what}");
    (error, fake_hub)
}

#[test]
fn a_whole_model_comes_and_nothing_else_of_its_repository() {
    let fake_hub = FakeHub::open(demo(), Vec::new());
    assert_eq!(fake_hub.fetch().expect("fetches"), fake_hub.target());
    fake_hub.check();
    let again = fake_hub.asked().len();
    assert_eq!(fake_hub.fetch().expect("is there"), fake_hub.target());
    assert_eq!(fake_hub.asked().len(), again, "what is there is not fetched again");
}

#[test]
fn a_broken_connection_is_resumed_where_it_broke() {
    for after in [0, 1, 1000, 700_001, 1_199_999] {
        let fake_hub = survives("cut", vec![mishap(Mishap::Cut(after))]);
        let second = fake_hub.asked()[1].from().unwrap_or(0);
        assert_eq!(second, after, "only the rest is asked for");
    }
    survives("three cuts", vec![mishap(Mishap::Cut(10)), mishap(Mishap::Cut(0)), mishap(Mishap::Cut(5))]);
}

#[test]
fn many_broken_connections_do_not_end_a_download_that_makes_progress() {
    survives("thirty cuts", (0..30).map(|_| mishap(Mishap::Cut(30_000))).collect());
}

#[test]
fn a_stalled_connection_is_retried() {
    let twists = vec![mishap(Mishap::Stall(500)), mishap(Mishap::Stall(0))];
    let fake_hub = survives_with("stall", twists, Duration::from_secs(3));
    assert_eq!(fake_hub.asked()[1].from(), Some(500));
}

#[test]
fn a_slow_body_is_waited_for() {
    // Twenty pieces take five seconds, and only a machine that sleeps for four between two of them fails.
    let slow = mishap(Mishap::Slow(Duration::from_millis(250)));
    let fake_hub = survives_with("slow", vec![slow], Duration::from_secs(4));
    assert_eq!(fake_hub.asked().len(), 1, "longer than a stall as a whole, and never still for so long");
}

#[test]
fn a_server_without_ranges_starts_over() {
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
fn a_refused_range_starts_over() {
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
    let fake_hub = survives("another tag", vec![mishap(Mishap::Cut(1000)), renamed]);
    assert!(
        fake_hub.asked()[1].header("if-range").is_some_and(|tag| tag.starts_with('"')),
        "it is asked for"
    );
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
    let fake_hub = survives("spoilt once", vec![spoilt()]);
    assert_eq!(fake_hub.asked()[1].from(), None, "from the beginning");
    let (error, fake_hub) = fails("spoilt always", spoilt);
    assert!(matches!(error, FetchError::Damaged(_)), "{error}");
    assert_eq!(fake_hub.asked().len(), 2);
    assert!(
        std::fs::metadata(fake_hub.part().join("model.safetensors.part")).is_ok_and(|part| part.len() == 0)
    );
}

#[test]
fn small_files_are_checked_too() {
    let spoilt = || twist(|_, reply| Reply { body: reply.body.to_ascii_uppercase(), ..reply });
    let fake_hub = FakeHub::open(demo(), vec![spoilt(), spoilt()]);
    let error = fake_hub.fetch().expect_err("a config in capitals");
    assert!(matches!(error, FetchError::Damaged(_)), "{error}");
}

#[test]
fn a_login_page_is_named_for_what_it_is() {
    let page = || {
        twist(|_, _| Reply::new(200, "<html>Welcome</html>").with("Content-Type", "text/html; charset=utf-8"))
    };
    let (error, _) = fails("page", page);
    assert!(matches!(error, FetchError::WebPage(_)), "{error}");
    let fake_hub = FakeHub::with(
        checkpoint(),
        Server::start(|_, _| Reply::new(200, "<html>Welcome</html>").with("Content-Type", "text/html")),
    );
    assert!(matches!(fake_hub.plan(), Err(FetchError::WebPage(_))));
}

#[test]
fn what_was_compressed_on_the_way_is_unpacked() {
    let zipped =
        || twist(|_, reply| Reply { body: gzipped(&reply.body), ..reply }.with("Content-Encoding", "gzip"));
    survives("gzip", vec![zipped()]);
    survives("a zipped rest", vec![mishap(Mishap::Cut(1000)), zipped()]);
    let (error, _) = fails("brotli", || twist(|_, reply| reply.with("Content-Encoding", "br")));
    assert!(matches!(error, FetchError::InvalidResponse(..)), "{error}");
    // 64 MiB of zeros, packed: read no further than the file is long.
    let bomb = || {
        twist(|_, reply| {
            Reply { body: gzipped(&vec![0; 64 << 20]), ..reply }.with("Content-Encoding", "gzip")
        })
    };
    assert!(matches!(fails("bomb", bomb).0, FetchError::Damaged(_)));
}

#[test]
fn a_failing_server_is_retried_and_finally_given_up() {
    survives("500, 503, 408", vec![status(500), status(503), status(408)]);
    let (error, fake_hub) = fails("502", || status(502));
    assert_eq!(fake_hub.asked().len(), 4, "as often as the policy allows");
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
}

#[test]
fn a_server_that_wants_a_pause_gets_it() {
    let busy = |secs: u64| move || twist(move |_, _| Reply::new(429, "").with("Retry-After", secs));
    let fake_hub = FakeHub::open(checkpoint(), vec![busy(1)()]);
    let mut waited = Vec::new();
    let fetched = fake_hub.fetch_watched(|progress| {
        if let TransferStage::Waiting { secs, .. } = progress.stage {
            waited.push(secs);
        }
        ControlFlow::Continue(())
    });
    fetched.expect("the second answer is the file");
    fake_hub.check();
    assert!(waited.first() == Some(&1), "the pause that the server wants: {waited:?}");
    let (error, fake_hub) = fails("an hour", busy(3600));
    assert!(error.to_string().contains("60 minutes"), "{error}");
    assert_eq!(fake_hub.asked().len(), 1);
}

#[test]
fn each_refusal_has_its_sentence() {
    for (code, word) in
        [(401, "HF_TOKEN"), (403, "terms"), (404, "spelling"), (410, "spelling"), (451, "451")]
    {
        let (error, fake_hub) = fails("refused", || status(code));
        assert!(error.to_string().contains(word), "{code}: {error}");
        assert_eq!(fake_hub.asked().len(), 1, "{code}: asking again is of no use");
    }
}

#[test]
fn a_server_that_is_gone_is_given_up() {
    let gone = Server::start(|_, _| Reply::new(200, ""));
    let address = gone.address();
    drop(gone);
    let port = address.strip_prefix("http://").expect("an address");
    wait_until("the end of the server", || TcpStream::connect(port).is_err());
    let error = plan(&client(&address, None)).expect_err("nobody is there");
    assert!(matches!(error, FetchError::Unreachable { tries: 4, .. }), "{error}");
}

#[test]
fn a_full_disk_is_seen_beforehand() {
    let mut fake_hub = FakeHub::open(checkpoint(), Vec::new());
    fake_hub.client.free_space = |_| Some(1 << 20);
    let error = fake_hub.fetch().expect_err("no room");
    assert!(matches!(error, FetchError::DiskFull { .. }), "{error}");
    assert!(!fake_hub.part().exists() && fake_hub.asked().is_empty(), "nothing was begun");
}
