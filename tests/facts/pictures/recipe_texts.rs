//! Recipes inside pictures: our JSON, A1111's text, other programs' formats, and malicious chunks.

use std::time::Duration;

use engine::concepts::ConceptRef;
use engine::diffusion::{NoiseSource, Sampler, SamplerOptions, Schedule, ScheduleOptions};
use engine::images::{FoundRecipe, PROGRAM, Provenance, RecipeReadError, from_parameters, to_parameters};
use engine::prompt::{PromptWeights, TextOptions};
use engine::recipe::{Guidance, Recipe, Start};
use image::{DynamicImage, ImageFormat};

use crate::support::cpu_time::assert_cpu_time_below;
use crate::support::pictures::{
    chunk, chunks_of, encoded, itxt, png_with, prompt_of, read_bytes, recipe, text,
};

#[test]
fn the_parameters_text_is_what_others_write() {
    let mut provenance = Provenance::new("sd, v1:5", recipe("a cat\non a mat"));
    provenance.recipe.negative_prompt = "dog".into();
    let settings = "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, \
                    Seed: 965400086, Size: 512x512, Model: \"sd, v1:5\", RNG: CPU, Version: ";
    assert_eq!(
        to_parameters(&provenance),
        format!("a cat\non a mat\nNegative prompt: dog\n{settings}{PROGRAM}")
    );
    provenance.recipe.start = Start::Image { path: "a.png".into(), strength: 0.75 };
    provenance.model_hash = Some("6ce0161689".into());
    let text = to_parameters(&provenance);
    assert!(text.contains("Model hash: 6ce0161689, Model: \"sd, v1:5\", Denoising strength: 0.75, RNG"));
}

#[test]
fn concepts_are_named_with_the_hash_of_their_file() {
    let concept = |name: &str, token: &str| ConceptRef {
        name: name.into(),
        token: token.into(),
        sha256: "0123456789ab".into(),
    };
    let concepts = vec![concept("birb-style", "<birb-style>"), concept("sea: glass", "sea: glass")];
    let provenance = Provenance { concepts, ..Provenance::new("m", recipe("<birb-style>")) };
    let text = to_parameters(&provenance);
    let hashes = r#"TI hashes: "birb-style: 0123456789ab, sea: glass: 0123456789ab""#;
    assert!(text.contains(&format!("RNG: CPU, {hashes}, Version: ")), "{text}");
    let found = from_parameters(&text).expect("settings");
    assert_eq!(found.notes, Vec::<String>::new());
    assert_eq!(found.provenance.concepts, [concept("birb-style", ""), concept("sea: glass", "")]);
    let found = Provenance::from_json(&provenance.to_json()).expect("a recipe");
    assert_eq!(found.provenance.concepts, provenance.concepts);
    let older = Provenance::from_json(r#"{"format":1,"recipe":{"prompt":"a cat"}}"#).expect("a recipe");
    assert_eq!((older.provenance.concepts, older.notes), (vec![], vec![]));
}

#[test]
fn the_parameters_text_alone_gives_the_recipe_back() {
    for sampler in Sampler::ALL {
        for schedule in Schedule::ALL {
            let recipe = Recipe { sampler, schedule, ..recipe("a cat, \"on\" a mat:\nred") };
            let text = to_parameters(&Provenance::new("m", recipe.clone()));
            let found = from_parameters(&text).expect("settings");
            // diffusers' linspace schedule has no name in that text and comes back as the nearest one.
            let schedule = if schedule == Schedule::Linspace { Schedule::Normal } else { schedule };
            assert_eq!((found.provenance.recipe, found.notes), (Recipe { schedule, ..recipe }, vec![]));
        }
    }
}

/// What a text must give: sampler, schedule, and a word of each note, in order.
type Told = (Sampler, Schedule, &'static [&'static str]);

