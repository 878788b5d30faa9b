//! The token goes to the hub and to nobody else.

use std::ops::ControlFlow;

use app::hub::{DownloadRequest, FetchError};

use crate::support::fake_hub::{COMMIT, FakeHub, NAME, checkpoint, client, honest, plan};
use crate::support::fake_server::{Reply, Server};

const TOKEN: &str = "hf_secret";

#[test]
fn a_token_does_not_follow_a_redirect_to_another_place() {
    let files = checkpoint();
    let far = {
        let files = files.clone();
        Server::start(move |seen, _| {
            let mut as_asked = seen.clone();
            as_asked.path = format!("/{NAME}/resolve/{COMMIT}/model.safetensors");
            honest(&files, &as_asked)
        })
    };
    let far_address = format!("{}/signed?a=b", far.address());
    let near = {
        let files = files.clone();
        Server::start(move |seen, _| match seen.path.contains("/resolve/") {
            // To another path of the hub first, as for a renamed repository, then away.
            true if !seen.path.starts_with("/moved") => {
                Reply::new(307, "").with("Location", format!("/moved{}", seen.path))
            }
            true => Reply::new(302, "").with("Location", &far_address),
            false => honest(&files, seen),
        })
    };
    let mut fake_hub = FakeHub::with(files, near);
    fake_hub.client = client(&fake_hub.server.address(), Some(TOKEN));
    fake_hub.fetch().expect("fetches");
    fake_hub.check();
    let shown = |server: &Server| -> Vec<_> {
        server.received().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect()
    };
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert_eq!(shown(&fake_hub.server), [bearer.clone(), bearer.clone(), bearer]);
    assert_eq!(shown(&far), [None], "another port is another place");
}

#[test]
fn redirects_in_circles_and_to_nowhere_end() {
    for location in ["/x/resolve/y", "ftp://127.0.0.1/x", "http://", ""] {
        let server = Server::start(move |_, _| Reply::new(302, "").with("Location", location));
        let error = plan(&client(&server.address(), None)).expect_err("no way");
        assert!(matches!(error, FetchError::InvalidResponse(..)), "{location}: {error}");
        assert!(server.received().len() <= 11);
    }
}

#[test]
fn what_the_hub_says_of_a_repository_that_it_does_not_show_is_passed_on() {
    let refused = |status: u16, code: &'static str, token: Option<&str>| {
        let server = Server::start(move |_, _| Reply::new(status, "{}").with("X-Error-Code", code));
        plan(&client(&server.address(), token)).expect_err("refused")
    };
    // The hub answers 401 for what does not exist as well, so as to tell nobody of what is private.
    assert!(matches!(refused(401, "RepoNotFound", None), FetchError::Unauthorized(_)));
    assert!(matches!(refused(401, "", Some(TOKEN)), FetchError::TokenRefused(_)));
    assert!(matches!(refused(401, "GatedRepo", None), FetchError::Gated(_)));
    assert!(matches!(refused(403, "GatedRepo", Some(TOKEN)), FetchError::Gated(_)));
    assert!(matches!(refused(404, "RepoNotFound", Some(TOKEN)), FetchError::NotFound(_)));
    assert!(matches!(refused(404, "RevisionNotFound", None), FetchError::NotFound(_)));
}

#[test]
fn consent_is_asked_for_before_anything_is_fetched() {
    let server = Server::start(|seen, _| {
        let listing = honest(&checkpoint(), seen);
        let gated =
            String::from_utf8(listing.body).expect("JSON").replace("\"gated\":false", "\"gated\":\"auto\"");
        Reply::new(200, gated)
    });
    let error = plan(&client(&server.address(), None)).expect_err("gated");
    assert!(error.to_string().ends_with(&format!("{}/{NAME}", server.address())), "its page: {error}");
    plan(&client(&server.address(), Some(TOKEN))).expect("the hub decides on the files");
}

#[test]
fn a_listing_without_end_or_sense_costs_little() {
    use crate::support::fake_server::Mishap;
    let endless =
        Server::start(|_, _| Reply::new(200, vec![b' '; 1 << 16]).claiming(None).but(Mishap::Endless));
    assert!(matches!(plan(&client(&endless.address(), None)), Err(FetchError::InvalidResponse(..))));
    for body in ["", "{}", "<html>", "[[[[[[["] {
        let server = Server::start(move |_, _| Reply::new(200, body));
        assert!(
            matches!(plan(&client(&server.address(), None)), Err(FetchError::InvalidResponse(..))),
            "{body}"
        );
    }
}

#[test]
fn a_revision_is_one_part_of_the_address() {
    let server = Server::start(|seen, _| honest(&checkpoint(), seen));
    let hub = client(&server.address(), None);
    let name = NAME.parse().expect("a name");
    hub.plan(&name, "refs/pr/1", &DownloadRequest::default(), &mut |_| ControlFlow::Continue(()))
        .expect("a plan");
    assert_eq!(server.received()[0].path, format!("/api/models/{NAME}/revision/refs%2Fpr%2F1?blobs=true"));
}
