//! What is wrong with a command line, in one line.
//!
//! clap's messages repeat what was typed, which may be a wallet's URI or a token. These are made
//! of the parts of its error: a value is repeated only if it is too short and too plain to be a
//! secret.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _};

use super::Cli;
use crate::input;

/// Returns what is wrong with a command line, and what to write instead.
pub(crate) fn message(error: &clap::Error) -> String {
    let place = Place::of(error);
    let argument = texts(error, ContextKind::InvalidArg);
    let name = argument.first().map(String::as_str).unwrap_or_default();
    let option = name.split([' ', '=']).next().unwrap_or_default();
    let value = texts(error, ContextKind::InvalidValue).concat();
    match error.kind() {
        ErrorKind::ArgumentConflict => conflict(option, &texts(error, ContextKind::PriorArg)),
        ErrorKind::InvalidSubcommand => {
            let typed = texts(error, ContextKind::InvalidSubcommand).concat();
            place.unknown_command(&typed)
        }
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        ErrorKind::InvalidValue => format!("{name} needs a value"),
        ErrorKind::MissingRequiredArgument => {
            let verb = if argument.len() > 1 { "are" } else { "is" };
            let missing = argument.join(" and ");
            format!("{missing} {verb} missing; {}", place.help())
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "write a command: --help lists them".to_owned()
        }
        ErrorKind::TooManyValues => format!("{option} takes no value"),
        ErrorKind::UnknownArgument if name.starts_with('-') => place.unknown_option(name),
        ErrorKind::UnknownArgument => place.unexpected(name),
        ErrorKind::ValueValidation => {
            let reason = error.source().map(ToString::to_string).unwrap_or_default();
            let shown = input::shown(&value);
            // What libraries report repeats the value as it is.
            let reason = if shown.contains(&value) {
                reason
            } else {
                reason
                    .replace(&format!("`{value}`"), &shown)
                    .replace(&value, &shown)
            };
            format!("{option}: {reason}")
        }
        // Texts of clap itself, without values.
        kind @ (ErrorKind::NoEquals
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::Io
        | ErrorKind::Format
        | _) => format!("{kind}; {}", place.help()),
    }
}

fn conflict(option: &str, others: &[String]) -> String {
    let first = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let others: Vec<String> = others.iter().map(|other| first(other)).collect();
    if others.iter().any(|other| other == option) || others.is_empty() {
        return format!("{option} is given twice: write it once");
    }
    format!("{option} and {} exclude each other", others.join(", "))
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(_) | None => Vec::new(),
    }
}

/// The command that a command line names, as far as it could be read.
struct Place {
    /// `tollway token list`
    words: String,
    command: Command,
}

impl Place {
    /// Reads the command from the usage that clap adds to its errors.
    fn of(error: &clap::Error) -> Self {
        let mut command = Cli::command();
        command.build();
        let usage = match error.get(ContextKind::Usage) {
            Some(ContextValue::StyledStr(usage)) => usage.to_string(),
            Some(_) | None => String::new(),
        };
        let mut words = "tollway".to_owned();
        for word in usage
            .split_whitespace()
            .skip_while(|word| *word != "tollway")
            .skip(1)
        {
            let Some(below) = command.find_subcommand(word).cloned() else {
                break;
            };
            words = format!("{words} {word}");
            command = below;
        }
        Self { words, command }
    }

    fn help(&self) -> String {
        format!("see {} --help", self.words)
    }

