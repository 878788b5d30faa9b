//! The numbers of many weights, read on every core at once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::OpenError;
use super::dtype::{TensorDtype, to_f32, widen};
use super::formats::tensor_bytes::TensorBytes;
use super::load::WeightData;
use super::transpose::Transpose;
use super::weight_file::WeightFile;

/// A weight to be read.
pub struct TensorRequest {
    /// In the file.
    pub name: String,
    /// As the network has it.
    pub shape: Vec<usize>,
    /// Numbers before the first of ours, where several weights are one tensor in the file.
    pub skip: usize,
    /// Whether its outputs are to lie last.
    pub turned: bool,
}

impl TensorRequest {
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Bytes read at once: enough for a disk, and still in the cache when they are converted.
const PIECE: usize = 1 << 20;
/// More readers than this only wait for each other's bytes.
const MAX_READERS: usize = 8;
/// How often progress is told while the disk is slow.
const TICK: Duration = Duration::from_millis(50);

/// Reads every weight of `wanted` as f32, or as f16 if `has_halves`, and hands each to `take` with
/// its index, in any order. `progress` is told the bytes read since it was last told, and answers
/// whether to go on.
pub fn read_all(
    file: &WeightFile,
    wanted: &[TensorRequest],
    has_halves: bool,
    progress: &mut dyn FnMut(u64) -> bool,
    take: &mut dyn FnMut(usize, WeightData),
) -> Result<(), OpenError> {
    let readers = thread::available_parallelism().map_or(1, usize::from).min(MAX_READERS);
    let reading = Reader {
        file,
        wanted,
        has_halves,
        next: AtomicUsize::new(0),
        read: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let (outbox, inbox) = sync_channel(readers);
        for number in 0..readers {
            let (outbox, reading) = (outbox.clone(), &reading);
            let reader = thread::Builder::new().name(format!("reader {number}"));
            let started = reader.spawn_scoped(scope, move || reading.run(&outbox));
            started.expect("the system can start a thread");
        }
        drop(outbox);
        let result = loop {
            match inbox.recv_timeout(TICK) {
                Ok(Ok((index, numbers))) => take(index, numbers),
                Ok(Err(error)) => break Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
            if !progress(reading.read.swap(0, Ordering::Relaxed)) {
                break Err(OpenError::Stopped);
            }
        };
        // The readers look at this between two pieces, and at the channel after a weight.
        reading.stopped.store(true, Ordering::Relaxed);
        drop(inbox);
        result
    })
}

/// What the readers share.
struct Reader<'a> {
    file: &'a WeightFile,
    wanted: &'a [TensorRequest],
    has_halves: bool,
    next: AtomicUsize,
    read: AtomicU64,
    stopped: AtomicBool,
}

impl Reader<'_> {
    /// Reads weights until there is none left or nobody asks for them.
    fn run(&self, outbox: &SyncSender<Result<(usize, WeightData), OpenError>>) {
        let mut piece = Vec::new();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(wanted) = self.wanted.get(index) else { return };
            let numbers = self.read(wanted, &mut piece).map(|numbers| (index, numbers));
            let is_last = numbers.is_err();
            if outbox.send(numbers).is_err() || is_last {
                return;
            }
        }
    }

    fn read(&self, wanted: &TensorRequest, piece: &mut Vec<u8>) -> Result<WeightData, OpenError> {
        let (bytes, kind) = self.file.weight(&wanted.name)?;
        let count = wanted.count();
        let range = Range { bytes, start: wanted.skip * kind.len(), len: count * kind.len() };
        Ok(match self.has_halves {
            true => {
                let mut values = Vec::with_capacity(count);
                self.pieces(&range, PIECE, piece, |_, bytes| narrow(bytes, kind, &mut values))?;
                WeightData::F16(values)
            }
            false if wanted.turned => {
                let turn = Transpose::of(&wanted.shape);
                let row_len = turn.row_len() * kind.len();
                let rows = (PIECE / row_len.max(1)).next_multiple_of(Transpose::ROWS).max(Transpose::ROWS);
                let mut values = vec![0.0; count];
                self.pieces(&range, rows * row_len, piece, |at, bytes| {
                    turn.put(bytes, kind, at / row_len, &mut values);
                })?;
                WeightData::F32(values)
            }
            false => {
                let mut values = vec![0.0; count];
                self.pieces(&range, PIECE, piece, |at, bytes| {
                    let (first, len) = (at / kind.len(), bytes.len() / kind.len());
                    widen(bytes, kind, &mut values[first..first + len]);
                })?;
                WeightData::F32(values)
            }
        })
    }

    /// Hands on the bytes by pieces, each with its place.
    fn pieces(
        &self,
        range: &Range<'_>,
        piece_len: usize,
        piece: &mut Vec<u8>,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<(), OpenError> {
        let mut at = 0;
        while at < range.len {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(OpenError::Stopped);
            }
            piece.resize(piece_len.min(range.len - at), 0);
            range
                .bytes
                .read_at((range.start + at) as u64, piece)
                .map_err(|error| OpenError::Unreadable(error, self.file.path().to_owned()))?;
            take(at, piece);
            at += piece.len();
            self.read.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Some of a tensor's bytes.
struct Range<'a> {
    bytes: TensorBytes<'a>,
    start: usize,
    len: usize,
}

/// Little-endian numbers as f16.
fn narrow(bytes: &[u8], kind: TensorDtype, values: &mut Vec<f16>) {
    if kind == TensorDtype::F16 {
        values.extend(bytes.as_chunks().0.iter().map(|pair| f16::from_le_bytes(*pair)));
        return;
    }
    let first = values.len();
    let wide = to_f32(bytes, kind);
    values.resize(first + wide.len(), f16::ZERO);
    values[first..].convert_from_f32_slice(&wide);
}
