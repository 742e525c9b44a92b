//! Secrets in every place of the command line and the configuration: none is printed, logged or
//! written to a file, whatever fails.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time;

use tempfile::TempDir;

/// What is looked for. It is in every secret, and long secrets repeat it.
const MARK: &str = "c2VjcmV0";

#[tokio::test(flavor = "multi_thread")]
async fn no_argument_that_may_be_a_secret_is_repeated() {
    let home = tempfile::tempdir().unwrap();
    let mut shown = Vec::new();
    for (at, secret) in secrets().into_iter().enumerate() {
        for (line, flags) in COMMANDS.iter().zip(FLAGS.iter().cycle().skip(at)) {
            let arguments: Vec<String> = line
                .split(' ')
                .map(|word| word.replace("SECRET", &secret))
                .collect();
            shown.extend(check(&home, &arguments, flags).await);
        }
    }
    assert_unwritten(home.path());
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_the_configuration_is_repeated() {
    let home = tempfile::tempdir().unwrap();
    let mut shown = Vec::new();
    let file = home.path().join("config.toml");
    for secret in secrets() {
        for text in [
            "[wallets]\nnode = \"SECRET\"\n",
            "[wallets]\nnode = \"SECRET\" x\n",
            "[wallets]\nnode = \"SECRET\n",
            "[wallets]\nnode = SECRET\n",
            "[wallets]\nnode = { lnd = \"SECRET\", macaroon = \"/m\" }\n",
            "[wallets]\nnode = { lnd = \"h:1\", macaroon = \"SECRET\" }\n",
            "[wallets]\nnode = { lnd = \"h:1\", SECRET = \"/m\" }\n",
            "[wallets]\nnode = { lnd = \"h:1\", \"SECRET\" = 5 }\n",
            "[wallets]\n\"SECRET\" = 5\n",
            "[wallets]\n\"SECRET\" = \"x\"\n",
            "[SECRET]\nwallet = \"node\"\n",
            "[\"SECRET\"]\nwallet = \"node\"\n",
            "\"SECRET\" = 5\n",
            "[get]\nwallet = \"SECRET\"\n",
            "[get]\nwallet = \"node\"\n[serve]\nwallet = \"SECRET\"\n",
            "[get]\nmax_cost = \"SECRET\"\n",
            "[serve]\nupstream_host = \"SECRET/\"\n",
            "[serve]\ntrusted_proxies = [\"SECRET\"]\n",
            "[get]\nmax_cost = SECRET\n",
            "[get]\n\"SECRET\" = \"1sat\"\n",
            "wallets = \"SECRET\"\n",
            "get = \"SECRET\"\n",
            "SECRET",
        ] {
            fs::write(&file, text.replace("SECRET", &secret)).unwrap();
            for line in [
                "get 127.0.0.1:1/a --wallet node",
                "serve --upstream 1 --price 1sat --listen 0",
            ] {
                let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
                shown.extend(check(&home, &arguments, &["--json", "-vvv"]).await);
            }
        }
    }
    fs::remove_file(&file).unwrap();
    assert_unwritten(home.path());
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// A command or option that is added is tried with secrets as well.
#[test]
fn every_command_and_every_option_with_a_value_is_tried() {
    let mut untried = Vec::new();
    let mut open = vec![String::new()];
    while let Some(command) = open.pop() {
        let page = help(&command);
        open.extend(subcommands(&page).map(|name| format!("{command}{name} ")));
        let lines = COMMANDS
            .iter()
            .filter(|line| line.starts_with(&command) && line.contains("SECRET"));
        if lines.clone().next().is_none() {
            untried.push(command.clone());
        }
        for option in options_with_values(&page) {
            let is_tried = |line: &&str| {
                let rest = line.split_once(&format!("{option} "));
                let rest = rest.or_else(|| line.split_once(&format!("{option}=")));
                let value = rest.and_then(|(_, rest)| rest.split(' ').next());
                value.is_some_and(|value| value.contains("SECRET"))
            };
            // Options of every command are tried once.
            let global = COMMANDS.iter().any(|line| line.starts_with(&option));
            if !global && !lines.clone().any(is_tried) {
                untried.push(format!("{command}{option}"));
            }
        }
    }
    assert!(untried.is_empty(), "{untried:#?}");
}

fn help(command: &str) -> String {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_tollway"))
        .args(command.split_whitespace())
        .arg("--help")
        .output();
    let page = String::from_utf8(run.unwrap().stdout).unwrap();
    assert!(page.contains("Usage: tollway"), "{page}");
    page
}

fn subcommands(page: &str) -> impl Iterator<Item = &str> {
    let list = page.split_once("\nCommands:\n").map(|(_, list)| list);
    let lines = list.unwrap_or_default().lines();
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
}

fn options_with_values(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter_map(|line| {
        let (name, _value) = line.trim_start().split_once(" <")?;
        let long = name.split(", ").last()?;
        long.starts_with("--").then(|| long.to_owned())
    })
}

/// Runs a command that fails, and returns what it prints if the mark is in it.
async fn check(home: &TempDir, arguments: &[String], flags: &[&str]) -> Option<String> {
    let run = Command::new(env!("CARGO_BIN_EXE_tollway"))
        .args(arguments)
        .args(flags)
        .env("TOLLWAY_HOME", home.path())
        .env_remove("TOLLWAY_LOG")
        .current_dir(home.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let run = time::timeout(PATIENCE, run)
        .await
        .unwrap_or_else(|_late| panic!("{arguments:?} does not end"))
        .unwrap();
    let printed = [run.stdout, run.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    let is_report = arguments.first().is_some_and(|command| command == "sales");
    assert!(
        is_report || !run.status.success(),
        "{arguments:?}: {printed}"
    );
    let is_shown = printed.to_lowercase().contains(&MARK.to_lowercase());
    is_shown.then(|| format!("{arguments:?} {flags:?}: {printed}"))
}

fn assert_unwritten(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_unwritten(&path);
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains(MARK), "{}", path.display());
        }
    }
}

/// Wallet URIs, right and misspelt, a token with its preimage, header lines, a key, a password.
fn secrets() -> Vec<String> {
    let token = format!("AgEEbHNhdA{}", MARK.repeat(12));
    let hex = "63325672635630".repeat(5);
    vec![
        format!("lndconnect://127.0.0.1:1?macaroon={token}"),
        format!("lndconect://127.0.0.1:1?macaroon={token}"),
        format!("Lndconnect:/127.0.0.1:1?macaroon={token}"),
        format!("{token}:{hex}"),
        format!("{token}!"),
        format!("{token}/{token}+{token}=="),
        format!("L402 {token}:{hex}"),
        format!("Authorization L402 {token}"),
        format!("http://me:{MARK}-password@127.0.0.1:1/"),
        token,
    ]
}

const FLAGS: &[&[&str]] = &[&[], &["--json"], &["-vvv"]];
const PATIENCE: Duration = Duration::from_secs(30);

/// Every command and option that takes a value. None of them succeeds, with whatever value, but
/// for the report of a folder in which nothing was sold.
const COMMANDS: &[&str] = &[
    "SECRET",
    "--SECRET",
    "help SECRET",
    "--config SECRET keys list",
    "demo SECRET",
    "demo --listen SECRET",
    "demo --price SECRET",
    "exit-codes SECRET",
    "get SECRET",
    "get SECRET SECRET",
    "get 127.0.0.1:1/a SECRET",
    "get 127.0.0.1:1/a --SECRET",
    "get 127.0.0.1:1/a --header SECRET",
    "get 127.0.0.1:1/a --request SECRET",
    "get 127.0.0.1:1/a --data @SECRET",
    "get 127.0.0.1:1/a --data SECRET",
    "get 127.0.0.1:1/a --wallet SECRET",
    "get 127.0.0.1:1/a --wallet sandbox:SECRET",
    "get 127.0.0.1:1/a --walet=SECRET",
    "get 127.0.0.1:1/a --max-cost SECRET",
    "get 127.0.0.1:1/a --max-cost=SECRET",
    "get 127.0.0.1:1/a --max-fee SECRET",
    "get 127.0.0.1:1/a --max-per-day SECRET",
    "get 127.0.0.1:1/a --payment-timeout SECRET",
    "get 127.0.0.1:1/a --max-time SECRET",
    "get 127.0.0.1:1/a --ca-cert SECRET",
    "get 127.0.0.1:1/a --output SECRET/x",
    "get 127.0.0.1:1/a --json=SECRET",
    "keys list SECRET",
    "keys list --data-dir SECRET",
    "keys remove SECRET",
    "keys remove 07070707 --data-dir SECRET",
    "keys retire SECRET",
    "keys retire 07070707 --data-dir SECRET",
    "keys rotate --data-dir SECRET",
    "purchases SECRET",
    "purchases list SECRET",
    "purchases resolve SECRET --not-paid",
    "purchases resolve 0707070707070707070707070707070707070707070707070707070707070707 --paid SECRET",
    "purchases resolve 0707070707070707070707070707070707070707070707070707070707070707 --paid SECRET --fee SECRET",
    "sales SECRET",
    "sales --data-dir SECRET",
    "sales --tokens --data-dir SECRET",
    "sales --since SECRET",
    "sales --tokens --last SECRET",
    "sandbox SECRET",
    "sandbox --data-dir /dev/null/SECRET",
    "sandbox --seller-port SECRET",
    "sandbox --buyer-port SECRET",
    "serve SECRET",
    "serve --price 1sat --upstream SECRET --wallet x",
    "serve --upstream 1 --price SECRET",
    "serve --upstream 1 --price 1sat SECRET",
    "serve --upstream 1 --price 1sat --wallet SECRET",
    "serve --upstream 1 --price 1sat --listen SECRET",
    "serve --upstream 1 --price 1sat --admin SECRET",
    "serve --upstream 1 --price 1sat --tls-listen SECRET",
    "serve --upstream 1 --price 1sat --trusted-proxy SECRET",
    "serve --upstream 1 --free --listen 0 --tls-listen 0 --tls-cert SECRET --tls-key SECRET",
    "serve --upstream 1 --price 1sat --valid-for SECRET",
    "serve --upstream 1 --price 1sat --max-uses SECRET",
    "serve --upstream 1 --price 1sat --workers SECRET",
    "serve --upstream 1 --price 1sat --drain-delay SECRET",
    "serve --upstream 1 --price 1sat --drain-timeout SECRET",
    "serve --upstream 1 --price 1sat --service SECRET",
    "serve --upstream 1 --price 1sat --data-dir SECRET",
    "serve --upstream 1 --price 1sat --upstream-timeout SECRET",
    "serve --upstream 1 --price 1sat --challenges-per-minute SECRET",
    "spending SECRET",
    "spending --by SECRET",
    "spending --since SECRET",
    "token SECRET",
    "token attenuate SECRET",
    "token attenuate SECRET path=/v1",
    "token attenuate 07 SECRET",
    "token import SECRET 127.0.0.1:1/a",
    "token import SECRET --url SECRET",
    "token inspect SECRET SECRET",
    "token inspect --SECRET",
    "token list SECRET",
    "token remove SECRET",
    "token revoke SECRET",
    "token revoke --minted-before SECRET",
    "token revoke 07 --data-dir SECRET",
    "token show SECRET",
    "token verify SECRET --key-file SECRET",
    "token verify 07 --key SECRET",
    "token verify 07 --data-dir SECRET",
    "token verify 07 --key-file k --service SECRET",
    "token verify 07 --key-file k --capability SECRET",
    "token verify 07 --key-file k --method SECRET",
    "token verify 07 --key-file k --path SECRET",
    "token verify 07 --key-file k --origin SECRET",
    "token verify 07 --root-key SECRET",
    "token verify 07 --key-file k --at SECRET",
    "token verify 07 --key-file k --ip SECRET",
];
