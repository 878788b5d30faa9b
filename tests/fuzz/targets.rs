//! The fuzz targets: readers of files and prompts from strangers. One program; the environment variable
//! `TARGET` names the target.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use engine::checkpoint::{WeightFile, kind_of};
use engine::concepts::{self, Concept};
use engine::files::visit_scalars;
use engine::images::{Provenance, from_parameters, read_recipe};
use engine::prompt::{EmbeddingEdit, PromptOverflow, TextOptions, PromptWeights, PromptTokenizer, token_selection};
use engine::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<String> = LazyLock::new(|| std::env::var("TARGET").expect("TARGET is set by run"));

/// In memory, where writing takes microseconds.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new("/dev/shm").join(format!("tidepool-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder in memory");
    folder
});

fuzz_target!(|data: &[u8]| {
    match TARGET.as_str() {
        "pickle" => pickle(data),
        "safetensors" => safetensors(data),
        "concept" => concept(data),
        "png" => png(data),
        "prompt" => prompt(data),
        "yaml" => yaml(data),
        other => panic!("there is no target {other}"),
    }
});

fn written(name: &str, parts: &[&[u8]]) -> PathBuf {
    let path = FOLDER.join(name);
    fs::write(&path, parts.concat()).expect("writes to memory");
    path
}

/// Everything that the engine asks of a weight file.
fn read_all(path: &Path) {
    let Ok(file) = WeightFile::open(path) else { return };
    kind_of(&file);
    for name in file.names() {
        if let Ok((values, _)) = file.read(name) {
            let count: usize = file.shape(name).expect("a tensor has a shape").iter().product();
            assert_eq!(values.len(), count, "{name}");
        }
    }
}

/// A whole file of PyTorch's, or, after a first byte `o`, what follows the version of a legacy one, so
/// that every mutation is one of the pickle.
fn pickle(data: &[u8]) {
    const LEGACY: &[u8] =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let path = match data {
        [b'o', rest @ ..] => written("pickle.pt", &[LEGACY, rest]),
        whole => written("pickle.pt", &[whole]),
    };
    read_all(&path);
}

/// A header, after a byte that says how many bytes of numbers follow it.
fn safetensors(data: &[u8]) {
    let [len, header @ ..] = data else { return };
    let numbers = vec![0x3c; usize::from(*len)];
    read_all(&written("model.safetensors", &[&(header.len() as u64).to_le_bytes(), header, &numbers]));
}

fn concept(data: &[u8]) {
    if let Ok(concept) = concepts::read(&written("concept.pt", &[data])) {
        assert!(concept.count() > 0 && concept.vectors.iter().all(|value| value.is_finite()));
    }
}

/// A whole PNG; or, after a first byte `t`, `z` or `i`, the contents of a text chunk of that kind, with
/// the checksum that a mutation would break; or, after a `p`, the text alone.
fn png(data: &[u8]) {
    let kind = match data.first() {
        Some(b't') => b"tEXt",
        Some(b'z') => b"zTXt",
        Some(b'i') => b"iTXt",
        Some(b'p') => {
            let text = String::from_utf8_lossy(&data[1..]);
            for found in [from_parameters(&text), Provenance::from_json(&text)].into_iter().flatten() {
                // What was understood can be written and understood again.
                Provenance::from_json(&found.provenance.to_json()).expect("our own JSON");
            }
            return;
        }
        _ => {
            let _ = read_recipe(&written("picture.png", &[data]));
            return;
        }
    };
    let chunk = |kind: &[u8; 4], contents: &[u8]| {
        let body = [&kind[..], contents].concat();
        [&(contents.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
    };
    let header = chunk(b"IHDR", b"\0\0\0\x01\0\0\0\x01\x08\0\0\0\0");
    let parts: [&[u8]; 4] = [b"\x89PNG\r\n\x1a\n", &header, &chunk(kind, &data[1..]), &chunk(b"IEND", b"")];
    let _ = read_recipe(&written("picture.png", &parts));
}

/// The words of the built-in model with a concept of two vectors.
static WORDS: LazyLock<PromptTokenizer> = LazyLock::new(|| {
    let vocabulary = include_bytes!("../../assets/demo/tokenizer/vocab.json");
    let merges = include_bytes!("../../assets/demo/tokenizer/merges.txt");
    let tokenizer = Tokenizer::from_vocabulary(vocabulary, merges, 77).expect("a vocabulary");
    let concept = Concept {
        token: "<frost>".into(),
        width: 1,
        vectors: vec![1.0, 2.0],
        source: "frost.bin".into(),
        sha256: String::new(),
    };
    PromptTokenizer::new(Arc::new(tokenizer), 1, &[concept].into_iter().collect())
});

/// A prompt after a byte that says how it is read; or, after an `e`, an edit.
fn prompt(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    if kind == b'e' {
        if let Ok(edit) = text.parse::<EmbeddingEdit>() {
            assert_eq!(edit.to_string().parse(), Ok(edit));
        }
        return;
    }
    let options = TextOptions {
        weights: PromptWeights::ALL[usize::from(kind) % 3],
        overflow: PromptOverflow::ALL[usize::from(kind / 3) % 2],
        clip_skip: 1,
    };
    for read in WORDS.read(&text, &options, 20).texts() {
        assert!(!read.chunks.is_empty() && read.chunks.iter().all(|chunk| chunk.ids.len() == 77));
        assert!(text.contains(&read.cut));
        for (place, token) in read.tokens().step_by(7).take(8) {
            assert!(text.get(token.range.clone()).is_some(), "a token is whole letters");
            let anchor = token_selection::selector_at(&text, read, place).expect("a token has a name");
            assert_eq!(token_selection::find(&text, read, &anchor), Some(place), "{anchor}");
            let edit = EmbeddingEdit::new(anchor);
            assert_eq!(edit.to_string().parse(), Ok(edit));
        }
    }
}

/// What lies beside a checkpoint, or lists folders of models.
fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut read = 0;
    let result = visit_scalars(&text, &mut |_, scalar| read += scalar.len());
    // An escape may be shorter than what it stands for, and aliases repeat a text as long as the file at most.
    assert!(result.is_err() || read <= 4 * text.len(), "{read} bytes out of {}", text.len());
}

/// As PNG has it: polynomial 0xedb88320, bits reversed.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
