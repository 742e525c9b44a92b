//! Destinations of a body: `tollway get -o`.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Market, dripping_api, echo_api, failure, raw_api, signal, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_cannot_be_opened_is_found_before_anything_is_paid() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let missing = market.home().join("missing");
    let missing = missing.to_str().unwrap();
    for target in [
        "/nowhere/at/all",
        market.home().to_str().unwrap(),
        &format!("{missing}/"),
        &format!("{missing}/."),
    ] {
        let refused = market.run(&["get", &gateway.url("/a"), "-o", target]).await;

        assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
        assert!(stderr(&refused).contains(target), "{}", stderr(&refused));
    }
    assert!(market.settled_payments().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_is_no_destination_by_whatever_name() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    stdout(&market.run(&["get", &gateway.url("/a")]).await);
    let book = market.client_dir().join("client.sqlite");
    let at_home = |name: &str| market.home().join(name);
    std::os::unix::fs::symlink(&book, at_home("link")).unwrap();
    std::os::unix::fs::symlink("link", at_home("link to it")).unwrap();
    std::os::unix::fs::symlink(market.client_dir(), at_home("folder")).unwrap();
    fs::hard_link(&book, at_home("other name")).unwrap();
    let before = fs::read(&book).unwrap();

    for named in [
        book.clone(),
        market.client_dir().join("client.sqlite-wal"),
        market.client_dir().join("new"),
        at_home("link"),
        at_home("link to it"),
        at_home("folder").join("client.sqlite"),
        at_home("other name"),
    ] {
        let refused = get(&market, &gateway.url("/a"), &named).await;
        assert_eq!(refused.status.code(), Some(2), "{}", named.display());
        assert!(stderr(&refused).contains("tokens and purchases"));
    }

    assert_eq!(fs::read(&book).unwrap(), before);
    stdout(&get(&market, &gateway.url("/a"), &at_home("page")).await);
    assert_eq!(market.settled_payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_and_a_link_are_written_through_and_stay_what_they_are() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let (fifo, link, target) = (
        market.home().join("fifo"),
        market.home().join("link"),
        market.home().join("target"),
    );
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    fs::write(&target, "old ".repeat(1_000)).unwrap();
    std::os::unix::fs::symlink("target", &link).unwrap();

    let reader = {
        let fifo = fifo.clone();
        tokio::task::spawn_blocking(move || fs::read_to_string(fifo).unwrap())
    };
    stdout(&get(&market, &gateway.url("/fifo"), &fifo).await);
    stdout(&get(&market, &gateway.url("/link"), &link).await);

    assert!(reader.await.unwrap().contains("/fifo"));
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let seen: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&target).unwrap()).unwrap();
    assert_eq!(seen["path"], "/link");
}

