//! One request and its answer, on a thread of its own, so that whoever waits can turn away at any time.
//!
//! Architecture Invariant: the token is shown to the hub's own scheme, host and port, never to where
//! a redirect leads; and no redirect leads from `https` back to `http`.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use flate2::read::MultiGzDecoder;
use ureq::Agent;
use ureq::http::{HeaderMap, Response, header};
use ureq::tls::{RootCerts, TlsConfig};

use super::access::Access;
use super::address::Address;
use super::listing::is_hex;
use super::retry::{RetryPolicy, TICK, TransferError, TransferWatch};
use super::{FetchError, Repository};

/// A hub on the line.
#[derive(Clone)]
pub struct Hub {
    pub(crate) access: Access,
    pub patience: RetryPolicy,
    /// Bytes that may be written to a folder's disk; `None` where the system does not tell.
    pub free_space: fn(&Path) -> Option<u64>,
    agent: Agent,
}

/// What is asked for.
pub(crate) struct Request {
    pub address: Address,
    pub head_only: bool,
    /// The bytes from here on, if the file still has this tag.
    pub from: Option<(u64, Option<String>)>,
}

/// What of an answer's headers matters here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub status: u16,
    /// Of the body as it will be handed over.
    pub length: Option<u64>,
    /// `bytes FIRST-LAST/TOTAL`: the first and the total.
    pub range: Option<(u64, Option<u64>)>,
    /// A strong one, which promises the very same bytes.
    pub tag: Option<String>,
    /// What the hub says of a large file before it sends one on to where it lies.
    pub linked_sha256: Option<String>,
    pub linked_length: Option<u64>,
    pub is_html: bool,
    /// It was compressed on the way and is not any more.
    pub was_compressed: bool,
    pub retry_after: Option<Duration>,
    /// `GatedRepo`, `RepoNotFound`, `RevisionNotFound` or `EntryNotFound`.
    pub error_code: Option<String>,
}

pub(crate) struct ResponseBody {
    pub head: Head,
    body: Receiver<BodyChunk>,
}

enum BodyChunk {
    Head(Head),
    Bytes(Vec<u8>),
    End,
    TransferError(TransferError),
}

/// Read at once: enough to be quick, little enough to be counted often.
const CHUNK: usize = 128 << 10;
const MAX_REDIRECTS: usize = 10;

impl Hub {
    pub fn new(access: Access, patience: RetryPolicy) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // Followed by hand, for the token's sake.
            .max_redirects(0)
            .max_idle_connections(0)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.connect))
            .timeout_per_read(Some(patience.stall))
            .user_agent(concat!("tidepool/", env!("CARGO_PKG_VERSION")))
            .build();
        let free_space = |folder: &Path| fs4::available_space(folder).ok();
        Self { access, patience, free_space, agent: config.new_agent() }
    }

    /// The page of a repository, for people.
    pub fn page(&self, repository: &Repository) -> String {
        format!("{}/{repository}", self.access.endpoint)
    }

    /// Asks, and waits for the beginning of the answer.
    pub(crate) fn ask(
        &self,
        question: Request,
        watch: &mut TransferWatch<'_>,
    ) -> Result<ResponseBody, TransferError> {
        let (sender, body) = bounded(4);
        let hub = self.clone();
        let errand = move || {
            if let Err(trouble) = hub.answer(question, &sender) {
                // Whoever asked may have turned away.
                let _ = sender.send(BodyChunk::TransferError(trouble));
            }
        };
        std::thread::Builder::new()
            .name("download".to_owned())
            .spawn(errand)
            .map_err(|error| TransferError::Passing(error.to_string(), None))?;
        let mut answer = ResponseBody { head: Head::default(), body };
        match answer.wait(watch)? {
            BodyChunk::Head(head) => answer.head = head,
            BodyChunk::TransferError(trouble) => return Err(trouble),
            BodyChunk::Bytes(_) | BodyChunk::End => unreachable!("an answer begins with its head"),
        }
        Ok(answer)
    }

    fn answer(&self, question: Request, sender: &Sender<BodyChunk>) -> Result<(), TransferError> {
        let (head, response) = self.follow(&question)?;
        let was_compressed = head.was_compressed;
        if sender.send(BodyChunk::Head(head)).is_err() || question.head_only {
            return Ok(());
        }
        let body = response.into_body().into_reader();
        let mut body: Box<dyn Read> =
            if was_compressed { Box::new(MultiGzDecoder::new(body)) } else { Box::new(body) };
        loop {
            let mut chunk = vec![0; CHUNK];
            let bit = match body.read(&mut chunk) {
                Ok(0) => BodyChunk::End,
                Ok(count) => {
                    chunk.truncate(count);
                    BodyChunk::Bytes(chunk)
                }
                Err(error) => BodyChunk::TransferError(TransferError::Passing(error.to_string(), None)),
            };
            let goes_on = matches!(bit, BodyChunk::Bytes(_));
            if sender.send(bit).is_err() || !goes_on {
                return Ok(());
            }
        }
    }

    /// Goes where redirects lead, and gathers what is said on the way.
    fn follow(&self, question: &Request) -> Result<(Head, Response<ureq::Body>), TransferError> {
        let mut address = question.address.clone();
        let mut linked = (None, None);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.call(question, &address)?;
            let headers = response.headers();
            let sha256 = text(headers, "x-linked-etag").map(untagged).filter(|tag| is_hex(tag, 64));
            linked.0 = linked.0.or(sha256);
            linked.1 = linked.1.or_else(|| number(headers, "x-linked-size"));
            let status = response.status().as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                let mut head = head_of(status, headers, &address)?;
                (head.linked_sha256, head.linked_length) = linked;
                return Ok((head, response));
            }
            let there = text(headers, "location").and_then(|location| address.follow(&location));
            let there = there.ok_or_else(|| nonsense("it leads nowhere", &address))?;
            if address.is_encrypted() && !there.is_encrypted() {
                return Err(nonsense("it leads to a place without encryption", &there));
            }
            address = there;
        }
        Err(nonsense("it leads round in circles", &address))
    }

    fn call(&self, question: &Request, address: &Address) -> Result<Response<ureq::Body>, TransferError> {
        let uri = address.to_string();
        let mut request = if question.head_only { self.agent.head(&uri) } else { self.agent.get(&uri) };
        // Compressed bytes could neither be counted nor continued.
        request = request.header(header::ACCEPT_ENCODING, "identity");
        if let Some((from, tag)) = &question.from {
            request = request.header(header::RANGE, format!("bytes={from}-"));
            if let Some(tag) = tag {
                request = request.header(header::IF_RANGE, tag);
            }
        }
        if let Some(token) = &self.access.token
            && address.is_same_origin(&self.access.endpoint)
        {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request.call().map_err(|error| trouble(&error, address))
    }
}

