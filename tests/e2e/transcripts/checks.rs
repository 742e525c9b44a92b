//! The runner itself: above all, that it fails when a page is not true.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::page::Page;
use super::run::{OnDifference, Run, Sections};

async fn run(text: &str) -> Run {
    let page = Page::parse(text).unwrap();
    page.run(Sections::All, OnDifference::Stop).await
}

async fn failure(text: &str) -> String {
    let run = run(text).await;
    run.failure.unwrap_or_else(|| panic!("it passed: {text}"))
}

async fn passes(text: &str) {
    let run = run(text).await;
    assert_eq!(run.failure, None, "{text}");
}

fn block(content: &str) -> String {
    format!("```console\n{content}```\n")
}

fn apart(content: &str) -> String {
    format!("```console apart\n{content}```\n")
}

#[tokio::test]
async fn a_true_page_passes() {
    passes(&block(
        "$ echo one; echo two >&2\none\ntwo\n$ x=three\n$ echo ${x}\\\n> four\nthreefour\n",
    ))
    .await;
    passes(&apart(
        "$ echo two >&2; echo one; exit_with() { return $1; }; exit_with 3\none\n2> two\n? 3\n",
    ))
    .await;
    passes(&block("$ seq 9\n1\n...\n8\n[..]\n")).await;
}

#[tokio::test]
async fn other_output_fails() {
    for page in [
        block("$ echo one\n"),
        block("$ echo one\ntwo\n"),
        block("$ true\none\n"),
        block("$ seq 3\n1\n2\n"),
        block("$ seq 3\n1\n...\n2\n"),
        block("$ echo one >&2\n"),
    ] {
        assert!(failure(&page).await.contains("line 2: $ "), "{page}");
    }
}

#[tokio::test]
async fn another_exit_code_fails() {
    assert!(
        failure(&block("$ false\n"))
            .await
            .contains("exit code 1, expected 0")
    );
    assert!(
        failure(&block("$ true\n? 1\n"))
            .await
            .contains("exit code 0, expected 1")
    );
    assert!(
        failure(&block("$ (exit 3)\n? 2\n"))
            .await
            .contains("exit code 3, expected 2")
    );
}

#[tokio::test]
async fn output_on_the_other_stream_fails() {
    for page in [
        apart("$ echo one >&2\none\n"),
        apart("$ echo one\n2> one\n"),
    ] {
        let why = failure(&page).await;
        assert!(why.contains("stdout") && why.contains("stderr"), "{why}");
    }
}

#[tokio::test]
async fn a_program_in_the_background_must_start_run_on_and_end_well() {
    let good = "$ bash -c 'trap \"exit 0\" TERM; echo ready; while :; do read -t 9 <> <(:); done' &\nready\n";
    passes(&block(good)).await;
    passes(&block(&good.replace("\nready\n", "\n...\n$ true\n"))).await;
    let why = failure(&block("$ echo ready &\nsteady\n")).await;
    assert!(why.contains("has ended"), "{why}");
    let why = failure(&block("$ { echo ready; sleep 300; } &\nready\n")).await;
    assert!(why.contains("ended with 143"), "{why}");
}

#[tokio::test]
async fn nothing_runs_on_after_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Every process that the page starts inherits the connection and keeps it open.
    let page = block(&format!(
        "$ exec 3<>/dev/tcp/127.0.0.1/{port}\n$ sleep 300 &\n$ false\n"
    ));

    failure(&page).await;

    let (mut connection, _) = listener.accept().await.unwrap();
    let mut rest = Vec::new();
    let closed = connection.read_to_end(&mut rest);
    let closed = timeout(Duration::from_secs(20), closed).await;
    assert!(closed.is_ok(), "a process runs on");
}

#[tokio::test]
async fn the_end_of_the_shell_is_reported() {
    assert!(
        failure(&block("$ exit 0\n"))
            .await
            .contains("the shell has ended")
    );
}

#[tokio::test]
async fn the_upstream_stops_and_starts() {
    passes(&block(
        "$ curl -s 127.0.0.1:3000/report\nreport: all is well\n\
         $ stop-upstream\n$ curl -s 127.0.0.1:3000/report\n? 7\n\
         $ start-upstream\n$ curl -s http://127.0.0.1:3000/report\nreport: all is well\n",
    ))
    .await;
}

#[tokio::test]
async fn files_are_written_below_the_home_of_the_page() {
    let text = "```toml file=~/.config/x.toml\na = \"127.0.0.1:8402\"\n```\n```console\n\
                $ grep -c 8402 ~/.config/x.toml\n1\n$ echo ~ $PWD\n/home/me /home/me\n```\n";
    passes(text).await;
}

#[tokio::test]
async fn a_page_is_rewritten_where_it_is_wrong_and_nowhere_else() {
    let text = "# Page\n```console apart\n$ echo new; echo old; (exit 2)\nold\n$ seq 12\n1\n...\n12\n$ echo a b >&2\n2> [..] c\n```\nend\n";
    let page = Page::parse(text).unwrap();
    let run = page.run(Sections::All, OnDifference::Rewrite).await;
    assert_eq!(
        page.rewritten(&run.changes),
        "# Page\n```console apart\n$ echo new; echo old; (exit 2)\nnew\nold\n? 2\n$ seq 12\n1\n...\n12\n$ echo a b >&2\n2> a b\n```\nend\n"
    );
}

#[tokio::test]
async fn sections_run_alone_after_the_first() {
    let text = "# Page\n## One\n```console\n$ x=1\n```\n## Two\n```console\n$ false\n```\n## Three\n```console\n$ echo $x\n1\n```\n";
    let page = Page::parse(text).unwrap();
    let three = ["Three".to_owned()];
    let run = page.run(Sections::Named(&three), OnDifference::Stop).await;
    assert_eq!(run.failure, None);
    assert_eq!(run.commands, 2);
    let four = ["Four".to_owned()];
    let run = page.run(Sections::Named(&four), OnDifference::Stop).await;
    assert!(run.failure.unwrap().contains("no section `Four`"));
}

#[test]
fn a_block_that_is_not_understood_is_an_error() {
    for text in [
        "```console\noutput first\n```\n",
        "```console\n$ true\n",
        "```console aprat\n$ true\n```\n",
        "```console\n$ true\n? one\n```\n",
    ] {
        assert!(Page::parse(text).is_err(), "{text}");
    }
}