/// Needs the right to make a device; where that is missing, the system's own is used.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_written_through_and_stays_a_device() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let null = market.home().join("null");
    let made = Command::new("mknod")
        .args([null.to_str().unwrap(), "c", "1", "3"])
        .stderr(Stdio::null())
        .status();
    let is_usable = made.is_ok_and(|status| status.success())
        && fs::OpenOptions::new().write(true).open(&null).is_ok();
    if !is_usable {
        println!("skipped: no device can be made and opened here, and the system's is not risked");
        return;
    }

    stdout(&get(&market, &gateway.url("/a"), &null).await);

    assert!(fs::metadata(&null).unwrap().file_type().is_char_device());
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_by_another_name_is_standard_output() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    for name in ["/dev/stdout", "/dev/fd/1", "-"] {
        let piped = market.run(&["get", &gateway.url("/a"), "-o", name]).await;
        assert!(stdout(&piped).contains("\"/a\""), "{name}");
    }

    let log = market.home().join("log");
    fs::write(&log, "before\n").unwrap();
    let appended = fs::OpenOptions::new().append(true).open(&log).unwrap();
    let mut command = market.command(&["get", &gateway.url("/a"), "-o", "/dev/stdout"]);
    command.stdout(appended);
    assert!(command.status().unwrap().success());
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.starts_with("before\n{"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_substitutes_processes_for_output_and_input() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let saved = market.home().join("saved");
    if Command::new("bash").arg("-c").arg("true").status().is_err() {
        println!("skipped: bash is not installed");
        return;
    }
    let script = format!(
        "\"$0\" get '{}' -d @<(echo from a pipe) -o >(cat > '{}'); status=$?; wait $!; exit $status",
        gateway.url("/a"),
        saved.display()
    );
    let mut command = Command::new("bash");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_tollway")])
        .env("TOLLWAY_HOME", market.home());

    stdout(&run(command).await);

    // The shell does not wait for the process it substituted.
    let seen = until_json(&saved).await;
    assert_eq!(seen["body"], "from a pipe\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_has_the_mode_of_the_umask_and_a_replaced_one_keeps_its_own() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let (new, old) = (market.home().join("new"), market.home().join("old"));
    fs::write(&old, "old").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o664)).unwrap();
    for file in [&new, &old] {
        let script = format!(
            "umask 027; exec \"$0\" get '{}' -o '{}'",
            gateway.url("/a"),
            file.display()
        );
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_tollway")])
            .env("TOLLWAY_HOME", market.home());
        stdout(&run(command).await);
    }

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&new), mode(&old)), (0o640, 0o664));
    assert!(fs::read_to_string(&old).unwrap().contains("\"/a\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_an_error_is_printed_and_never_replaces_a_file() {
    let market = Market::open().await;
    let response = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nlost";
    let gateway = market.serve(raw_api(response.to_vec()).await, &[]).await;
    let file = market.home().join("good");
    fs::write(&file, "good").unwrap();

    let printed = market.run(&["get", &gateway.url("/a"), "-o", "-"]).await;
    let saved = get(&market, &gateway.url("/a"), &file).await;
    let as_json = market
        .run(&[
            "get",
            &gateway.url("/a"),
            "--json",
            "-o",
            file.to_str().unwrap(),
        ])
        .await;

    assert_eq!(
        (printed.status.code(), printed.stdout.as_slice()),
        (Some(8), b"lost".as_slice())
    );
    assert_eq!((saved.status.code(), saved.stdout.len()), (Some(8), 0));
    let result: serde_json::Value = serde_json::from_slice(&as_json.stdout).unwrap();
    assert_eq!(
        (result["body"].as_str(), result["output"].is_null()),
        (Some("lost"), true)
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_leaves_the_old_file_as_it_was() {
    let market = Market::open().await;
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    let gateway = market.serve(raw_api(response.to_vec()).await, &[]).await;
    let file = market.home().join("good");
    fs::write(&file, "good").unwrap();

    let broken = get(&market, &gateway.url("/a"), &file).await;

    assert_eq!(broken.status.code(), Some(9), "{}", stderr(&broken));
    assert_eq!(fs::read_to_string(&file).unwrap(), "good");
    let left = drafts(&market);
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_is_read_whole_from_a_pipe_and_from_a_file_without_length() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let fifo = market.home().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let writer = {
        let fifo = fifo.clone();
        tokio::task::spawn_blocking(move || fs::write(fifo, "hello").unwrap())
    };
    let from_fifo = format!("@{}", fifo.display());

    let piped = stdout(
        &market
            .run(&["get", &gateway.url("/a"), "-d", &from_fifo])
            .await,
    );
    writer.await.unwrap();
    assert!(piped.contains(r#""body":"hello""#), "{piped}");

    let mut version = String::new();
    if let Ok(mut file) = File::open("/proc/version") {
        file.read_to_string(&mut version).unwrap();
        let sent = stdout(
            &market
                .run(&["get", &gateway.url("/a"), "-d", "@/proc/version"])
                .await,
        );
        let seen: serde_json::Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(seen["body"], version);
    }
}

/// `/dev/full` fails every write.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_written_is_a_failure_and_a_reader_that_left_is_none() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let url = gateway.url("/a");
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        println!("skipped: there is no /dev/full");
        return;
    };
    for (arguments, code) in [
        (&["get", "--json", url.as_str()][..], 9),
        (&["get", "--json", url.as_str()], 1),
        (&["purchases", "list", "--all"], 1),
        (&["token", "list", "--json"], 1),
        (&["--help"], 1),
    ] {
        let mut command = market.command(arguments);
        command.stdout(full.try_clone().unwrap());
        let unwritten = run(command).await;
        assert_eq!(unwritten.status.code(), Some(code), "{arguments:?}");

        if arguments[0] != "get" {
            let mut command = market.command(arguments);
            command.stdout(without_reader());
            let unread = run(command).await;
            assert!(unread.status.success(), "{}", stderr(&unread));
        }
    }
    assert_eq!(market.settled_payments().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_whose_reader_left_is_undelivered_if_it_was_paid_for() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    for (at, flags) in [&[][..], &["--json"]].into_iter().enumerate() {
        let url = gateway.url(&format!("/{at}"));
        let arguments = [&["get", "--buy-after-refusal", &url], flags].concat();
        fs::remove_dir_all(market.home().join("client")).unwrap_or_default();

        let mut command = market.command(&arguments);
        command.stdout(without_reader());
        let paid = run(command).await;
        assert_eq!(paid.status.code(), Some(9), "{}", stderr(&paid));
        assert!(stderr(&paid).contains("pays nothing"), "{}", stderr(&paid));

        let mut command = market.command(&arguments);
        command.stdout(without_reader());
        let stored = run(command).await;
        assert_eq!(stored.status.code(), Some(1), "{}", stderr(&stored));
        if flags.is_empty() {
            assert_eq!(stderr(&stored), "", "`| head` is an ordinary end");
        } else {
            assert_eq!(failure(&stored)["code"], "output_closed");
        }
    }
    assert_eq!(market.settled_payments().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_output_is_found_before_anything_is_paid() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let (url, file) = (gateway.url("/a"), market.home().join("body"));
    let file = file.to_str().unwrap();
    for (flags, redirected, code) in [
        ("", ">&-", 2),
        ("--json", ">&-", 2),
        ("--json -o body", ">&-", 2),
        ("", "</dev/null >/dev/null", 0),
        ("", "1<>/dev/null", 0),
        ("-o body", ">&-", 0),
    ] {
        let mut command = Command::new("sh");
        let flags = flags.replace("body", file);
        command
            .args([
                "-c",
                &format!("exec \"$0\" get {flags} \"$1\" {redirected}"),
            ])
            .args([env!("CARGO_BIN_EXE_tollway"), &url])
            .env("TOLLWAY_HOME", market.home())
            .env_remove("TOLLWAY_LOG");
        let ended = run(command).await;

        let shown = stderr(&ended);
        assert_eq!(
            ended.status.code(),
            Some(code),
            "{flags} {redirected}: {shown}"
        );
        let bought = usize::from(code == 0);
        assert_eq!(
            market.settled_payments().len(),
            bought,
            "{flags} {redirected}"
        );
        if code == 2 {
            assert!(shown.contains("standard output is closed"), "{shown}");
        }
    }
}

/// A pipe or socket that another process shares may have been set to fail instead of to wait.
#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_does_not_wait_gets_the_whole_body() {
    let market = Market::open().await;
    let mut response = b"HTTP/1.1 200 OK\r\ncontent-length: 8388608\r\n\r\n".to_vec();
    response.resize(response.len() + 8_388_608, b'x');
    let site = format!("http://{}/", raw_api(response).await);
    for arguments in [
        &["get", site.as_str()][..],
        &["get", site.as_str(), "--json"],
    ] {
        let (mut reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let mut command = market.command(arguments);
        command.stdout(OwnedFd::from(writer)).stderr(Stdio::piped());
        let process = command.spawn().unwrap();
        drop(command);
        let read = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            (
                all.iter().filter(|byte| **byte == b'x').count(),
                process.wait_with_output().unwrap(),
            )
        });
        let (len, ended) = read.await.unwrap();
        assert!(ended.status.success(), "{}", stderr(&ended));
        assert_eq!(len, 8_388_608);
    }
}

/// A bind mount is made in a mount namespace, which some systems do not let a user make.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_replaced_is_overwritten() {
    let market = Market::open().await;
    let gateway = market.serve(echo_api().await, &[]).await;
    let (mounted, source) = (market.home().join("mounted"), market.home().join("source"));
    for file in [&mounted, &source] {
        fs::write(file, "old ".repeat(1_000)).unwrap();
    }
    let mount = format!(
        "mount --bind '{}' '{}'",
        source.display(),
        mounted.display()
    );
    let in_namespace = |script: String| {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--map-root-user", "sh", "-c", &script])
            .arg(env!("CARGO_BIN_EXE_tollway"))
            .env("TOLLWAY_HOME", market.home());
        command
    };
    let can_mount = in_namespace(mount.clone()).stderr(Stdio::null()).status();
    if !can_mount.is_ok_and(|status| status.success()) {
        println!("skipped: no file can be mounted here");
        return;
    }

    let url = gateway.url("/a");
    let get = format!(
        "{mount} && exec \"$0\" get '{url}' -o '{}'",
        mounted.display()
    );
    stdout(&run(in_namespace(get)).await);

    let seen: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&source).unwrap()).unwrap();
    assert_eq!(seen["path"], "/a");
    assert!(drafts(&market).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_content_that_was_asked_for_replaces_a_file() {
    let market = Market::open().await;
    let file = market.home().join("good");
    fs::write(&file, "good").unwrap();
    let site = async |head: &str| {
        let response = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
        format!("http://{}/", raw_api(response.into_bytes()).await)
    };

    for (head, code) in [
        ("204 No Content", 0),
        ("205 Reset Content\r\ncontent-length: 0", 0),
        ("304 Not Modified", 0),
        ("300 Multiple Choices\r\ncontent-length: 0", 8),
        ("302 Found\r\ncontent-length: 0", 8),
        ("600 What\r\ncontent-length: 0", 8),
        ("999 What\r\ncontent-length: 0", 8),
    ] {
        let left = get(&market, &site(head).await, &file).await;
        assert_eq!(left.status.code(), Some(code), "{head}: {}", stderr(&left));
        assert_eq!(fs::read_to_string(&file).unwrap(), "good", "{head}");
    }
    let url = site("200 OK\r\ncontent-length: 4").await;
    let target = file.to_str().unwrap();
    let head = market
        .run(&["get", &url, "-X", "HEAD", "-o", target, "--json"])
        .await;
    let head: serde_json::Value = serde_json::from_str(&stdout(&head)).unwrap();
    assert_eq!(
        (head["status"].as_u64(), head["output"].is_null()),
        (Some(200), true)
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "good");

    stdout(&get(&market, &site("200 OK\r\ncontent-length: 0").await, &file).await);
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_keeps_its_good_target_when_a_body_breaks_off() {
    let market = Market::open().await;
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole".to_vec();
    let (half, whole) = (raw_api(half).await, raw_api(whole).await);
    let (target, new) = (market.home().join("target"), market.home().join("new"));
    let (link, dangling) = (market.home().join("link"), market.home().join("dangling"));
    fs::write(&target, "good").unwrap();
    std::os::unix::fs::symlink("./target", &link).unwrap();
    std::os::unix::fs::symlink(&new, &dangling).unwrap();

    for link in [&link, &dangling] {
        let broken = get(&market, &format!("http://{half}/"), link).await;
        assert_eq!(broken.status.code(), Some(4), "{}", stderr(&broken));
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "good");
    assert!(!new.exists() && drafts(&market).is_empty());

    for (link, target) in [(&link, &target), (&dangling, &new)] {
        stdout(&get(&market, &format!("http://{whole}/"), link).await);
        assert_eq!(fs::read_to_string(target).unwrap(), "whole");
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_as_private_as_its_target_and_goes_with_a_hangup() {
    let market = Market::open().await;
    let file = market.home().join("private");
    fs::write(&file, "good").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let url = format!("http://{}/", dripping_api().await);
    let mut command = market.command(&["get", &url, "-o", file.to_str().unwrap()]);
    let mut process = command.stderr(Stdio::null()).spawn().unwrap();

    let draft = loop {
        if let Some(draft) = drafts(&market).pop() {
            break draft;
        }
        tokio::task::yield_now().await;
    };
    let mode = fs::metadata(&draft).unwrap().permissions().mode() & 0o777;
    // A signal before the first byte could come before the handler.
    while fs::metadata(&draft).unwrap().len() == 0 {
        tokio::task::yield_now().await;
    }
    signal(process.id(), "HUP");
    let status = tokio::task::spawn_blocking(move || process.wait().unwrap());

    assert_eq!(status.await.unwrap().code(), Some(130));
    assert_eq!(mode, 0o600, "{mode:o}");
    assert!(drafts(&market).is_empty());
    assert_eq!(fs::read_to_string(&file).unwrap(), "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_file_descriptors_ends_with_an_error() {
    let market = Market::open().await;
    let url = format!("http://{}/", echo_api().await);
    for descriptors in (4..40).step_by(2) {
        let script = format!("ulimit -n {descriptors}; exec \"$0\" get '{url}' -o -");
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_tollway")])
            .env("TOLLWAY_HOME", market.home());
        let ended = run(command).await;
        let text = stderr(&ended);
        assert!(!text.contains("panicked"), "{descriptors}: {text}");
        assert!(
            matches!(ended.status.code(), Some(0..=11)),
            "{descriptors}: {text}"
        );
    }
}

/// The drafts in the directory of the market.
fn drafts(market: &Market) -> Vec<PathBuf> {
    fs::read_dir(market.home())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(".tmp")
        })
        .collect()
}

async fn get(market: &Market, url: &str, target: &Path) -> Output {
    market
        .run(&["get", url, "-o", target.to_str().unwrap()])
        .await
}

/// A pipe whose reader is gone.
fn without_reader() -> std::io::PipeWriter {
    let (_reader, writer) = std::io::pipe().unwrap();
    writer
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

async fn until_json(path: &Path) -> serde_json::Value {
    loop {
        if let Ok(seen) = serde_json::from_slice(&fs::read(path).unwrap_or_default()) {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}