    fn unknown_command(&self, typed: &str) -> String {
        let names: Vec<&str> = self
            .command
            .get_subcommands()
            .map(Command::get_name)
            .collect();
        let lower = typed.to_ascii_lowercase();
        let meant = MEANT_COMMANDS.iter().find(|(typed, meant)| {
            typed.split(' ').any(|typed| typed == lower)
                && names.contains(&meant.split(' ').next().unwrap_or_default())
        });
        let meant = meant.map(|(_typed, meant)| (*meant).to_owned());
        let meant = meant
            .or_else(|| input::nearest(&lower, &names).map(str::to_owned))
            .map(|meant| format!("{} {meant}", self.words));
        let is_url = self.words == "tollway" && typed.contains([':', '/', '.']);
        let advice = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if is_url => "a URL is fetched with `tollway get URL`".to_owned(),
            None => format!("{} lists the commands", self.help()),
        };
        format!("no command {}: {advice}", input::shown(typed))
    }

    fn unknown_option(&self, typed: &str) -> String {
        let meant = MEANT_OPTIONS.iter().find(|(place, options, _advice)| {
            *place == self.words && options.split(' ').any(|option| option == typed)
        });
        let options = self.command.get_arguments();
        let options: Vec<&str> = options.filter_map(clap::Arg::get_long).collect();
        let name = typed.trim_start_matches('-');
        let advice = match meant {
            Some((_place, _options, advice)) => (*advice).to_owned(),
            None if name.starts_with(|letter: char| letter.is_ascii_digit()) => {
                "no value begins with a minus".to_owned()
            }
            None => match input::nearest(name, &options).filter(|_| name.len() > 1) {
                Some(nearest) => format!("did you mean --{nearest}?"),
                None => self.help(),
            },
        };
        format!("no option {}: {advice}", input::shown(typed))
    }

    /// Returns the message for a value to which no option belongs.
    fn unexpected(&self, typed: &str) -> String {
        let advice = if typed.starts_with("lndconnect") {
            "a wallet is given with --wallet URI".to_owned()
        } else {
            format!("put quotes around a value with blanks, or {}", self.help())
        };
        format!("unexpected argument {}: {advice}", input::shown(typed))
    }
}

/// Commands that people type, and the command that does it, if there is one of that name.
const MEANT_COMMANDS: &[(&str, &str)] = &[
    ("server start run sell gateway proxy", "serve"),
    ("fetch buy pay curl wget request", "get"),
    ("balance spend spent history wallet costs", "spending"),
    (
        "earnings earned revenue income ledger stats report",
        "sales",
    ),
    ("codes errors error exit", "exit-codes"),
    ("tutorial example try", "demo"),
    ("delete rm del", "remove"),
    ("ls all", "list"),
    ("narrow restrict limit", "attenuate"),
    ("check", "verify"),
    ("decode explain parse", "inspect"),
    ("new create generate", "rotate"),
];

