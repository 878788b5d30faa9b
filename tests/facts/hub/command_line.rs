//! `tidepool get`, as a person or a script meets it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::cli::{CommandOutput, command, tidepool};
use crate::support::fake_hub::{COMMIT, Files, NAME, checkpoint, demo, honest};
use crate::support::fake_server::{Mishap, Server};
use crate::support::folders::{folder, names};
use crate::support::waiting::wait_until;

fn at(server: &Server, folder: &Path, args: &[&str]) -> Command {
    let mut command = command(folder, &[&["get"], args].concat());
    command.env("HF_ENDPOINT", server.address()).env("HF_HOME", "/nonexistent");
    for name in [
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_TOKEN_PATH",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command
}

fn get(server: &Server, folder: &Path, args: &[&str]) -> CommandOutput {
    at(server, folder, args).output().expect("the program starts").into()
}

#[test]
fn a_model_is_downloaded_and_makes_a_picture() {
    let server = Server::start(|seen, _| honest(&demo(), seen));
    let folder = folder();
    let said = get(&server, folder.path(), &[NAME, "--into", "models", "--yes"]);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert_eq!(said.stdout.trim(), "models/tidal--small-sd");
    assert!(
        said.stderr.contains("CreativeML Open RAIL-M") && said.stderr.contains(" MB in "),
        "{}",
        said.stderr
    );
    let args = [
        "render",
        "a red fox",
        "--model",
        said.stdout.trim(),
        "--device",
        "cpu",
        "--steps",
        "1",
        "-o",
        "a.png",
    ];
    let said = tidepool(folder.path(), &args);
    assert_eq!(said.status, Some(0), "{}", said.stderr);
    assert_eq!(names(folder.path()), ["a.png", "models"]);
}

#[test]
fn nothing_is_fetched_before_licence_and_size_were_agreed_to() {
    let server = Server::start(|seen, _| honest(&demo(), seen));
    let folder = folder();
    let said = get(&server, folder.path(), &[NAME, "--into", "models"]);
    assert_eq!(said.status, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("licence") && said.stderr.contains("--yes"), "{}", said.stderr);
    let asked: Vec<_> = server.received().into_iter().map(|seen| seen.path).collect();
    assert!(asked[0].starts_with("/api/"), "{asked:?}");
    assert!(
        asked[1..].iter().all(|path| path.ends_with(".json")),
        "only what it is was asked for: {asked:?}"
    );
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_checkpoint_in_a_folder_of_its_repository_is_downloaded_by_its_path() {
    let server = Server::start(|seen, _| {
        let bytes = checkpoint().remove("model.safetensors").expect("the file");
        honest(&Files::from([("fp16/model.safetensors".to_owned(), bytes)]), seen)
    });
    let folder = folder();
    let address = format!("https://hub.example/{NAME}/blob/main/fp16/model.safetensors");
    for (place, model) in
        [("named", &[NAME, "--file", "fp16/model.safetensors"][..]), ("address", &[&address])]
    {
        let said = get(&server, folder.path(), &[model, &["--into", place, "--yes"]].concat());
        assert_eq!(said.status, Some(0), "{}", said.stderr);
        let path = Path::new(place).join("tidal--small-sd/fp16/model.safetensors");
        assert_eq!(Path::new(said.stdout.trim()), path);
        assert_eq!(fs::metadata(folder.path().join(path)).expect("a file").len(), 1_200_000);
    }
}

#[test]
fn json_tells_what_came_in_one_object() {
    let server = Server::start(|seen, _| honest(&checkpoint(), seen));
    let folder = folder();
    let said = get(&server, folder.path(), &[NAME, "--yes", "--json"]);
    let json: Value = serde_json::from_str(&said.stdout).expect(&said.stderr);
    let path = Path::new(json["path"].as_str().expect("a path"));
    assert!(path.ends_with(".home/models/tidal--small-sd/model.safetensors") && path.is_file(), "{json}");
    assert_eq!((&json["repository"], &json["commit"]), (&NAME.into(), &COMMIT.into()));
    assert_eq!(
        (&json["bytes"], &json["licence"]["name"]),
        (&1_200_000.into(), &"CreativeML Open RAIL-M".into())
    );
    assert_eq!(json["files"][0]["sha256"].as_str().map(str::len), Some(64));
}

#[test]
fn wrong_arguments_are_usage_errors() {
    let server = Server::start(|seen, _| honest(&demo(), seen));
    let folder = folder();
    assert_eq!(get(&server, folder.path(), &["no-owner", "--yes"]).status, Some(2));
    let mut wrong = at(&server, folder.path(), &[NAME]);
    let output = wrong.env("HF_ENDPOINT", "nowhere").output().expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(server.received().len(), 0);
    let absent = get(&server, folder.path(), &[NAME, "--file", "absent.ckpt", "--yes"]);
    assert_eq!(absent.status, Some(1), "{}", absent.stderr);
}

#[cfg(unix)]
#[test]
fn ctrl_c_pauses_and_the_same_command_goes_on() {
    let files = checkpoint();
    let server = Server::start(move |seen, before| {
        let reply = honest(&files, seen);
        if before == 1 { reply.but(Mishap::Stall(500_000)) } else { reply }
    });
    let folder = folder();
    let args = [NAME, "--into", ".", "--yes"];
    let run = at(&server, folder.path(), &args).stderr(std::process::Stdio::piped()).spawn().expect("starts");
    let part = folder.path().join("tidal--small-sd.part/model.safetensors.part");
    wait_until("the first half", || fs::metadata(&part).is_ok_and(|about| about.len() == 500_000));
    let kill = Command::new("kill").args(["-INT", &run.id().to_string()]).status();
    assert!(kill.is_ok_and(|status| status.success()), "the signal is sent");
    let output = run.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("Paused") && said.contains("same command"), "{said}");
    assert_eq!(names(folder.path()), ["tidal--small-sd.part"]);

    let said = get(&server, folder.path(), &args);
    assert!(said.stderr.contains("500 kB"), "{}", said.stderr);
    assert_eq!(said.stdout.trim(), "./tidal--small-sd/model.safetensors");
    assert_eq!(names(folder.path()), ["tidal--small-sd"]);
    assert_eq!(
        server.received().last().and_then(crate::support::fake_server::ReceivedRequest::from),
        Some(500_000)
    );
}