impl ResponseBody {
    /// The next bytes; `None` at the end.
    pub fn next(&mut self, watch: &mut TransferWatch<'_>) -> Result<Option<Vec<u8>>, TransferError> {
        match self.wait(watch)? {
            BodyChunk::Bytes(bytes) => Ok(Some(bytes)),
            BodyChunk::End => Ok(None),
            BodyChunk::TransferError(trouble) => Err(trouble),
            BodyChunk::Head(_) => unreachable!("an answer has one head"),
        }
    }

    /// A body that must be short.
    pub fn whole(
        mut self,
        most: usize,
        watch: &mut TransferWatch<'_>,
    ) -> Result<Option<Vec<u8>>, TransferError> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next(watch)? {
            whole.extend(bytes);
            if whole.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(whole))
    }

    fn wait(&self, watch: &mut TransferWatch<'_>) -> Result<BodyChunk, TransferError> {
        loop {
            watch.tick()?;
            match self.body.recv_timeout(TICK) {
                Ok(bit) => return Ok(bit),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(TransferError::Passing("the connection broke off".to_owned(), None));
                }
            }
        }
    }
}

fn head_of(status: u16, headers: &HeaderMap, address: &Address) -> Result<Head, TransferError> {
    let encoding = text(headers, "content-encoding").unwrap_or_default().to_ascii_lowercase();
    let was_compressed = match encoding.trim() {
        "" | "identity" => false,
        "gzip" | "x-gzip" => true,
        _ => return Err(nonsense("it is compressed in a way that was not asked for", address)),
    };
    let length = if was_compressed { None } else { number(headers, "content-length") };
    let kind = text(headers, "content-type").unwrap_or_default().to_ascii_lowercase();
    Ok(Head {
        status,
        length,
        range: text(headers, "content-range").and_then(|range| range_of(&range)),
        tag: text(headers, "etag").filter(|tag| tag.starts_with('"')),
        linked_sha256: None,
        linked_length: None,
        is_html: kind.starts_with("text/html") || kind.starts_with("application/xhtml"),
        was_compressed,
        retry_after: number(headers, "retry-after").map(Duration::from_secs),
        error_code: text(headers, "x-error-code"),
    })
}

fn range_of(text: &str) -> Option<(u64, Option<u64>)> {
    let (part, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, _) = part.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

/// An entity tag without its quotes and without the mark of a weak one.
fn untagged(tag: String) -> String {
    tag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase()
}

fn nonsense(what: &str, address: &Address) -> TransferError {
    FetchError::Nonsense(what.to_owned(), address.host().to_owned()).into()
}

fn trouble(error: &ureq::Error, address: &Address) -> TransferError {
    let place = address.host().to_owned();
    if let Some(cause) = distrust(error) {
        return FetchError::Untrusted(cause, place).into();
    }
    let cause = match error {
        ureq::Error::Timeout(_) => "the server does not answer".to_owned(),
        ureq::Error::HostNotFound => "the server's name is not known: is this computer online?".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    TransferError::Passing(cause, None)
}

/// What is wrong with the server's certificate, if that is what failed.
fn distrust(error: &ureq::Error) -> Option<String> {
    let tls = match error {
        ureq::Error::Rustls(tls) => tls,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    matches!(tls, rustls::Error::InvalidCertificate(_)).then(|| tls.to_string())
}