#[test]
fn other_programs_texts_are_understood() {
    use Sampler::{
        Ddim, Dpm2Ancestral, DpmPp2m, DpmPp2mSde, DpmPp2sAncestral, DpmPp3mSde, DpmPpSde, Euler,
        EulerAncestral, Heun, Lms, Plms, UniPc,
    };
    use Schedule::{Beta, Exponential, Karras, Normal, SgmUniform};
    const GPU: &str = "graphics card";
    // The settings after "Steps: 20, CFG scale: 7, Seed: 5, Size: 512x768, ".
    let table: [(&str, Told); 32] = [
        ("Sampler: Euler a, RNG: CPU", (EulerAncestral, Normal, &[])),
        ("Sampler: DPM++ 2M Karras, RNG: CPU", (DpmPp2m, Karras, &[])),
        ("Sampler: DPM++ 2M, Schedule type: Karras, Version: v1.10.1", (DpmPp2m, Karras, &[GPU])),
        ("Sampler: DPM++ 2M, Schedule type: Automatic, RNG: CPU", (DpmPp2m, Karras, &[])),
        ("Sampler: DPM++ 2M, Schedule type: Uniform, RNG: CPU", (DpmPp2m, Normal, &[])),
        ("Sampler: Euler, Schedule type: Automatic, RNG: NV", (Euler, Normal, &[])),
        ("Sampler: LMS Karras, RNG: CPU", (Lms, Karras, &[])),
        ("Sampler: k_lms, RNG: CPU", (Lms, Normal, &[])),
        ("Sampler: euler_ancestral, RNG: CPU", (EulerAncestral, Normal, &[])),
        ("Sampler: Heun, Schedule type: SGM Uniform, RNG: CPU", (Heun, SgmUniform, &[])),
        ("Sampler: DDIM, RNG: CPU", (Ddim, Normal, &[])),
        ("Sampler: PLMS, RNG: CPU", (Plms, Normal, &[])),
        ("Sampler: UniPC, RNG: CPU", (UniPc, Normal, &[])),
        ("Sampler: DEIS, RNG: CPU", (DpmPp2m, Normal, &["DEIS"])),
        ("Sampler: DPM2 a Karras, RNG: CPU", (Dpm2Ancestral, Karras, &[])),
        ("Sampler: DPM++ 2M SDE, RNG: CPU", (DpmPp2mSde, Exponential, &[])),
        ("Sampler: DPM++ SDE Karras, RNG: CPU", (DpmPpSde, Karras, &[])),
        ("Sampler: DPM++ 3M SDE Exponential, RNG: CPU", (DpmPp3mSde, Exponential, &[])),
        ("Sampler: DPM++ 2S a, Schedule type: Beta, RNG: CPU", (DpmPp2sAncestral, Beta, &[])),
        ("Sampler: Euler, Schedule type: KL Optimal, RNG: CPU", (Euler, Karras, &["KL Optimal"])),
        ("Sampler: Restart, RNG: CPU", (Heun, Karras, &["Restart"])),
        ("Sampler: Quantum Leap, RNG: CPU", (Euler, Normal, &["Quantum Leap"])),
        ("RNG: CPU", (Euler, Normal, &["sampler"])),
        ("Sampler: Euler, Clip skip: 2, RNG: CPU", (Euler, Normal, &[])),
        ("Sampler: Euler, Clip skip: 1, RNG: CPU", (Euler, Normal, &[])),
        (
            "Sampler: Euler, Denoising strength: 0.7, RNG: CPU, Hires upscale: 2, Hires steps: 10, \
             Hires upscaler: Latent, Version: v1.6.0",
            (Euler, Normal, &["Hires fix"]),
        ),
        ("Sampler: Euler, Denoising strength: 0.6, RNG: CPU", (Euler, Normal, &["0.6"])),
        (
            "Sampler: Euler, RNG: CPU, Lora hashes: \"a: 1234, b: 5678\", TI hashes: \"cat-toy: 0a1b\"",
            (Euler, Normal, &["LoRA"]),
        ),
        (
            "Sampler: Euler, RNG: CPU, ControlNet 0: \"Module: canny, Model: x, Weight: 1\", \
             ControlNet 1: \"Module: depth\", ADetailer model: face, Variation seed: 3, \
             Variation seed strength: 0.1, VAE hash: 1, VAE: kl-f8.ckpt",
            (Euler, Normal, &["ControlNet", "ADetailer", "Variations", "kl-f8.ckpt"]),
        ),
        (
            "Sampler: Euler, RNG: CPU, Civitai resources: [{\"type\":\"checkpoint\",\"id\":1}], \
             Wildcard: \"x\\\"y, z\", Foo/bar-baz: 1",
            (Euler, Normal, &["Civitai resources, Wildcard, Foo/bar-baz"]),
        ),
        ("Sampler: Euler, Version: f2.0.1v1.10.1-previous-1", (Euler, Normal, &[GPU])),
        ("Sampler: Euler, Mask blur: 4, ENSD: 31337, RNG: CPU", (Euler, Normal, &["masked", "31337"])),
    ];
    for (settings, told) in table {
        let text = format!(
            "a cat,\n  with hat\nNegative prompt: blurry,\nbad\nSteps: 20, CFG scale: 7, Seed: 5, \
             Size: 512x768, {settings}"
        );
        let FoundRecipe { provenance, notes, .. } = from_parameters(&text).expect(settings);
        let expected = Recipe {
            prompt: "a cat,\nwith hat".into(),
            negative_prompt: "blurry,\nbad".into(),
            width: 512,
            height: 768,
            seed: 5,
            steps: 20,
            guidance: Guidance { cfg_scale: 7.0 },
            sampler: told.0,
            schedule: told.1,
            noise: provenance.recipe.noise,
            text: provenance.recipe.text,
            ..Recipe::default()
        };
        assert_eq!(provenance.recipe, expected, "{settings}");
        assert_eq!(notes.len(), told.2.len(), "{settings}\n{notes:#?}");
        for (note, words) in notes.iter().zip(told.2) {
            assert!(note.contains(words), "{settings}: {note}");
        }
    }
}

