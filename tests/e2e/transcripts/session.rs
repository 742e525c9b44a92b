//! One shell for one page: commands in the foreground and in the background, with their output.
//!
//! The shell and all it starts are one process group, which is killed when the session is
//! dropped, and by the shell itself when this process is gone. Every wait is bounded.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::matcher;
use super::page::Expected;

/// Whether standard error comes with standard output, as a terminal shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Streams {
    Apart,
    Merged,
}

/// What a command has printed. Standard error is empty when the streams are merged.
#[derive(Clone, Debug, Default)]
pub struct Printed {
    pub stdout: String,
    pub stderr: String,
    /// 0 while it runs.
    pub code: i32,
}

#[derive(Debug)]
pub struct Session {
    shell: Child,
    group: u32,
    input: ChildStdin,
    status: Lines<BufReader<ChildStdout>>,
    /// Where its pipes and scripts are.
    folder: PathBuf,
    commands: usize,
    background: Vec<Background>,
}

#[derive(Debug)]
struct Background {
    command: String,
    process: u32,
}

impl Session {
    /// Starts bash with this environment, and no other.
    pub async fn start(folder: &Path, home: &Path, environment: &[(&str, String)]) -> Self {
        let mut shell = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(home)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("bash is needed to run pages");
        let mut input = shell.stdin.take().unwrap();
        input.write_all(AT_THE_END).await.unwrap();
        Self {
            group: shell.id().unwrap(),
            input,
            status: BufReader::new(shell.stdout.take().unwrap()).lines(),
            shell,
            folder: folder.to_owned(),
            commands: 0,
            background: Vec::new(),
        }
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// The command does not end in time, or it ends the shell.
    pub async fn run(&mut self, command: &str, streams: Streams) -> Result<Printed, String> {
        let mut captures = Captures::open(&self.folder, self.commands, streams);
        let ended = timeout(LONGEST, self.execute(command, &mut captures)).await;
        let Ok(status) = ended else {
            return Err(captures.too_slow("does not end"));
        };
        captures.drain();
        Ok(Printed {
            code: status?.code,
            ..captures.printed()
        })
    }

    /// Starts a command that ends in `&`, and waits until it has printed what is expected.
    ///
    /// # Errors
    ///
    /// It does not print it in time, or ends.
    pub async fn start_in_background(
        &mut self,
        command: &str,
        streams: Streams,
        expected: &Expected,
        translate: &(dyn Fn(&str) -> String + Sync),
    ) -> Result<Printed, String> {
        let mut captures = Captures::open(&self.folder, self.commands, streams);
        let started = timeout(LONGEST, self.execute(command, &mut captures)).await;
        let Ok(status) = started else {
            return Err(captures.too_slow("does not start in the background"));
        };
        self.background.push(Background {
            command: command.to_owned(),
            process: status?.process.ok_or("no process was started")?,
        });
        captures.end_with_writers();
        match timeout(LONGEST, captures.until_ready(expected, translate)).await {
            Ok(Ok(())) => {
                let printed = captures.printed();
                tokio::spawn(captures.discard());
                Ok(printed)
            }
            Ok(Err(Ended)) => Err(captures.too_slow("has ended instead of running on")),
            Err(_elapsed) => {
                let printed = captures.printed();
                tokio::spawn(captures.discard());
                Ok(printed)
            }
        }
    }

    /// Ends what runs in the background, the latest first.
    ///
    /// # Errors
    ///
    /// One of them does not end in time, or not with 0.
    pub async fn stop(mut self) -> Result<(), String> {
        while let Some(Background { command, process }) = self.background.pop() {
            let end = format!("kill -TERM {process} 2>/dev/null; wait {process}");
            let mut captures = Captures::open(&self.folder, self.commands, Streams::Merged);
            let ended = timeout(LONGEST, self.execute(&end, &mut captures)).await;
            let Ok(status) = ended else {
                return Err(format!(
                    "`{command}` does not end within {LONGEST:?} of SIGTERM"
                ));
            };
            let code = status?.code;
            if code != 0 {
                return Err(format!("`{command}` ended with {code} after SIGTERM"));
            }
        }
        Ok(())
    }

    async fn execute(&mut self, command: &str, captures: &mut Captures) -> Result<Status, String> {
        let script = self.folder.join(format!("{}.sh", self.commands));
        self.commands += 1;
        std::fs::write(&script, command).unwrap();
        let line = format!(
            "{{ eval \"$(<'{}')\"; }} </dev/null >'{}' 2>{}; echo \"$? $!\"\n",
            script.display(),
            captures.stdout.path.display(),
            captures.stderr.as_ref().map_or_else(
                || "&1".to_owned(),
                |stderr| format!("'{}'", stderr.path.display())
            ),
        );
        let ended = "the shell has ended; `exit` ends the page's shell";
        if self.input.write_all(line.as_bytes()).await.is_err() {
            return Err(ended.to_owned());
        }
        loop {
            tokio::select! {
                status = self.status.next_line() => {
                    let status = status.ok().flatten().ok_or(ended)?;
                    return Ok(Status::parse(&status));
                }
                _ended = captures.fill() => {}
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Gone already when nothing ran in the background.
        let _gone = std::process::Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.group)])
            .stderr(Stdio::null())
            .status();
        let _gone = self.shell.start_kill();
    }
}

