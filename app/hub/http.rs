//! One request and its response, on a thread of its own, so that the caller can stop waiting at any time.
//!
//! Architecture Invariant: the token is sent only to the hub's own scheme, host and port, never to the
//! target of a redirect; and redirects from `https` to `http` are refused.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use flate2::read::MultiGzDecoder;
use ureq::Agent;
use ureq::http::{self, HeaderMap, header};
use ureq::tls::{RootCerts, TlsConfig};

use super::access::Access;
use super::address::Address;
use super::listing::is_hex;
use super::retry::{RetryPolicy, TICK, Transfer, TransferError};
use super::{FetchError, Repository};

/// A client of a hub.
#[derive(Clone)]
pub struct Hub {
    pub(crate) access: Access,
    pub retry: RetryPolicy,
    /// Free bytes on a folder's disk; `None` where the system does not say.
    pub free_space: fn(&Path) -> Option<u64>,
    agent: Agent,
}

pub(crate) struct Request {
    pub address: Address,
    pub head_only: bool,
    /// Resume from this byte if the file still has this entity tag.
    pub from: Option<(u64, Option<String>)>,
}

/// The headers of a response that matter here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub status: u16,
    /// Length of the body as [`Response::next_chunk`] returns it.
    pub length: Option<u64>,
    /// FIRST and TOTAL of `Content-Range: bytes FIRST-LAST/TOTAL`.
    pub range: Option<(u64, Option<u64>)>,
    /// A strong entity tag, which guarantees identical bytes.
    pub tag: Option<String>,
    /// The hub's checksum and length of a large file, sent with the redirect to its storage.
    pub linked_sha256: Option<String>,
    pub linked_length: Option<u64>,
    pub is_html: bool,
    /// The server compressed the body; [`Response::next_chunk`] returns it decompressed.
    pub was_compressed: bool,
    pub retry_after: Option<Duration>,
    /// `GatedRepo`, `RepoNotFound`, `RevisionNotFound` or `EntryNotFound`.
    pub error_code: Option<String>,
}

pub(crate) struct Response {
    pub head: Head,
    parts: Receiver<Result<ResponsePart, TransferError>>,
}

enum ResponsePart {
    Head(Head),
    BodyChunk(Vec<u8>),
    End,
}

/// Bytes per read: enough to be fast, few enough for smooth progress.
const CHUNK_BYTES: usize = 128 << 10;
const MAX_REDIRECTS: usize = 10;

impl Hub {
    pub fn new(access: Access, retry: RetryPolicy) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // `follow_redirects` does it, to protect the token.
            .max_redirects(0)
            .max_idle_connections(0)
            .timeout_resolve(Some(retry.connect))
            .timeout_connect(Some(retry.connect))
            .timeout_recv_response(Some(retry.connect))
            .timeout_per_read(Some(retry.stall))
            .user_agent(concat!("tidepool/", env!("CARGO_PKG_VERSION")))
            .build();
        let free_space = |folder: &Path| fs4::available_space(folder).ok();
        Self { access, retry, free_space, agent: config.new_agent() }
    }

    /// The web page of a repository.
    pub fn page(&self, repository: &Repository) -> String {
        format!("{}/{repository}", self.access.endpoint)
    }

    /// Sends a request, and waits for the headers of the response.
    pub(crate) fn send(
        &self,
        request: Request,
        transfer: &mut Transfer<'_>,
    ) -> Result<Response, TransferError> {
        let (sender, parts) = bounded(4);
        let hub = self.clone();
        let work = move || {
            if let Err(error) = hub.receive(request, &sender) {
                // The caller may have stopped waiting.
                let _ = sender.send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("download".to_owned())
            .spawn(work)
            .map_err(|error| TransferError::Temporary(error.to_string(), None))?;
        let mut response = Response { head: Head::default(), parts };
        match response.next_part(transfer)? {
            ResponsePart::Head(head) => response.head = head,
            ResponsePart::BodyChunk(_) | ResponsePart::End => unreachable!("the head comes first"),
        }
        Ok(response)
    }

    /// Sends the parts of the response until the receiver is gone.
    fn receive(
        &self,
        request: Request,
        sender: &Sender<Result<ResponsePart, TransferError>>,
    ) -> Result<(), TransferError> {
        let (head, response) = self.follow_redirects(&request)?;
        let was_compressed = head.was_compressed;
        if sender.send(Ok(ResponsePart::Head(head))).is_err() || request.head_only {
            return Ok(());
        }
        let body = response.into_body().into_reader();
        let mut body: Box<dyn Read> =
            if was_compressed { Box::new(MultiGzDecoder::new(body)) } else { Box::new(body) };
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let count =
                body.read(&mut chunk).map_err(|error| TransferError::Temporary(error.to_string(), None))?;
            chunk.truncate(count);
            let part = if count == 0 { ResponsePart::End } else { ResponsePart::BodyChunk(chunk) };
            if sender.send(Ok(part)).is_err() || count == 0 {
                return Ok(());
            }
        }
    }

    /// Follows redirects, and keeps the checksum and length that the hub sends with them.
    fn follow_redirects(
        &self,
        request: &Request,
    ) -> Result<(Head, http::Response<ureq::Body>), TransferError> {
        let mut address = request.address.clone();
        let mut linked = (None, None);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.call(request, &address)?;
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
            let target = text(headers, "location").and_then(|location| address.follow(&location));
            let target = target.ok_or_else(|| invalid("a redirect without a valid address", &address))?;
            if address.is_encrypted() && !target.is_encrypted() {
                return Err(invalid("a redirect to an address without encryption", &target));
            }
            address = target;
        }
        Err(invalid("too many redirects", &address))
    }

    fn call(
        &self,
        request: &Request,
        address: &Address,
    ) -> Result<http::Response<ureq::Body>, TransferError> {
        let uri = address.to_string();
        let mut call = if request.head_only { self.agent.head(&uri) } else { self.agent.get(&uri) };
        // Compressed bytes could be neither counted nor resumed.
        call = call.header(header::ACCEPT_ENCODING, "identity");
        if let Some((from, tag)) = &request.from {
            call = call.header(header::RANGE, format!("bytes={from}-"));
            if let Some(tag) = tag {
                call = call.header(header::IF_RANGE, tag);
            }
        }
        if let Some(token) = &self.access.token
            && address.is_same_origin(&self.access.endpoint)
        {
            call = call.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        call.call().map_err(|error| connection_error(&error, address))
    }
}