#[test]
fn options_and_noise_are_told_in_a1111s_words_and_read_from_them() {
    let recipe = |sampler, schedule, eta, rho, noise| Recipe {
        sampler,
        schedule,
        sampler_options: SamplerOptions { eta, ..SamplerOptions::default() },
        schedule_options: ScheduleOptions { rho, ..ScheduleOptions::default() },
        noise,
        ..Recipe::default()
    };
    use NoiseSource::{Nvidia, Torch};
    for (recipe, words) in [
        (
            recipe(Sampler::EulerAncestral, Schedule::Normal, Some(0.5), None, Torch),
            "RNG: CPU, Eta: 0.5, Ver",
        ),
        (recipe(Sampler::Ddim, Schedule::Normal, Some(1.0), None, Nvidia), "RNG: NV, Eta DDIM: 1, Version"),
        (
            recipe(Sampler::Euler, Schedule::Karras, None, Some(3.0), Torch),
            "RNG: CPU, Schedule rho: 3, Version",
        ),
    ] {
        let text = to_parameters(&Provenance::new("demo", recipe.clone()));
        assert!(text.contains(words), "{text}");
        let found = from_parameters(&text).expect("settings");
        assert_eq!((found.provenance.recipe, found.notes), (recipe, Vec::new()));
    }

    let read = |settings: &str| {
        let text = format!("x\nSteps: 20, CFG scale: 7, Seed: 5, Size: 512x768, {settings}");
        let found = from_parameters(&text).expect(settings);
        (found.provenance.recipe, found.notes)
    };
    let (found, notes) = read("Sampler: Euler a, Eta: 0.67, RNG: CPU");
    assert_eq!((found.sampler_options.eta, notes), (Some(0.67), Vec::new()));
    // A1111 gives DPM fast an eta of 1 and says nothing of it; k-diffusion and we give it 0.
    assert_eq!(read("Sampler: DPM fast, RNG: CPU").0.sampler_options.eta, Some(1.0));
    let (found, notes) = read("Sampler: DPM fast, Eta: 0.0, RNG: CPU");
    assert_eq!((found.sampler_options.eta, notes), (None, Vec::new()));
    let (found, notes) = read("Sampler: Euler a, Eta: 7, RNG: CPU");
    assert_eq!(found.sampler_options.eta, None);
    assert!(notes[0].to_lowercase().contains("eta"), "{notes:?}");
    let (_, notes) = read("Sampler: Euler, Eta: 0.5, RNG: CPU");
    assert!(notes[0].to_lowercase().contains("eta"), "{notes:?}");

    for (settings, noise) in [
        ("Sampler: Euler, RNG: NV", Nvidia),
        ("Sampler: Euler, RNG: cuda", Nvidia),
        ("Sampler: Euler, Version: v1.10.1", Nvidia),
        ("Sampler: Euler, Version: f2.0.1v1.10.1", Nvidia),
        ("Sampler: Euler, Version: v1.10.1, RNG: CPU", Torch),
        ("Sampler: Euler, Version: Fooocus v2", Torch),
    ] {
        assert_eq!(read(settings).0.noise, noise, "{settings}");
    }
}

