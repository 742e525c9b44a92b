//! `tollway demo` and `tollway sandbox`, through the real binary.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn tollway(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollway"));
    command.env("TOLLWAY_HOME", home).env_remove("TOLLWAY_LOG");
    command
}

#[test]
fn the_demo_makes_a_paid_request_and_prints_each_step() {
    let home = tempfile::tempdir().unwrap();

    let output = tollway(home.path())
        .args(["demo", "--once", "--json", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();

    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let steps: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "sandbox",
            "sample API",
            "gateway",
            "request",
            "answer",
            "invoice",
            "reserved",
            "payment",
            "preimage",
            "credential",
            "request",
            "answer",
            "response"
        ]
    );
    assert!(steps[4]["what"].as_str().unwrap().starts_with("402"));
    assert!(steps[11]["what"].as_str().unwrap().starts_with("200"));
}

#[test]
fn the_demo_fails_when_a_step_fails() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = tollway(home.path())
        .args(["demo", "--once", "--listen", &address])
        .output()
        .unwrap();

    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--listen"));
}

#[test]
fn a_restarted_sandbox_keeps_its_wallets_and_says_what_history_reset() {
    let home = tempfile::tempdir().unwrap();

    let (first, first_said) = sandbox(home.path());
    let first_file = std::fs::read_to_string(home.path().join("sandbox/sandbox.json")).unwrap();
    stop(first);
    assert!(
        !home.path().join("sandbox/sandbox.json").exists(),
        "a stopped sandbox is not found"
    );
    let (second, second_said) = sandbox(home.path());
    let second_file = std::fs::read_to_string(home.path().join("sandbox/sandbox.json")).unwrap();
    stop(second);

    assert_eq!(first_said["history_reset"], false);
    assert_eq!(second_said["history_reset"], true);
    assert_eq!(pubkeys(&first_file), pubkeys(&second_file));
    assert_eq!(pubkeys(&first_file).len(), 2);
}

fn sandbox(home: &Path) -> (Child, serde_json::Value) {
    let mut process = tollway(home)
        .args([
            "sandbox",
            "--json",
            "--seller-port",
            "0",
            "--buyer-port",
            "0",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (process, serde_json::from_str(&line).unwrap())
}

fn stop(mut process: Child) {
    assert!(
        Command::new("kill")
            .args(["-TERM", &process.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert!(process.wait().unwrap().success());
}

fn pubkeys(file: &str) -> Vec<String> {
    let file: serde_json::Value = serde_json::from_str(file).unwrap();
    let wallets = file["wallets"].as_object().unwrap();
    wallets
        .values()
        .map(|wallet| wallet["pubkey"].as_str().unwrap().to_owned())
        .collect()
}
