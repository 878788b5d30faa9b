//! Reads many weights on every core at once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::OpenError;
use super::dtype::{TensorDtype, to_f32, widen};
use super::formats::tensor_bytes::TensorBytes;
use super::load::{AxisOrder, WeightData};
use super::transpose::Transpose;
use super::weight_file::WeightFile;

/// A weight to read.
pub struct TensorRequest {
    /// Its key in the file.
    pub name: String,
    /// Its shape in the network.
    pub shape: Vec<usize>,
    /// Numbers to skip at the start of the tensor, where several weights are one tensor in the file.
    pub skip: usize,
    /// How it is stored in memory.
    pub order: AxisOrder,
    /// Whether it is a table of which rows are looked up.
    pub is_table: bool,
    /// Whether it is read as f16, and not as f32.
    pub is_half: bool,
}

impl TensorRequest {
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Bytes read at once: efficient for a disk, and still in the cache when they are converted.
const PIECE_BYTES: usize = 1 << 20;
/// More readers than this only wait for each other's bytes.
const MAX_READERS: usize = 8;
/// How often progress is reported while the disk is slow.
const TICK: Duration = Duration::from_millis(50);

/// Reads every weight of `requests` and hands each to `take` with its index, in any order. `progress` is called with the bytes read since its last call and returns whether to
/// continue.
pub fn read_all(
    file: &WeightFile,
    requests: &[TensorRequest],
    progress: &mut dyn FnMut(u64) -> bool,
    take: &mut dyn FnMut(usize, WeightData),
) -> Result<(), OpenError> {
    let readers = thread::available_parallelism().map_or(1, usize::from).min(MAX_READERS);
    let reader = WeightReader {
        file,
        requests,
        next: AtomicUsize::new(0),
        read: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(readers);
        for number in 0..readers {
            let (sender, reader) = (sender.clone(), &reader);
            let builder = thread::Builder::new().name(format!("reader {number}"));
            let started = builder.spawn_scoped(scope, move || reader.run(&sender));
            started.expect("the system can start a thread");
        }
        drop(sender);
        let result = loop {
            match receiver.recv_timeout(TICK) {
                Ok(Ok((index, data))) => take(index, data),
                Ok(Err(error)) => break Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
            if !progress(reader.read.swap(0, Ordering::Relaxed)) {
                break Err(OpenError::Stopped);
            }
        };
        // The readers check this between two pieces, and the channel after each weight.
        reader.stopped.store(true, Ordering::Relaxed);
        drop(receiver);
        result
    })
}

/// What the reader threads share.
struct WeightReader<'a> {
    file: &'a WeightFile,
    requests: &'a [TensorRequest],
    next: AtomicUsize,
    read: AtomicU64,
    stopped: AtomicBool,
}

impl WeightReader<'_> {
    /// Reads weights until none is left or the receiver is gone.
    fn run(&self, sender: &SyncSender<Result<(usize, WeightData), OpenError>>) {
        let mut piece = Vec::new();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = self.requests.get(index) else { return };
            let data = self.read(request, &mut piece).map(|data| (index, data));
            let is_last = data.is_err();
            if sender.send(data).is_err() || is_last {
                return;
            }
        }
    }

    fn read(&self, request: &TensorRequest, piece: &mut Vec<u8>) -> Result<WeightData, OpenError> {
        let (bytes, dtype) = self.file.weight(&request.name)?;
        let count = request.count();
        let range = ByteRange { bytes, start: request.skip * dtype.len(), len: count * dtype.len() };
        if request.order == AxisOrder::File {
            return Ok(if request.is_half {
                let mut values = Vec::with_capacity(count);
                self.read_pieces(&range, PIECE_BYTES, piece, |_, bytes| narrow(bytes, dtype, &mut values))?;
                WeightData::F16(values)
            } else {
                let mut values = vec![0.0; count];
                self.read_pieces(&range, PIECE_BYTES, piece, |offset, bytes| {
                    let (first, len) = (offset / dtype.len(), bytes.len() / dtype.len());
                    widen(bytes, dtype, &mut values[first..first + len]);
                })?;
                WeightData::F32(values)
            });
        }
        let transpose = Transpose::new(&request.shape);
        let row_len = transpose.row_len() * dtype.len();
        let rows = (PIECE_BYTES / row_len.max(1)).next_multiple_of(Transpose::ROWS).max(Transpose::ROWS);
        Ok(if request.is_half {
            let (mut values, mut halves) = (vec![f16::ZERO; count], Vec::new());
            self.read_pieces(&range, rows * row_len, piece, |offset, bytes| {
                halves.clear();
                narrow(bytes, dtype, &mut halves);
                match request.order {
                    AxisOrder::InputsLast => {
                        transpose.write_half_rows_inputs_last(&halves, offset / row_len, &mut values);
                    }
                    _ => transpose.write_half_rows(&halves, offset / row_len, &mut values),
                }
            })?;
            WeightData::F16(values)
        } else {
            assert_eq!(request.order, AxisOrder::OutputsLast, "only layers in f16 read inputs last");
            let mut values = vec![0.0; count];
            self.read_pieces(&range, rows * row_len, piece, |offset, bytes| {
                transpose.write_rows(bytes, dtype, offset / row_len, &mut values);
            })?;
            WeightData::F32(values)
        })
    }

    /// Passes the bytes to `take` in pieces, each with its offset.
    fn read_pieces(
        &self,
        range: &ByteRange<'_>,
        piece_len: usize,
        piece: &mut Vec<u8>,
        mut take: impl FnMut(usize, &[u8]),
    ) -> Result<(), OpenError> {
        let mut offset = 0;
        while offset < range.len {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(OpenError::Stopped);
            }
            piece.resize(piece_len.min(range.len - offset), 0);
            range
                .bytes
                .read_at((range.start + offset) as u64, piece)
                .map_err(|error| OpenError::Unreadable(error, self.file.path().to_owned()))?;
            take(offset, piece);
            offset += piece.len();
            self.read.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A range of a tensor's bytes.
struct ByteRange<'a> {
    bytes: TensorBytes<'a>,
    start: usize,
    len: usize,
}

/// Appends little-endian numbers as f16.
fn narrow(bytes: &[u8], dtype: TensorDtype, values: &mut Vec<f16>) {
    if dtype == TensorDtype::F16 {
        values.extend(bytes.as_chunks().0.iter().map(|pair| f16::from_le_bytes(*pair)));
        return;
    }
    let first = values.len();
    let wide = to_f32(bytes, dtype);
    values.resize(first + wide.len(), f16::ZERO);
    values[first..].convert_from_f32_slice(&wide);
}