#[test]
fn texts_of_odd_shapes_are_understood() {
    let read = |text: &str| from_parameters(text).expect("settings");
    let found = read("Steps: 20, Sampler: Euler, CFG scale: 7.5, Seed: 1, Size: 512x512, RNG: CPU");
    assert_eq!((found.provenance.recipe.prompt.as_str(), found.notes.len()), ("", 0));

    let found = read("x\r\nNegative prompt: y\r\nSteps: 9, Seed: 18446744073709551615, Size: 513x10\r\n");
    let recipe = found.provenance.recipe;
    assert_eq!((recipe.prompt.as_str(), recipe.negative_prompt.as_str()), ("x", "y"));
    assert_eq!((recipe.seed, recipe.width, recipe.height, recipe.steps), (u64::MAX, 512, 8, 9));
    assert!(found.notes.iter().any(|note| note.contains("513")));

    let found = read("Steps: 1000000, Seed: -1, CFG scale: NaN, Size: 0x99999999999");
    assert_eq!(found.provenance.recipe.steps, 1000);
    assert!(found.provenance.recipe.check().is_ok());
    assert!(found.notes.iter().any(|note| note.contains("-1")));

    let found = read("<lora:fox:0.8>a fox <3 <lyco:x> <lora:open\nSteps: 1, Seed: 1, Size: 64x64, RNG: CPU");
    assert_eq!(found.provenance.recipe.prompt, "a fox <3  <lora:open");
    assert!(found.notes[0].contains("sampler") && found.notes[1].contains("<lora:fox:0.8>"));

    let found = read("a\nSteps: 1, Seed: 1, Seed: 2, Model hash: 6ce0161689, Model: v1-5, Version: v1.10.1");
    assert_eq!(found.provenance.recipe.seed, 2, "the last of two counts, as in A1111");
    assert_eq!(found.provenance.model, "v1-5");
    assert_eq!(found.provenance.model_hash.as_deref(), Some("6ce0161689"));
    assert_eq!(found.provenance.program, "AUTOMATIC1111 v1.10.1");
}

#[test]
fn a_text_with_few_settings_or_none_keeps_its_prompt() {
    for text in ["", " ", "\n"] {
        assert_eq!(from_parameters(text), None, "{text:?}");
    }
    let (seed, steps) = (Recipe::default().seed, Recipe::default().steps);
    for (text, prompt, negative, expected) in [
        ("a cat", "a cat", "", (seed, steps)),
        ("{red|blue} cat", "{red|blue} cat", "", (seed, steps)),
        ("a cat\nNegative prompt: a dog", "a cat", "a dog", (seed, steps)),
        ("a: b, c: d, e: f", "a: b, c: d, e: f", "", (seed, steps)),
        ("Steps: 20, Seed: 3", "", "", (3, 20)),
        ("a cat\nSteps: 20", "a cat", "", (seed, 20)),
        ("a cat\nSteps: 20, Seed: 3\n", "a cat", "", (3, 20)),
        ("a cat\r\nSteps: 20, Seed: 3\r\n", "a cat", "", (3, 20)),
        ("Steps: of stone\nSteps: 20, Seed: 3", "Steps: of stone", "", (3, 20)),
        ("a cat\nSampler: Euler, Seed: 3, Size: 64x64", "a cat", "", (3, steps)),
        ("a cat\nSteps: 20, Foo: \"b\nc\", Seed: 3", "a cat", "", (3, 20)),
        ("a cat\nSteps: 20, Foo: \"b\nc: d, ef: g, hi: j\", Seed: 3", "a cat", "", (3, 20)),
        // As the extension Dynamic Prompts writes them.
        ("a cat\nSteps: 20, Seed: 3, Version: v1.6.0\nTemplate: a {cat|dog}\n", "a cat", "", (3, 20)),
    ] {
        let found = from_parameters(text).unwrap_or_else(|| panic!("{text:?} is not read"));
        let recipe = found.provenance.recipe;
        assert_eq!((recipe.prompt.as_str(), recipe.negative_prompt.as_str()), (prompt, negative), "{text:?}");
        assert_eq!((recipe.seed, recipe.steps), expected, "{text:?}");
    }
}