impl Response {
    /// The next bytes of the body; `None` at its end.
    pub fn next_chunk(&mut self, transfer: &mut Transfer<'_>) -> Result<Option<Vec<u8>>, TransferError> {
        match self.next_part(transfer)? {
            ResponsePart::BodyChunk(bytes) => Ok(Some(bytes)),
            ResponsePart::End => Ok(None),
            ResponsePart::Head(_) => unreachable!("a response has one head"),
        }
    }

    /// The whole body; `None` if it is longer than `max` bytes.
    pub fn read_to_end(
        mut self,
        max: usize,
        transfer: &mut Transfer<'_>,
    ) -> Result<Option<Vec<u8>>, TransferError> {
        let mut body = Vec::new();
        while let Some(bytes) = self.next_chunk(transfer)? {
            body.extend(bytes);
            if body.len() > max {
                return Ok(None);
            }
        }
        Ok(Some(body))
    }

    fn next_part(&self, transfer: &mut Transfer<'_>) -> Result<ResponsePart, TransferError> {
        loop {
            transfer.tick()?;
            match self.parts.recv_timeout(TICK) {
                Ok(part) => return part,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(TransferError::Temporary("the connection was lost".to_owned(), None));
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
        _ => return Err(invalid("an unexpected compression", address)),
    };
    let length = if was_compressed { None } else { number(headers, "content-length") };
    let content_type = text(headers, "content-type").unwrap_or_default().to_ascii_lowercase();
    Ok(Head {
        status,
        length,
        range: text(headers, "content-range").and_then(|range| range_of(&range)),
        tag: text(headers, "etag").filter(|tag| tag.starts_with('"')),
        linked_sha256: None,
        linked_length: None,
        is_html: content_type.starts_with("text/html") || content_type.starts_with("application/xhtml"),
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

/// An entity tag without quotes and without the prefix of a weak one.
fn untagged(tag: String) -> String {
    tag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase()
}

fn invalid(cause: &str, address: &Address) -> TransferError {
    FetchError::InvalidResponse(cause.to_owned(), address.host().to_owned()).into()
}

fn connection_error(error: &ureq::Error, address: &Address) -> TransferError {
    if let Some(cause) = certificate_error(error) {
        return FetchError::UntrustedCertificate(cause, address.host().to_owned()).into();
    }
    let cause = match error {
        ureq::Error::Timeout(_) => "the server does not answer".to_owned(),
        ureq::Error::HostNotFound => {
            "the server's name could not be resolved: is this computer online?".to_owned()
        }
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    TransferError::Temporary(cause, None)
}

/// What is wrong with the server's certificate, if that is the cause.
fn certificate_error(error: &ureq::Error) -> Option<String> {
    let tls = match error {
        ureq::Error::Rustls(tls) => tls,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    matches!(tls, rustls::Error::InvalidCertificate(_)).then(|| tls.to_string())
}
