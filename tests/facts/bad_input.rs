//! What cannot be done is reported in a sentence with cause and remedy, and nothing is lost.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::support::cli::{CommandOutput, command, tidepool};
use crate::support::folders::{folder, names};

/// Runs a line of words, in which `""` is an empty one, and checks how it fails.
fn check(folder: &Path, line: &str, status: i32, sentence: &[&str]) {
    let args: Vec<_> = line.split_whitespace().map(|word| if word == "\"\"" { "" } else { word }).collect();
    let said = tidepool(folder, &args);
    check_said(line, &said, status, sentence);
}

fn check_said(line: &str, said: &CommandOutput, status: i32, sentence: &[&str]) {
    assert_eq!(said.status, Some(status), "{line}: {}{}", said.stdout, said.stderr);
    assert_eq!(said.stdout, "", "{line}: results are for stdout, this is none");
    assert!(!said.stderr.contains("panicked"), "{line}: {}", said.stderr);
    for word in sentence {
        assert!(said.stderr.contains(word), "{line}: no {word:?} in: {}", said.stderr);
    }
}

#[test]
fn impossible_values_are_usage_errors() {
    let folder = folder();
    let cases: [(&str, &[&str]); 30] = [
        ("render", &["<PROMPT>"]),
        ("paint x", &["paint"]),
        ("render x --steps 0", &["0 steps", "1 to 1000"]),
        ("render x --steps 1000000", &["1000000 steps", "1 to 1000"]),
        ("render x --steps many", &["--steps"]),
        ("render x --cfg nan", &["guidance", "NaN", "0 to 100"]),
        ("render x --cfg inf", &["guidance", "inf"]),
        ("render x --cfg -1", &["guidance", "-1"]),
        ("render x --size 0x0", &["width", "multiple of 8"]),
        ("render x --size 7x64", &["width of 7", "multiple of 8"]),
        ("render x --size 64x513", &["height of 513", "512"]),
        ("render x --size 16384x64", &["width of 16384", "2048"]),
        ("render x --size -8x64", &["WIDTHxHEIGHT"]),
        ("render x --size 64", &["WIDTHxHEIGHT"]),
        ("render x --size 4294967296x64", &["WIDTHxHEIGHT"]),
        ("render x --batch 0", &["batch of 0", "1 to 8"]),
        ("render x --batch 9", &["batch of 9", "1 to 8"]),
        ("render x --seed -2", &["whole number", "random"]),
        ("render x --seed 18446744073709551616", &["whole number"]),
        ("render x --sampler best", &["euler-a", "dpmpp-2m"]),
        ("render x --schedule best", &["linspace", "karras"]),
        ("render x --strength 0.5", &["--init"]),
        ("render x --init a.png --strength 1.5", &["strength of 1.5", "0 (keeps"]),
        ("render x --init a.png --strength nan", &["strength of NaN"]),
        ("render x --init a.png --strength 0", &["strength of 0", "raise"]),
        ("render x --init a.png --strength 0.5 --start-step 3", &["cannot be used with"]),
        ("render x --init a.png --start-step 20", &["start step of 20", "20 steps"]),
        ("render x -o out.jpg", &[".png", "out.jpg"]),
        ("render x --device tpu", &["tpu", "auto"]),
        ("render x --precision f8", &["f8", "f32"]),
    ];
    for (line, sentence) in cases {
        check(folder.path(), line, 2, sentence);
    }
    assert_eq!(names(folder.path()), [""; 0], "nothing was written");
}