#[test]
fn long_hostile_texts_are_read_in_one_pass() {
    for part in ["a", "a ", "ab:", "ab:\"", "ab:\"\\", "ab,", "<lora:", "<", "\"", "(", "é:", "\n", "ab1:c,"]
    {
        let text = part.repeat((4 << 20) / part.len());
        assert_cpu_time_below(Duration::from_secs(15), &format!("4 MiB of {part:?}"), || {
            from_parameters(&text);
            from_parameters(&format!("{text}\nSteps: 1, Seed: 1, Size: 64x64"));
        });
    }
}

#[test]
fn skipped_layers_and_missing_weights_are_told_in_a1111s_words_and_read_from_them() {
    for (weights, clip_skip) in
        [(PromptWeights::A1111, 1), (PromptWeights::A1111, 2), (PromptWeights::None, 12)]
    {
        let text = TextOptions { weights, clip_skip, ..TextOptions::default() };
        let written = to_parameters(&Provenance::new("m", Recipe { text, ..Recipe::default() }));
        assert_eq!(written.contains(&format!("Clip skip: {clip_skip}")), clip_skip > 1, "{written}");
        let found = from_parameters(&written).expect("a recipe");
        assert_eq!((found.provenance.recipe.text, found.notes.len()), (text, 0), "{written}");
    }
    let found = from_parameters("a\nSteps: 1, Seed: 1, Clip skip: 99, Emphasis: No norm").expect("a recipe");
    assert_eq!(found.provenance.recipe.text.clip_skip, 1);
    for told in ["No norm", "99"] {
        assert!(found.notes.iter().any(|note| note.contains(told)), "{:?}", found.notes);
    }
}

#[test]
fn json_of_older_and_newer_programs_is_read() {
    let read = |json: &str| Provenance::from_json(json).expect("a recipe");
    let found = read(r#"{"recipe":{"prompt":"x"}}"#);
    // Before there was a choice, prompts were read without weights.
    let text = TextOptions::PLAIN;
    assert_eq!(found.provenance.recipe, Recipe { prompt: "x".into(), text, ..Recipe::default() });
    assert!(found.notes.is_empty());

    let found = read(
        r#"{"format":2,"program":"Tidepool 9","lens":1,"recipe":{"prompt":"x","sampler":"warp",
            "steps":0,"seed":-4,"colour":[],"width":100,"start":{"video":1}}}"#,
    );
    let recipe = &found.provenance.recipe;
    assert_eq!((recipe.prompt.as_str(), recipe.sampler, recipe.steps), ("x", Sampler::Euler, 1));
    assert!(recipe.check().is_ok());
    assert_eq!(found.notes.len(), 6, "{:#?}", found.notes);

    for json in ["", "{}", "[]", "{\"recipe\":3}", "null", &"[".repeat(1 << 20), &"{\"recipe\":".repeat(9999)]
    {
        assert!(Provenance::from_json(json).is_none());
    }
}

