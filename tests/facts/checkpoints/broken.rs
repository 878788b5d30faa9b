//! Files that are damaged, truncated or something else. Each is refused with its cause.

use std::fs;
use std::path::Path;

use crate::support::folders::folder;
use crate::support::weight_files::*;

#[test]
fn a_safetensors_file_that_is_wrong_is_refused() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let of = |header: String, len| safetensors_of(&header, len);
    let two = |a: &str, b: &str| {
        format!(
            r#"{{"a":{{"dtype":"F16","shape":[2],"data_offsets":{a}}},"b":{{"dtype":"F16","shape":[2],"data_offsets":{b}}}}}"#
        )
    };
    let twice = two("[0,4]", "[4,8]").replace("\"b\"", "\"a\"");
    let claims = |len: u64| [&len.to_le_bytes()[..], b"{}"].concat();
    check_refused(&[
        ("a header of 2^64 bytes", claims(u64::MAX), "claims"),
        ("a header of 2^63 bytes", claims(1 << 63), "claims"),
        ("a header of 17 MiB", claims(17 << 20), "claims"),
        ("a header longer than the file", claims(3), "claims"),
        ("no JSON", of("{oh".into(), 0), "damaged"),
        ("no object", of("[1,2]".into(), 0), "damaged"),
        ("a header of 100,000 brackets", of("{\"a\":".repeat(100_000), 0), "damaged"),
        ("a name that occurs twice", of(twice, 8), "twice"),
        ("an overlap", of(two("[0,4]", "[2,6]"), 6), "do not match"),
        ("the same place", of(two("[0,4]", "[0,4]"), 4), "do not match"),
        ("a hole", of(two("[0,4]", "[6,10]"), 10), "do not match"),
        ("a hole at the start", of(one("F16", "[2]", "[2,6]"), 6), "do not match"),
        ("an end before its start", of(one("F16", "[2]", "[4,0]"), 4), "do not match"),
        ("shorter than its shape", of(one("F16", "[3]", "[0,4]"), 4), "do not match"),
        ("longer than its shape", of(one("F16", "[1]", "[0,4]"), 4), "do not match"),
        (
            "a shape beyond all numbers",
            of(one("F16", "[9223372036854775807,9223372036854775807]", "[0,4]"), 4),
            "do not match",
        ),
        ("a negative side", of(one("F16", "[-2]", "[0,4]"), 4), "damaged"),
        ("a side of 2^64", of(one("F16", "[18446744073709551616]", "[0,4]"), 4), "damaged"),
        ("a type nobody knows", of(one("F12", "[2]", "[0,3]"), 3), "F12"),
        ("whole numbers", of(one("I64", "[2]", "[0,16]"), 16), "I64"),
        ("f8 of two bytes", of(one("F8_E4M3", "[2]", "[0,4]"), 4), "do not match"),
        ("bytes at its end", of(one("F16", "[2]", "[0,4]"), 5), "long"),
        ("cut in its data", of(one("F16", "[2]", "[0,4]"), 3), "long"),
        ("no offsets", of(r#"{"a":{"dtype":"F16","shape":[2]}}"#.into(), 4), "damaged"),
        ("three bytes", b"abc".to_vec(), "3 bytes"),
    ]);
}

#[test]
fn what_is_not_a_weight_file_is_named() {
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    check_refused(&[
        ("nothing", Vec::new(), "it is empty"),
        (
            "a Git LFS pointer",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n".to_vec(),
            "Git LFS",
        ),
        ("a web page", b"<!DOCTYPE html><html><body>Sign in".to_vec(), "web page"),
        ("a web page in capitals", b"\n  <HTML>".to_vec(), "web page"),
        ("a tar archive", tar, "tar archive"),
        ("GGUF", b"GGUF\x03\0\0\0".to_vec(), "GGUF"),
        ("a picture", b"\x89PNG\r\n\x1a\n0000".to_vec(), "picture"),
        ("a photograph", b"\xff\xd8\xff\xe0 JFIF".to_vec(), "picture"),
        ("a text", b"These are my weights, all of them.".to_vec(), "damaged"),
    ]);
}

#[test]
fn a_file_cut_at_any_byte_is_an_error() {
    let place = folder();
    let path = place.path().join("weights.bin");
    let tensors = [TestTensor::new("a", &[3, 2]), TestTensor::new("b", &[5])];
    let forms: [fn(&Path, &[TestTensor]); 3] = [save_safetensors, save_torch_zip, save_torch_legacy];
    for save in forms {
        save(&path, &tensors);
        read_all(&path).expect("the whole file is sound");
        let whole = fs::read(&path).expect("reads");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("writes");
            assert!(read_all(&path).is_err(), "cut to {cut} of {} bytes", whole.len());
        }
    }
}

#[test]
fn a_file_with_any_byte_changed_panics_nowhere() {
    let place = folder();
    let path = place.path().join("weights.bin");
    let tensors = [TestTensor::new("a", &[3, 2]), TestTensor::new("b", &[5])];
    let save_others: fn(&Path, &[TestTensor]) = |path, _| {
        let tensors = [("a", device_array("f4", &[2], &[0; 8])), ("b", tensor_of("float8_e5m2", "0", 2))];
        fs::write(path, around(&pickle(&dict(&tensors)), &[("0", vec![0; 32])])).expect("writes");
        read_all(path).expect("the whole file is sound");
    };
    let forms = [save_safetensors, save_torch_zip, save_torch_legacy, save_others];
    for save in forms {
        save(&path, &tensors);
        let whole = fs::read(&path).expect("reads");
        for at in 0..whole.len() {
            for change in [0xff, 0x01, 0x80] {
                let mut file = whole.clone();
                file[at] ^= change;
                fs::write(&path, &file).expect("writes");
                // Read or refused; a number may have changed and nobody can tell.
                let _ = read_all(&path);
            }
        }
    }
}

#[test]
fn an_index_that_is_wrong_is_refused() {
    let place = folder();
    let at = |name: &str| place.path().join(name);
    save_safetensors(&at("one.safetensors"), &[TestTensor::new("a", &[2])]);
    save_safetensors(&at("two.safetensors"), &[TestTensor::new("b", &[2])]);
    let cases = [
        (r#"{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"#, ""),
        (r#"{"weight_map":{"a":"one.safetensors","b":"one.safetensors"}}"#, "missing"),
        (r#"{"weight_map":{"a":"two.safetensors","b":"two.safetensors"}}"#, "missing"),
        (r#"{"weight_map":{"a":"one.safetensors","b":"three.safetensors"}}"#, "three.safetensors"),
        (r#"{"weight_map":{"b":"two.safetensors","c":"one.safetensors"}}"#, "does not list"),
        (r#"{"weight_map":{"a":"../outside.safetensors"}}"#, "not a file in its folder"),
        (r#"{"weight_map":{"a":"/etc/passwd"}}"#, "not a file in its folder"),
        (r#"{"weight_map":{"a":"a.index.json"}}"#, "not a file in its folder"),
        (r#"{"weight_map":{"a":".."}}"#, "not a file in its folder"),
        (r#"{"weight_map":[]}"#, "damaged"),
        (r"{}", "weight_map"),
        ("", "damaged"),
    ];
    for (index, word) in cases {
        fs::write(at("a.index.json"), index).expect("writes");
        let said = read_all(&at("a.index.json"));
        match word {
            "" => said.expect("the sound one is read"),
            _ => assert!(said.as_ref().is_err_and(|said| said.contains(word)), "{index}: {said:?}"),
        }
    }
}