#[test]
fn what_cannot_be_done_fails_with_its_cause() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("empty")).expect("makes a folder");
    fs::create_dir(at("taken.png")).expect("makes a folder");
    fs::write(at("notes.txt"), "not a picture").expect("writes");
    fs::write(at("nothing.png"), "").expect("writes");
    fs::write(at("broken.png"), b"\x89PNG\r\n\x1a\nand then nothing").expect("writes");
    fs::write(at("cut.safetensors"), [255; 8]).expect("writes");
    let before = names(folder.path());
    let cases: [(&str, &[&str]); 16] = [
        ("render x --device gpu:9", &["GPU", "cpu or auto"]),
        ("devices --device gpu:9", &["GPU", "cpu or auto"]),
        ("render x --device cpu --model nowhere", &["nowhere"]),
        ("render x --device cpu --model empty", &["empty", "model_index.json"]),
        ("render x --device cpu --model notes.txt", &["notes.txt"]),
        ("render x --device cpu --init nowhere.png", &["nowhere.png", "does not exist"]),
        ("render x --device cpu --init notes.txt", &["notes.txt", "PNG"]),
        ("render x --device cpu --init nothing.png", &["nothing.png", "empty"]),
        ("render x --device cpu --init broken.png", &["broken.png", "damaged"]),
        ("render x --device cpu --init empty", &["empty", "folder"]),
        ("render x -o no/such/folder/a.png", &["no/such/folder", "-o"]),
        ("render x -o taken.png", &["taken.png", "folder"]),
        ("inspect nowhere.png", &["nowhere.png", "no such file"]),
        ("inspect notes.txt", &["notes.txt"]),
        ("inspect cut.safetensors", &["cut.safetensors", "damaged"]),
        ("inspect empty", &["model_index.json", "empty"]),
    ];
    for (line, sentence) in cases {
        check(folder.path(), line, 1, sentence);
    }
    assert_eq!(names(folder.path()), before, "nothing was written");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() {
    let folder = folder();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    check(folder.path(), "inspect pipe", 1, &["pipe"]);
    check(folder.path(), "render x --device cpu --init pipe", 1, &["pipe"]);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_still_work() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = folder();
    let name = OsStr::from_bytes(b"f\xff.png");
    let small = ["render", "x", "--device", "cpu", "--size", "64x64", "--steps", "1", "-o"];
    let made = command(folder.path(), &small).arg(name).output().expect("starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(folder.path().join(name).exists());
    let small = ["render", "x", "--device", "cpu", "--size", "64x64", "--steps", "2", "--json"];
    let again = command(folder.path(), &small).arg("--init").arg(name).output().expect("starts");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
}

#[test]
fn prompts_of_every_kind_make_a_picture() {
    let folder = folder();
    let words = "word ".repeat(10_000);
    let cases = [("", "empty"), (" \t ", "empty"), (&words, ""), ("👩‍👩‍👧‍👦 🏳️‍🌈 \u{202e}abc שלום ((((", "")];
    for (prompt, remark) in cases {
        for (long, remark) in
            [("chunks", remark), ("cut", if prompt == words { "reads 75 tokens" } else { remark })]
        {
            let args = ["render", prompt, "--device", "cpu", "--size", "64x64", "--steps", "1"];
            let said = tidepool(folder.path(), &[&args[..], &["-o", "a.png", "--long", long]].concat());
            assert_eq!(said.status, Some(0), "{}", said.stderr);
            assert!(said.stderr.contains(remark), "no {remark:?} in {}", said.stderr);
        }
    }
}

#[test]
fn a_model_that_is_not_whole_names_the_tensor() {
    let folder = folder();
    let model = folder.path().join("model");
    copy_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo")), &model);
    let weights = model.join("text_encoder/model.safetensors");
    let good = fs::read(&weights).expect("weights");
    let good = SafeTensors::deserialize(&good).expect("a sound file");
    let victim = "text_model.final_layer_norm.weight";
    let line = "render x --device cpu --size 64x64 --steps 1 --model model";

    let all = || good.iter().filter(|(name, _)| *name != victim);
    let write = |tensors: Vec<(&str, TensorView<'_>)>| {
        let bytes = safetensors::serialize(tensors, None).expect("serializes");
        fs::write(&weights, bytes).expect("writes");
    };
    write(all().collect());
    check(folder.path(), line, 1, &[victim]);

    let half = good.tensor(victim).expect("a tensor");
    let len = half.shape()[0] / 2;
    let data = &half.data()[..half.data().len() / 2];
    let half = TensorView::new(half.dtype(), vec![len], data).expect("a tensor");
    write(all().chain([(victim, half)]).collect());
    check(folder.path(), line, 1, &[victim, &len.to_string(), &(2 * len).to_string()]);

    fs::write(&weights, "version https://git-lfs.github.com/spec/v1\n").expect("writes");
    check(folder.path(), line, 1, &["model.safetensors"]);
    fs::remove_dir_all(model.join("vae")).expect("removes");
    check(folder.path(), line, 1, &["vae"]);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a folder");
    for entry in fs::read_dir(from).expect("the folder reads") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copies");
        }
    }
}
