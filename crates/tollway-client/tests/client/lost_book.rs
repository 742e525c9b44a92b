//! A book that is missing, emptied or exchanged is an error; a first start is none.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use l402::PaymentHash;
use tollway_client::book::BookError;
use tollway_client::{Book, Error, StorageError};

use crate::{World, text};

#[tokio::test]
async fn a_removed_or_emptied_book_is_an_error_that_names_both_files_and_nothing_is_bought() {
    for lose in [remove, remove_with_log, empty, empty_with_log] {
        let world = World::new().await;
        buy_once(&world).await;
        lose(world.path());

        let lost = world.client().send(world.get("/b")).await.unwrap_err();

        assert!(
            matches!(
                lost,
                Error::Storage(StorageError::Book(BookError::Lost { .. }))
            ),
            "{lost}"
        );
        for file in [FILE, MARKER] {
            let file = world.path().join(file);
            assert!(
                lost.to_string().contains(&*file.to_string_lossy()),
                "{lost}"
            );
        }
        assert_eq!(world.wallet.asked().len(), 1);
        let again = world.client().book().purchases();
        assert!(matches!(again, Err(BookError::Lost { .. })), "{again:?}");
    }
}

#[tokio::test]
async fn a_book_whose_loss_is_accepted_starts_empty() {
    let world = World::new().await;
    buy_once(&world).await;
    remove_with_log(world.path());
    fs::remove_file(world.path().join(MARKER)).unwrap();

    assert_eq!(
        text(world.client().send(world.get("/b")).await).await,
        "paid /b"
    );

    assert_eq!(world.client().book().purchases().unwrap().len(), 1);
    assert!(world.path().join(MARKER).exists());
}

#[tokio::test]
async fn a_book_that_was_exchanged_is_an_error_until_it_is_accepted() {
    let (world, other) = (World::new().await, World::new().await);
    buy_once(&world).await;
    buy_once(&other).await;
    remove_with_log(world.path());
    fs::copy(other.path().join(FILE), world.path().join(FILE)).unwrap();

    let replaced = world.client().book().purchases().unwrap_err();

    assert!(matches!(replaced, BookError::Replaced { .. }), "{replaced}");
    assert!(replaced.to_string().contains(MARKER), "{replaced}");
    fs::remove_file(world.path().join(MARKER)).unwrap();
    assert_eq!(world.client().book().purchases().unwrap().len(), 1);
}

#[tokio::test]
async fn reading_where_there_is_no_book_creates_nothing() {
    let world = World::new().await;

    assert!(world.client().book().purchases().unwrap().is_empty());
    assert_eq!(
        text(world.client().send(world.get("/free")).await).await,
        "free"
    );

    assert_eq!(fs::read_dir(world.path()).unwrap().count(), 0);
}

/// Each book of a round is as far from the others as those of two processes.
#[test]
fn books_that_start_at_once_are_one_book() {
    for _round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(6);
        std::thread::scope(|scope| {
            for number in 0..6 {
                let (barrier, dir) = (&barrier, dir.path());
                scope.spawn(move || {
                    let book = Book::open(dir);
                    barrier.wait();
                    if number % 2 == 0 {
                        assert!(book.purchases().unwrap().is_empty());
                    }
                    write(&book);
                    assert!(Book::open(dir).purchases().unwrap().is_empty());
                });
            }
        });
    }
}

#[tokio::test]
async fn a_process_that_dies_before_it_marks_the_book_leaves_one_that_the_next_marks() {
    let world = World::new().await;
    buy_once(&world).await;
    let marker = world.path().join(MARKER);
    let marked = fs::read(&marker).unwrap();
    fs::remove_file(&marker).unwrap();
    fs::write(world.path().join("client.id.new"), "half a li").unwrap();

    assert_eq!(world.client().book().purchases().unwrap().len(), 1);
    write(world.client().book());

    assert_eq!(fs::read(&marker).unwrap(), marked);
}