#[test]
fn our_own_chunk_comes_before_the_text_of_others() {
    let ours = Provenance::new("m", recipe("ours")).to_json();
    let theirs = "theirs\nSteps: 20, Sampler: Euler, Seed: 1";
    let found = |chunks: &[Vec<u8>]| read_bytes(&png_with(chunks)).map(|found| prompt_of(&found));
    assert_eq!(found(&[text("parameters", theirs), text("tidepool", &ours)]).ok(), Some("ours".into()));
    assert_eq!(found(&[text("tidepool", "{broken"), text("parameters", theirs)]).ok(), Some("theirs".into()));
    assert_eq!(found(&[itxt("parameters", theirs), text("parameters", "x")]).ok(), Some("theirs".into()));
    assert_eq!(found(&[itxt("parameters", "猫\nSteps: 1, Seed: 1, Size: 8x8")]).ok(), Some("猫".into()));
    assert_eq!(found(&[]).ok(), Some("none".into()));
}

#[test]
fn hostile_chunks_are_passed_over() {
    let ours = Provenance::new("m", recipe("ours")).to_json();
    let mut wrong_sum = text("tidepool", &ours);
    *wrong_sum.last_mut().expect("a checksum") ^= 1;
    let mut claims_much = text("tidepool", &ours);
    claims_much[..4].copy_from_slice(&(100u32 << 20).to_be_bytes());
    let mut claims_more = claims_much.clone();
    claims_more[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    let too_long = text("parameters", &"x".repeat(5 << 20));
    let not_utf8 = chunk(b"iTXt", b"tidepool\0\0\0\0\0\xff\xfe\x80{\"recipe\":{}}");
    let bad_deflate = chunk(b"zTXt", b"parameters\0\0\x78\x9c\xff\xff\xff\xff");
    let no_keyword = chunk(b"tEXt", b"\0\0\0");
    for hostile in [wrong_sum, too_long, not_utf8, bad_deflate, no_keyword, chunk(b"iTXt", b"")] {
        let found = read_bytes(&png_with(std::slice::from_ref(&hostile))).expect("a PNG without recipe");
        assert_eq!(prompt_of(&found), "none");
        let with_ours = read_bytes(&png_with(&[hostile, text("tidepool", &ours)])).expect("a PNG");
        assert_eq!(prompt_of(&with_ours), "ours");
    }
    for hostile in [claims_much, claims_more] {
        assert!(matches!(read_bytes(&png_with(&[hostile])), Err(RecipeReadError::Damaged { .. })));
    }
    let doubles = vec![text("Description", &"y".repeat(1 << 20)); 100];
    let many = vec![chunk(b"tEXt", b"a\0"); 200_000];
    for (what, chunks) in [("100 chunks of a MiB", doubles), ("200,000 chunks", many)] {
        let png = png_with(&chunks);
        assert_cpu_time_below(Duration::from_secs(5), what, || {
            assert_eq!(prompt_of(&read_bytes(&png).expect("a PNG")), "none");
        });
    }
}

#[test]
fn a_packed_text_is_read_and_a_packed_bomb_is_not() {
    // Python: zlib.compress(b"zipped\nSteps: 1, Seed: 1, Size: 64x64")
    const PACKED: &[u8] =
        b"\x78\xda\xab\xca\x2c\x28\x48\x4d\xe1\x0a\x2e\x49\x2d\x28\xb6\x52\x30\xd4\x51\x08\x4e\x4d\x4d\x81\x30\x32\xab\x52\xad\x14\xcc\x4c\x2a\xcc\x4c\x00\xe3\x53\x0b\x16";
    let body = [b"parameters\0\0", PACKED].concat();
    let found = read_bytes(&png_with(&[chunk(b"zTXt", &body)])).expect("a PNG");
    assert_eq!(prompt_of(&found), "zipped");

    // A stored IDAT of zeros is 64 MB of nothing in 65 kB: the very stream of a black picture.
    let black = encoded(&DynamicImage::new_luma8(8000, 8000), ImageFormat::Png);
    let zeros: Vec<u8> = chunks_of(&black, b"IDAT").concat();
    for body in [[b"tidepool\0\0", &zeros[..]].concat(), [b"tidepool\0\x01\0\0\0", &zeros[..]].concat()] {
        let kind = if body[10] == 0 { b"iTXt" } else { b"zTXt" };
        assert_eq!(prompt_of(&read_bytes(&png_with(&[chunk(kind, &body)])).expect("a PNG")), "none");
    }
}