/// What the shell reports after a command.
struct Status {
    code: i32,
    /// The process that was put in the background last.
    process: Option<u32>,
}

impl Status {
    fn parse(line: &str) -> Self {
        let (code, process) = line.split_once(' ').unwrap();
        Self {
            code: code.parse().unwrap(),
            process: process.parse().ok(),
        }
    }
}

/// The output of one command.
struct Captures {
    stdout: Capture,
    stderr: Option<Capture>,
}

/// All writers of both streams are gone.
struct Ended;

impl Captures {
    fn open(folder: &Path, number: usize, streams: Streams) -> Self {
        Self {
            stdout: Capture::open(folder.join(format!("{number}.out"))),
            stderr: (streams == Streams::Apart)
                .then(|| Capture::open(folder.join(format!("{number}.err")))),
        }
    }

    /// Waits for more output.
    async fn fill(&mut self) -> Result<(), Ended> {
        match &mut self.stderr {
            Some(stderr) if self.stdout.is_open && stderr.is_open => tokio::select! {
                () = self.stdout.fill() => {}
                () = stderr.fill() => {}
            },
            Some(stderr) if stderr.is_open => stderr.fill().await,
            _ if self.stdout.is_open => self.stdout.fill().await,
            _ => return Err(Ended),
        }
        Ok(())
    }

    async fn until_ready(
        &mut self,
        expected: &Expected,
        translate: &(dyn Fn(&str) -> String + Sync),
    ) -> Result<(), Ended> {
        loop {
            let printed = self.printed();
            if matcher::begins_with(&translate(&printed.stdout), &expected.stdout)
                && matcher::begins_with(&translate(&printed.stderr), &expected.stderr)
            {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Reads what a command that has ended left in the pipes.
    fn drain(&mut self) {
        self.stdout.drain();
        if let Some(stderr) = &mut self.stderr {
            stderr.drain();
        }
    }

    /// From here on the streams end when no process has them open.
    fn end_with_writers(&mut self) {
        self.stdout.writer = None;
        if let Some(stderr) = &mut self.stderr {
            stderr.writer = None;
        }
    }

    /// Reads on, so that the command can write.
    async fn discard(mut self) {
        while self.fill().await.is_ok() {
            self.stdout.bytes.clear();
            if let Some(stderr) = &mut self.stderr {
                stderr.bytes.clear();
            }
        }
    }

    fn printed(&self) -> Printed {
        Printed {
            stdout: self.stdout.text(),
            stderr: self.stderr.as_ref().map_or_else(String::new, Capture::text),
            code: 0,
        }
    }

    fn too_slow(&mut self, what: &str) -> String {
        self.drain();
        let Printed { stdout, stderr, .. } = self.printed();
        format!("the command {what} (waited at most {LONGEST:?}); it printed:\n{stdout}{stderr}")
    }
}

/// A pipe that a command writes to.
struct Capture {
    path: PathBuf,
    receiver: pipe::Receiver,
    /// Keeps the stream from ending before the command has opened it.
    writer: Option<File>,
    bytes: Vec<u8>,
    is_open: bool,
}

impl Capture {
    fn open(path: PathBuf) -> Self {
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let receiver = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        Self {
            path,
            receiver,
            writer: Some(writer),
            bytes: Vec::new(),
            is_open: true,
        }
    }

    async fn fill(&mut self) {
        self.receiver.readable().await.unwrap();
        self.read();
    }

    fn drain(&mut self) {
        while self.is_open && self.read() {}
    }

    /// Returns whether there was something to read.
    fn read(&mut self) -> bool {
        let mut chunk = [0; 8_192];
        match self.receiver.try_read(&mut chunk) {
            Ok(0) => {
                self.is_open = false;
                false
            }
            Ok(len) => {
                self.bytes.extend_from_slice(&chunk[..len]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("{}: {error}", self.path.display()),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// The shell ends when its input does: also when this process was killed.
const AT_THE_END: &[u8] = b"trap 'kill -KILL 0' EXIT\n";
/// How long one command may take.
const LONGEST: Duration = Duration::from_secs(20);