#[test]
fn a_process_that_dies_while_it_creates_the_book_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), "").unwrap();
    set_private(&dir.path().join(FILE));

    assert!(Book::open(dir.path()).purchases().unwrap().is_empty());
    write(&Book::open(dir.path()));
}

#[tokio::test]
async fn a_book_is_marked_before_the_first_purchase_is_committed() {
    let world = World::new().await;
    // A directory in the marker's place: it cannot be written.
    fs::create_dir(world.path().join("client.id.new")).unwrap();

    let refused = world.client().send(world.get("/a")).await.unwrap_err();

    assert!(matches!(refused, Error::Storage(_)), "{refused}");
    assert!(refused.to_string().contains(MARKER), "{refused}");
    assert!(world.wallet.asked().is_empty());
}

#[tokio::test]
async fn a_moved_folder_is_the_same_book() {
    let world = World::new().await;
    buy_once(&world).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(world.path(), &moved).unwrap();

    let book = Book::open(&moved);

    assert_eq!(book.purchases().unwrap().len(), 1);
    write(&book);
}

/// Files of a version that did not mark its books.
#[tokio::test]
async fn a_book_of_an_earlier_version_is_marked_by_its_first_write() {
    let world = World::new().await;
    buy_once(&world).await;
    let file = rusqlite::Connection::open(world.path().join(FILE)).unwrap();
    file.execute_batch(
        "ALTER TABLE purchases DROP COLUMN requests; \
         ALTER TABLE purchases ADD COLUMN absent_at INTEGER; \
         ALTER TABLE refusals DROP COLUMN reason; DROP INDEX refusals_by_origin; \
         DROP TABLE acceptances; ALTER TABLE credentials DROP COLUMN lost; \
         ALTER TABLE credentials DROP COLUMN delivered; \
         ALTER TABLE credentials DROP COLUMN failed; \
         DROP TABLE presentations; DROP TABLE brakes; \
         CREATE TABLE brakes (origin TEXT NOT NULL, path TEXT NOT NULL, \
          payment_hash BLOB NOT NULL, paid_msat INTEGER NOT NULL, until INTEGER NOT NULL, \
          PRIMARY KEY (origin, path)) STRICT, WITHOUT ROWID; \
         DROP TABLE book; PRAGMA user_version = 1",
    )
    .unwrap();
    drop(file);
    fs::remove_file(world.path().join(MARKER)).unwrap();

    assert_eq!(
        text(world.client().send(world.get("/a")).await).await,
        "paid /a"
    );
    write(world.client().book());

    assert_eq!(world.wallet.asked().len(), 1);
    assert!(world.path().join(MARKER).exists());
}

/// Buys `/a`, and ends the client.
async fn buy_once(world: &World) {
    let client = world.client();
    text(client.send(world.get("/a")).await).await;
    client.finish().await;
}

/// A transaction that changes nothing.
fn write(book: &Book) {
    assert!(!book.forget(&PaymentHash::new([1; 32])).unwrap());
}

fn set_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn remove(dir: &Path) {
    fs::remove_file(dir.join(FILE)).unwrap();
}

fn remove_with_log(dir: &Path) {
    remove(dir);
    for log in ["client.sqlite-wal", "client.sqlite-shm"] {
        // Absent once the last connection is closed.
        let _ = fs::remove_file(dir.join(log));
    }
}

fn empty(dir: &Path) {
    let file = fs::OpenOptions::new().write(true).open(dir.join(FILE));
    file.unwrap().set_len(0).unwrap();
}

/// A database whose content was in its log, and the log is gone.
fn empty_with_log(dir: &Path) {
    remove_with_log(dir);
    let new = rusqlite::Connection::open(dir.join(FILE)).unwrap();
    new.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(new);
    set_private(&dir.join(FILE));
}

const FILE: &str = "client.sqlite";
const MARKER: &str = "client.id";
