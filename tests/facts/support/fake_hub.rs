//! A hub with one repository on a [`Server`]. It answers like the Hugging Face Hub, unless a fact makes it
//! answer something else.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use app::hub::{Access, DownloadRequest, FetchError, Hub, Plan, Progress, RetryPolicy};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::fake_server::{ReceivedRequest, Reply, Server};

pub const NAME: &str = "tidal/small-sd";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files of a repository that Tidepool does not need.
pub const UNWANTED: [&str; 4] = [
    "README.md",
    "safety_checker/model.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "vae/diffusion_pytorch_model.fp16.bin",
];

/// The files of a repository. Those from a thousand bytes on are large: kept by their sha256.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Replaces the honest answer, or makes it fail.
pub type Twist = Box<dyn Fn(&ReceivedRequest, Reply) -> Reply + Send + Sync>;

pub struct FakeHub {
    pub server: Server,
    pub files: Files,
    pub folder: TempDir,
    pub client: Hub,
}

/// Used one after another by downloads of files. When they are used up, the hub is honest.
#[derive(Default)]
pub struct Twists(Mutex<std::collections::VecDeque<Twist>>);

/// Tells downloads of files from what is read after the listing, to find out what the model is.
#[derive(Default)]
struct Downloads {
    left_to_read: usize,
}

impl Downloads {
    fn contain(&mut self, seen: &ReceivedRequest) -> bool {
        let is_read = ["/model_index.json", "/unet/config.json"].iter().any(|name| seen.path.ends_with(name));
        if seen.path.starts_with("/api/") {
            self.left_to_read = 2;
        } else if is_read && self.left_to_read > 0 {
            self.left_to_read -= 1;
            return false;
        }
        seen.path.contains("/resolve/")
    }
}

impl FakeHub {
    pub fn open(files: Files, twists: Vec<Twist>) -> Self {
        let twists = Twists(Mutex::new(twists.into()));
        let served = files.clone();
        let downloads = Mutex::new(Downloads::default());
        let twisted = move |seen: &ReceivedRequest, _| {
            let honest = honest(&served, seen);
            let is_file = downloads.lock().expect("no panic in here").contain(seen);
            let twist = is_file.then(|| twists.0.lock().expect("no panic in here").pop_front()).flatten();
            twist.map_or_else(|| honest.clone(), |twist| twist(seen, honest.clone()))
        };
        Self::with(files, Server::start(twisted))
    }

    pub fn with(files: Files, server: Server) -> Self {
        let client = client(&server.address(), None);
        Self { server, files, folder: tempfile::tempdir().expect("a folder"), client }
    }

    /// With a client that takes a silence of this length for a stall.
    pub fn with_stall(mut self, stall: Duration) -> Self {
        let address = self.server.address();
        let set = |name: &str| (name == "HF_ENDPOINT").then(|| address.clone().into());
        self.client = Hub::new(Access::of_environment(set).expect("an access"), hasty(stall));
        self
    }

    pub fn plan(&self) -> Result<Plan, FetchError> {
        plan(&self.client)
    }

    pub fn target(&self) -> PathBuf {
        self.folder.path().join("tidal--small-sd")
    }

    pub fn fetch(&self) -> Result<PathBuf, FetchError> {
        self.fetch_watched(|_| ControlFlow::Continue(()))
    }

    pub fn fetch_watched(
        &self,
        mut tell: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<PathBuf, FetchError> {
        self.client.fetch(&self.plan()?, &self.target(), &mut tell)
    }

    /// Fails unless the folder is there with every wanted file as the hub has it, and nothing else.
    pub fn check(&self) {
        let mut found = Files::new();
        gather(&self.target(), "", &mut found);
        assert!(found.remove("download.json").is_some(), "the note stays");
        let mut wanted = self.files.clone();
        wanted.retain(|path, _| !UNWANTED.contains(&path.as_str()));
        let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&wanted));
        assert!(found == wanted, "the contents differ");
        assert!(!self.part().exists(), "nothing stays behind");
    }

    /// The requests for files to download, in order.
    pub fn asked(&self) -> Vec<ReceivedRequest> {
        let mut downloads = Downloads::default();
        self.server.received().into_iter().filter(|seen| downloads.contain(seen)).collect()
    }

    pub fn part(&self) -> PathBuf {
        self.folder.path().join("tidal--small-sd.part")
    }
}