/// Options of other programs, and what does the same here.
const MEANT_OPTIONS: &[(&str, &str, &str)] = &[
    (
        "tollway get",
        "-L --location",
        "redirects are followed without it",
    ),
    (
        "tollway get",
        "-s --silent",
        "-q prints nothing but the body",
    ),
    (
        "tollway get",
        "-k --insecure",
        "--ca-cert FILE trusts a certificate",
    ),
    (
        "tollway get",
        "-u --user",
        "write -H 'Authorization: Basic …'",
    ),
    ("tollway get", "-A --user-agent", "write -H 'User-Agent: …'"),
    (
        "tollway get",
        "-m --timeout --connect-timeout",
        "--max-time limits it",
    ),
    (
        "tollway get",
        "-O --remote-name",
        "-o FILE writes to a file",
    ),
    (
        "tollway get",
        "-f --fail",
        "an error status is a failure without it",
    ),
    (
        "tollway get",
        "-i -I --include --head",
        "--json shows the status",
    ),
    (
        "tollway get",
        "--max-price --price --max-amount",
        "--max-cost limits the price",
    ),
    (
        "tollway serve",
        "--port -p --bind --host",
        "--listen is the address, or a port",
    ),
    (
        "tollway serve",
        "--tls --https --ssl",
        "--tls-listen, with --tls-cert and --tls-key",
    ),
    (
        "tollway serve",
        "--macaroon --lnd --node",
        "--wallet lndconnect://…, or a name from [wallets]",
    ),
    (
        "tollway serve",
        "--uses --requests",
        "--max-uses bounds what a token is good for",
    ),
    (
        "tollway serve",
        "--expiry --expires --ttl --validity",
        "--valid-for bounds what a token is good for",
    ),
    (
        "tollway serve",
        "--metrics --metrics-listen",
        "--admin serves them",
    ),
];

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn message_of(line: &str) -> String {
        message(&Cli::try_parse_from(line.split(' ')).unwrap_err())
    }

    #[test]
    fn a_message_names_what_was_typed_and_what_to_write() {
        for (line, expected) in [
            (
                "tollway server",
                "no command `server`: did you mean `tollway serve`?",
            ),
            (
                "tollway tokens",
                "no command `tokens`: did you mean `tollway token`?",
            ),
            (
                "tollway token ls",
                "no command `ls`: did you mean `tollway token list`?",
            ),
            (
                "tollway localhost:24501/p",
                "no command `localhost:24501/p`: a URL is fetched with `tollway get URL`",
            ),
            (
                "tollway get u --walet=x",
                "no option `--walet`: did you mean --wallet?",
            ),
            (
                "tollway get u --max-price 5",
                "no option `--max-price`: --max-cost limits the price",
            ),
            (
                "tollway get -L u",
                "no option `-L`: redirects are followed without it",
            ),
            (
                "tollway get u --max-cost -10sat",
                "no option `-1`: no value begins with a minus",
            ),
            (
                "tollway get u v",
                "unexpected argument `v`: put quotes around a value with blanks, or see tollway get --help",
            ),
            ("tollway get", "<URL> is missing; see tollway get --help"),
            (
                "tollway serve --upstream 1",
                "--price <AMOUNT> is missing; see tollway serve --help",
            ),
            (
                "tollway get u --max-cost",
                "--max-cost <AMOUNT> needs a value",
            ),
            (
                "tollway get u --max-cost 10",
                "--max-cost: `10` has no unit: write 10sat",
            ),
            ("tollway get u --json=yes", "--json takes no value"),
            (
                "tollway serve --upstream 1 --price 1sat --upstream 2",
                "--upstream is given twice: write it once",
            ),
            (
                "tollway serve --upstream 1 --price 1sat --free",
                "--price and --free exclude each other",
            ),
            ("tollway token", "write a command: --help lists them"),
            (
                "tollway serve --upstream 1 --price 1sat --max-uses 0",
                "--max-uses: `0` is not a whole number from 1",
            ),
        ] {
            assert_eq!(message_of(line), expected, "{line}");
        }
    }

    #[test]
    fn no_message_repeats_what_may_be_a_secret() {
        let token = "AgEEbHNhdAJCc2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
        let uri = "lndconnect://h:1?macaroon=c2VjcmV0";
        for secret in [token, uri, "me:hunter2-c2VjcmV0@shop"] {
            for line in [
                "tollway SECRET",
                "tollway token SECRET",
                "tollway get u SECRET",
                "tollway get u --SECRET",
                "tollway get u --max-cost SECRET",
                "tollway get u --max-time SECRET",
                "tollway get u -X SECRET",
                "tollway get u --json=SECRET",
                "tollway serve --price 1sat --upstream SECRET",
                "tollway serve --upstream 1 --price SECRET",
                "tollway serve --upstream 1 --price 1sat --listen SECRET",
                "tollway serve --upstream 1 --price 1sat --workers SECRET",
                "tollway sandbox --seller-port SECRET",
                "tollway keys remove SECRET",
                "tollway token revoke --minted-before SECRET",
                "tollway token verify t --key k --ip SECRET",
            ] {
                let line = line.replace("SECRET", secret);
                let message = message_of(&line);
                assert!(!message.contains("c2VjcmV0"), "{line}: {message}");
                assert!(!message.is_empty() && !message.contains('\n'), "{message}");
            }
        }
    }

    #[test]
    fn what_is_suggested_exists() {
        let commands = super::super::pages::commands();
        let place_of = |words: &str| {
            let mut commands = commands.iter();
            commands.find(|(path, _command)| path.join(" ") == words)
        };
        for (place, _options, advice) in MEANT_OPTIONS {
            let (_path, command) = place_of(place).unwrap();
            let mut options = command.get_arguments().filter_map(clap::Arg::get_long);
            let named = advice
                .split([' ', ','])
                .find_map(|word| word.strip_prefix("--"));
            assert!(
                named.is_none_or(|named| options.any(|option| option == named)),
                "{advice}"
            );
        }
    }
}
