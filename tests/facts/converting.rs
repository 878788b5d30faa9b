//! Pickles as safetensors files: nothing lost, nothing changed, nothing written over.

use std::fs;
use std::path::{Path, PathBuf};

use engine::checkpoint::{ConvertError, WeightFile, convert};
use engine::concepts;
use safetensors::{Dtype, SafeTensors};

use crate::support::cli::tidepool;
use crate::support::folders::{folder, names};
use crate::support::numbers::golden_folder;
use crate::support::weight_files::*;

fn copied(name: &str, folder: &Path) -> PathBuf {
    let path = folder.join(name);
    fs::copy(golden_folder().join("data/checkpoints").join(name), &path).expect("golden data");
    path
}

#[test]
fn a_converted_pickle_holds_the_same_tensors() {
    let place = folder();
    for form in ["state-zip.ckpt", "state-legacy.ckpt"] {
        let pickle = copied(form, place.path());
        let target = convert(&pickle, &mut |_| true).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(target, pickle.with_extension("safetensors"));
        let (before, after) = (WeightFile::open(&pickle), WeightFile::open(&target));
        let (before, after) = (before.expect("the pickle"), after.expect("what became of it"));
        assert!(after.names().eq(before.names()) && !after.is_pickle());
        // The reference reader takes it, and agrees about every type.
        let bytes = fs::read(&target).expect("reads");
        let reference = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let kinds =
            ["f32", "f16", "bf16", "position_ids"].map(|name| reference.tensor(name).expect(name).dtype());
        assert_eq!(kinds, [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::I64], "{form}");
        for name in before.names() {
            assert_eq!(after.shape(name), before.shape(name), "{form} {name}");
            let bits = |file: &WeightFile| -> Vec<u32> {
                file.read(name).expect("numbers").0.iter().map(|value| value.to_bits()).collect()
            };
            match before.dtype(name) {
                Some(_) => assert_eq!(bits(&after), bits(&before), "{form} {name}"),
                None => {
                    let whole: Vec<u8> = (0..7i64).flat_map(i64::to_le_bytes).collect();
                    assert_eq!(reference.tensor(name).expect(name).data(), whole);
                }
            }
        }
        fs::remove_file(target).expect("removes");
    }
}

#[test]
fn a_converted_pickle_keeps_the_types_that_safetensors_have_and_others_are_named() {
    let place = folder();
    for form in ["types-zip.pt", "types-legacy.pt"] {
        let target =
            convert(&copied(form, place.path()), &mut |_| true).unwrap_or_else(|error| panic!("{error}"));
        let [ours, theirs] = [target, golden_folder().join("data/checkpoints/types.safetensors")]
            .map(|path| fs::read(path).expect("reads"));
        let [ours, theirs] =
            [&ours, &theirs].map(|bytes| SafeTensors::deserialize(bytes).expect("safetensors"));
        for (name, tensor) in theirs.tensors() {
            assert_eq!(ours.tensor(&name).expect("the name is kept"), tensor, "{form} {name}");
        }
    }
    let complex = tensor(storage("ComplexDoubleStorage", "0", 2), 0, &[2], &[1]);
    let path = place.path().join("complex.pt");
    fs::write(&path, around(&pickle(&dict(&[("wave", complex)])), &[("0", vec![0; 32])])).expect("writes");
    let error = convert(&path, &mut |_| true).expect_err("safetensors have no such type");
    assert!(matches!(&error, ConvertError::UnsupportedType { dtype: "complex128", .. }), "{error}");
}

#[test]
fn a_converted_checkpoint_is_the_same_bytes() {
    let place = folder();
    let tensors = Small::new().original;
    type Save = fn(&Path, &[TestTensor]);
    let forms: [(&str, Save); 2] = [("zip.ckpt", save_torch_zip), ("legacy.pt", save_torch_legacy)];
    for (name, save) in forms {
        let pickle = place.path().join(name);
        save(&pickle, &tensors);
        let mut fractions = Vec::new();
        let target = convert(&pickle, &mut |fraction| {
            fractions.push(fraction);
            true
        });
        let bytes = fs::read(target.unwrap_or_else(|error| panic!("{error}"))).expect("reads");
        let converted = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(converted.len(), tensors.len());
        for given in &tensors {
            let tensor = converted.tensor(&given.name).expect("the name is kept");
            assert!(tensor.dtype() == Dtype::F16 && tensor.data() == given.data, "{}", given.name);
        }
        assert!(fractions.is_sorted() && fractions.last() == Some(&1.0));
    }
}

#[test]
fn a_converted_concept_is_the_same_concept() {
    let place = folder();
    for form in ["diffusers-zip.bin", "diffusers-legacy.bin", "a1111-zip.pt", "dict-legacy.pt", "bare-zip.pt"]
    {
        let pickle = copied(form, place.path());
        let before = concepts::read(&pickle).expect("a concept");
        let target = convert(&pickle, &mut |_| true).unwrap_or_else(|error| panic!("{error}"));
        let after = concepts::read(&target).expect("a concept still");
        assert_eq!(
            (&after.token, after.width, after.vectors),
            (&before.token, before.width, before.vectors),
            "{form}"
        );
        fs::remove_file(target).expect("removes");
    }
}

#[test]
fn no_file_is_written_over_and_a_stopped_one_leaves_nothing() {
    let place = folder();
    let pickle = copied("state-zip.ckpt", place.path());
    assert!(matches!(convert(&pickle, &mut |_| false), Err(ConvertError::Stopped)));
    assert_eq!(names(place.path()), ["state-zip.ckpt"]);
    let target = place.path().join("state-zip.safetensors");
    fs::write(&target, "mine").expect("writes");
    let error = convert(&pickle, &mut |_| true).expect_err("it is taken");
    assert!(
        matches!(error, ConvertError::Exists(_))
            && error.to_string().ends_with(&target.display().to_string())
    );
    assert_eq!(fs::read(&target).expect("reads"), b"mine");
}

#[test]
fn the_command_line_converts_what_it_can_and_says_what_it_cannot() {
    let place = folder();
    copied("state-zip.ckpt", place.path());
    copied("numbers.safetensors", place.path());
    let said = tidepool(place.path(), &["convert", "numbers.safetensors", "none.pt", "state-zip.ckpt"]);
    assert_eq!(said.status, Some(1));
    assert_eq!(said.stdout.trim(), "state-zip.safetensors");
    let lines: Vec<&str> = said.stderr.lines().collect();
    assert!(lines[0].contains("not a pickle") && lines[1].contains("none.pt"), "{lines:?}");
}

#[test]
fn a_name_that_the_longer_ending_does_not_fit_is_cut() {
    let place = folder();
    let long = "狐".repeat(83);
    let pickle = place.path().join(format!("{long}.ckpt"));
    save_torch_zip(&pickle, &[TestTensor::new("emb_params", &[2, 768])]);
    let target = convert(&pickle, &mut |_| true).unwrap_or_else(|error| panic!("{error}"));
    // 243 bytes are left of the 255 that a name may have, in characters of three.
    assert_eq!(target, place.path().join("狐".repeat(81) + ".safetensors"));
    assert!(target.is_file());
}