pub fn client(endpoint: &str, token: Option<&str>) -> Hub {
    let set = |name: &str| match name {
        "HF_ENDPOINT" => Some(endpoint.into()),
        "HF_TOKEN" => token.map(Into::into),
        "HF_HOME" => Some("/nonexistent".into()),
        _ => None,
    };
    Hub::new(Access::of_environment(set).expect("an access"), hasty(Duration::from_secs(20)))
}

/// Waits briefly before a retry, since the server is in this very process.
fn hasty(stall: Duration) -> RetryPolicy {
    RetryPolicy {
        connect: Duration::from_secs(20),
        stall,
        first_pause: Duration::from_millis(1),
        max_pause: Duration::from_millis(5),
        max_retry_after: Duration::from_secs(90),
        max_attempts: 4,
    }
}

pub fn plan(client: &Hub) -> Result<Plan, FetchError> {
    let repository = NAME.parse().expect("a name");
    client.plan(&repository, "main", &DownloadRequest::default(), &mut |_| ControlFlow::Continue(()))
}

pub fn twist(twist: impl Fn(&ReceivedRequest, Reply) -> Reply + Send + Sync + 'static) -> Twist {
    Box::new(twist)
}

/// As the hub answers: the listing, and files with ranges and tags.
pub fn honest(files: &Files, seen: &ReceivedRequest) -> Reply {
    if seen.path.starts_with("/api/models/") {
        return Reply::new(200, listing(files)).with("Content-Type", "application/json");
    }
    let path = seen.path.strip_prefix(&format!("/{NAME}/resolve/{COMMIT}/"));
    let Some(contents) = path.and_then(|path| files.get(path)) else {
        return Reply::new(404, "Entry not found").with("X-Error-Code", "EntryNotFound");
    };
    let tag = format!("\"{}\"", sha256(contents));
    let wanted = seen.from().filter(|_| seen.header("if-range").is_none_or(|asked| asked == tag));
    let reply = match wanted {
        Some(from) if from >= contents.len() => {
            Reply::new(416, "").with("Content-Range", format!("bytes */{}", contents.len()))
        }
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", contents.len() - 1, contents.len());
            Reply::new(206, &contents[from..]).with("Content-Range", range)
        }
        None => Reply::new(200, contents.clone()),
    };
    reply
        .with("ETag", tag)
        .with("X-Linked-Etag", format!("\"{}\"", sha256(contents)))
        .with("X-Linked-Size", contents.len())
}

pub fn listing(files: &Files) -> String {
    let siblings: Vec<_> = files
        .iter()
        .map(|(path, contents)| {
            let mut file = serde_json::json!({
                "rfilename": path, "size": contents.len(), "blobId": git_blob(contents),
            });
            if contents.len() >= 1000 {
                file["lfs"] = serde_json::json!({ "sha256": sha256(contents), "size": contents.len() });
            }
            file
        })
        .collect();
    let info = serde_json::json!({ "license": "creativeml-openrail-m" });
    serde_json::json!({ "sha": COMMIT, "gated": false, "cardData": info, "siblings": siblings }).to_string()
}

/// What a download takes of the built-in model's folder, as a repository: a real model, and small.
pub fn demo() -> Files {
    let mut files = Files::new();
    gather(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo"), "", &mut files);
    files.remove("contact_sheet.png");
    let left = ["recipe/", "concepts/", "image_encoder/"];
    files.retain(|path, _| !left.iter().any(|folder| path.starts_with(folder)));
    files.extend(UNWANTED.map(|path| (path.to_owned(), vec![1; 2000])));
    files
}

/// A repository of one checkpoint, of bytes that tell where they are.
pub fn checkpoint() -> Files {
    let bytes = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    Files::from([("model.safetensors".to_owned(), bytes)])
}

fn gather(folder: &Path, below: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            gather(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).expect("a file"));
        }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn git_blob(bytes: &[u8]) -> String {
    let named = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    Sha1::digest(named).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Shared between a fact and a server's thread.
pub fn shared<T>(value: T) -> Arc<Mutex<T>> {
    Arc::new(Mutex::new(value))
}
