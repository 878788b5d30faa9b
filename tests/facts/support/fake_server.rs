//! A web server on this machine, as honest or as wicked as a fact wants it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
}

impl ReceivedRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Where a `Range` begins.
    pub fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is sent back, and how it goes wrong.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The `Content-Length`, if it is not the body's own; `Some(None)` sends none.
    pub length: Option<Option<usize>>,
    pub mishap: Mishap,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mishap {
    None,
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// It stays open and nothing more comes.
    Stall(usize),
    /// A few bytes at a time, with pauses.
    Slow(Duration),
    /// The body again and again, until the client is gone.
    Endless,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), length: None, mishap: Mishap::None }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn but(mut self, mishap: Mishap) -> Self {
        self.mishap = mishap;
        self
    }

    pub fn claiming(mut self, length: Option<usize>) -> Self {
        self.length = Some(length);
        self
    }
}

/// It answers until it is dropped.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    /// `answer` gets the request and the number of requests before it.
    pub fn start(answer: impl Fn(&ReceivedRequest, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let server = Self { port, seen: Arc::clone(&seen), is_over: Arc::clone(&is_over) };
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, answer, is_over) = (Arc::clone(&seen), Arc::clone(&answer), Arc::clone(&is_over));
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let before = {
                        let mut seen = seen.lock().expect("no test panicked in here");
                        seen.push(request.clone());
                        seen.len() - 1
                    };
                    // The client may be gone by now, on purpose.
                    let _ = send(stream, &request, &answer(&request, before), &is_over);
                });
            }
        });
        server
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.seen.lock().expect("no test panicked in here").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees that it is over.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn read(stream: &TcpStream) -> Option<ReceivedRequest> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(ReceivedRequest { method, path, headers })
}

fn send(
    mut stream: TcpStream,
    request: &ReceivedRequest,
    reply: &Reply,
    is_over: &AtomicBool,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} CommandOutput\r\nConnection: close\r\n", reply.status);
    if let Some(length) = reply.length.unwrap_or(Some(reply.body.len())) {
        head += &format!("Content-Length: {length}\r\n");
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    match reply.mishap {
        Mishap::None => stream.write_all(&reply.body),
        Mishap::Cut(after) => stream.write_all(&reply.body[..after.min(reply.body.len())]),
        Mishap::Stall(after) => {
            stream.write_all(&reply.body[..after.min(reply.body.len())])?;
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        }
        Mishap::Slow(pause) => {
            reply.body.chunks(reply.body.len().div_ceil(20).max(1)).try_for_each(|bytes| {
                thread::sleep(pause);
                stream.write_all(bytes)
            })
        }
        Mishap::Endless => loop {
            stream.write_all(&reply.body)?;
        },
    }
}
