//! Links between documents: files and headings that exist.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{documents, read, root};

#[test]
fn every_relative_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let broken: Vec<String> = documents()
        .iter()
        .flat_map(|document| broken_links(document))
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn no_link_of_the_guide_leaves_it() {
    let pages = guide_pages();
    let leaving: Vec<String> = pages
        .iter()
        .flat_map(|page| {
            let links = links(&read(page)).into_iter();
            links.filter_map(move |link| {
                let (file, _anchor) = parts(&link)?;
                let target = target_of(page, file);
                let leaves = !target.starts_with(GUIDE);
                leaves.then(|| format!("{}: {link}", page.display()))
            })
        })
        .collect();
    assert!(
        leaving.is_empty(),
        "the book would not have these:\n{}",
        leaving.join("\n")
    );
}

#[test]
fn the_summary_of_the_guide_lists_every_page_once() {
    let summary = Path::new(GUIDE).join("SUMMARY.md");
    let mut listed: Vec<PathBuf> = links(&read(&summary))
        .iter()
        .map(|link| target_of(&summary, link))
        .collect();
    listed.sort();
    let mut pages = guide_pages();
    pages.retain(|page| *page != summary);
    assert!(pages.len() > 5, "the guide is not found");
    assert_eq!(listed, pages);
}

#[test]
fn an_anchor_is_made_as_the_sites_make_it() {
    let text = "# The `tollway get` command\n## A & B, c-d_e\n## Twice\n## Twice\n";
    assert_eq!(
        anchors(text),
        ["the-tollway-get-command", "a--b-c-d_e", "twice", "twice-1"]
    );
}

fn guide_pages() -> Vec<PathBuf> {
    let mut pages = documents();
    pages.retain(|page| page.starts_with(GUIDE));
    pages
}

/// Returns a line for each link of a document that leads nowhere.
fn broken_links(document: &Path) -> Vec<String> {
    let text = read(document);
    let links = links(&text);
    links
        .iter()
        .filter_map(|link| {
            let (file, anchor) = parts(link)?;
            let target = target_of(document, file);
            let shown = document.display();
            if !root().join(&target).exists() {
                return Some(format!("{shown}: {link}: there is no {}", target.display()));
            }
            let anchor = anchor?;
            let is_there = anchors(&read(&target)).iter().any(|known| known == anchor);
            (!is_there).then(|| format!("{shown}: {link}: there is no such heading"))
        })
        .collect()
}

/// Returns the file and the anchor of a relative link. The file is empty for one in its own
/// document. Links of rustdoc, which name items, and those with a scheme are not relative.
fn parts(link: &str) -> Option<(&str, Option<&str>)> {
    let is_item = link.contains("::") || !link.contains(['.', '/', '#']);
    if is_item || link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    Some(match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    })
}

/// Returns the file that a link of `document` leads to, from the root.
fn target_of(document: &Path, file: &str) -> PathBuf {
    if file.is_empty() {
        return document.to_owned();
    }
    let mut target = document.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => {
                target.pop();
            }
            Component::Normal(name) => target.push(name),
            Component::CurDir | Component::Prefix(_) | Component::RootDir => {}
        }
    }
    target
}

fn links(text: &str) -> Vec<String> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        })
        .collect()
}

/// Returns the anchors of the headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut found = Vec::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(part) | Event::Code(part) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&part);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let anchor = slug(&heading.take().unwrap_or_default());
                let count = seen.entry(anchor.clone()).or_default();
                found.push(match *count {
                    0 => anchor,
                    before => format!("{anchor}-{before}"),
                });
                *count = count.saturating_add(1);
            }
            _ => {}
        }
    }
    found
}

fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter => letter.is_alphanumeric().then_some(letter),
    });
    kept.flat_map(char::to_lowercase).collect()
}

const GUIDE: &str = "docs/guide/src";
