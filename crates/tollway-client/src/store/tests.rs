use super::*;

#[test]
fn a_credential_comes_back_as_it_was_put() {
    let (_dir, store) = store();
    let token = token(1, "/a/b", 10);

    store.put(&token).unwrap();

    let tried = store.candidates(&token.origin, "/a/b").unwrap();
    assert_eq!(tried, store.all().unwrap().tokens);
    assert_eq!(tried, [token]);
}

#[test]
fn the_longest_path_prefix_comes_first_then_the_newest() {
    let (_dir, store) = store();
    for token in [
        token(1, "/", 50),
        token(2, "/a", 40),
        token(3, "/a/b", 30),
        token(4, "/ab", 60),
        token(5, "/a/b", 20),
    ] {
        store.put(&token).unwrap();
    }

    assert_eq!(tried(&store, "/a/b/c"), [3, 5, 2, 1, 4]);
    assert_eq!(tried(&store, "/z"), [1, 4, 2, 3, 5]);
}

#[test]
fn a_credential_is_never_offered_to_another_origin() {
    let (_dir, store) = store();
    store.put(&token(1, "/", 10)).unwrap();

    for other in [
        "http://api.localhost:8402",
        "https://api.localhost:8403",
        "https://api.localhost",
        "https://localhost:8402",
        // Different origins may share a directory; the file decides.
        "https://api-localhost:8402",
    ] {
        let other: Origin = other.parse().unwrap();
        assert_eq!(store.candidates(&other, "/").unwrap(), [], "{other}");
    }
}

#[test]
fn refused_elsewhere_it_is_still_tried_where_it_works() {
    let (_dir, store) = store();
    store.put(&token(1, "/a", 10)).unwrap();

    store
        .refuse(&origin(), &token(1, "/a", 10).payment_hash(), "/b")
        .unwrap();

    assert_eq!(tried(&store, "/b"), [0; 0]);
    assert_eq!(tried(&store, "/a"), [1]);
    assert_eq!(tried(&store, "/c"), [1]);
}

#[test]
fn refused_where_it_was_bought_it_is_set_aside_and_not_lost() {
    let (_dir, store) = store();
    let bought = token(1, "/a", 10);
    store.put(&bought).unwrap();

    store
        .refuse(&origin(), &bought.payment_hash(), "/a")
        .unwrap();
    store.put(&bought).unwrap();

    assert_eq!(tried(&store, "/a/b"), [0; 0]);
    let all = store.all().unwrap().tokens;
    assert_eq!(all.len(), 1, "putting it again does not bring it back");
    assert_eq!(all[0].standing, Standing::Refused);
    assert_eq!(all[0].preimage, bought.preimage);
    assert!(store.holds(&origin(), &bought.payment_hash()));
}

#[test]
fn a_forgiven_credential_is_tried_again() {
    let (_dir, store) = store();
    let hash = token(1, "/a", 10).payment_hash();
    store.put(&token(1, "/a", 10)).unwrap();

    for path in ["/b", "/a"] {
        store.refuse(&origin(), &hash, path).unwrap();
        store.forgive(&origin(), &hash).unwrap();
        assert_eq!(tried(&store, path), [1]);
    }
    assert_eq!(store.all().unwrap().tokens.len(), 1);
}

#[test]
fn a_refusal_never_touches_the_file_that_was_paid_for() {
    let (_dir, store) = store();
    let hash = token(1, "/a", 10).payment_hash();
    store.put(&token(1, "/a", 10)).unwrap();
    let before = fs::read(store.usable_path(&origin(), &hash)).unwrap();

    store.refuse(&origin(), &hash, "/b").unwrap();
    store.refuse(&origin(), &hash, "/a").unwrap();

    assert_eq!(
        fs::read(store.refused_path(&origin(), &hash)).unwrap(),
        before
    );
}

#[test]
fn one_refused_nearly_everywhere_is_tried_near_its_own_path_only() {
    let (_dir, store) = store();
    let hash = token(1, "/a", 10).payment_hash();
    store.put(&token(1, "/a", 10)).unwrap();

    for page in 0..=REFUSED_PATHS_MAX {
        store.refuse(&origin(), &hash, &format!("/{page}")).unwrap();
    }

    assert_eq!(tried(&store, "/new"), [0; 0]);
    assert_eq!(tried(&store, "/a/x"), [1]);
}

#[test]
fn a_damaged_file_is_named_and_keeps_no_other_from_use() {
    let (_dir, store) = store();
    for bought in [token(1, "/", 10), token(2, "/", 20)] {
        store.put(&bought).unwrap();
    }
    let path = store.usable_path(&origin(), &token(1, "/", 10).payment_hash());
    let text = fs::read_to_string(&path).unwrap();
    let secret = token(1, "/", 10).preimage.expose_hex();

    for damaged in [
        text.replace("0101", "0102"),
        text.replace("\"version\": 1", "\"version\": 2"),
        text.replace("L402", "Basic"),
        text.replace("price_msat", "price_sat"),
        text[..text.len() / 2].to_owned(),
        String::new(),
    ] {
        fs::write(&path, damaged).unwrap();
        let listing = store.all().unwrap();

        assert_eq!(tried(&store, "/"), [2]);
        assert_eq!(listing.tokens.len(), 1);
        let reason = listing.unreadable[0].to_string();
        assert!(reason.contains(path.to_str().unwrap()), "{reason}");
        assert!(!reason.contains(&secret), "{reason}");
    }
}

#[test]
fn the_scheme_and_the_token_are_presented_as_they_were_sold() {
    let lsat = StoredToken {
        scheme: SchemeName::Lsat,
        ..token(1, "/", 10)
    };

    let value = lsat.authorization();

    let expected = format!("LSAT AgE=:{}", lsat.preimage.expose_hex());
    assert_eq!(value.to_str().unwrap(), expected);
    assert!(value.is_sensitive());
}

#[test]
fn debug_shows_no_secret() {
    let bought = token(1, "/", 10);
    let shown = format!("{bought:?} {:?}", bought.authorization());

    assert!(!shown.contains(&bought.preimage.expose_hex()), "{shown}");
    assert!(!shown.contains(bought.token.as_str()), "{shown}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_a_credential() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, store) = store();
    let bought = token(1, "/a", 10);
    store.put(&bought).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    assert_eq!(
        mode(&store.usable_path(&origin(), &bought.payment_hash())),
        0o600
    );
    store
        .refuse(&origin(), &bought.payment_hash(), "/a")
        .unwrap();
    assert_eq!(
        mode(&store.refused_path(&origin(), &bought.payment_hash())),
        0o600
    );
    assert_eq!(mode(&store.origin_dir(&origin())), 0o700);
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn origin() -> Origin {
    "https://api.localhost:8402".parse().unwrap()
}

fn tried(store: &Store, path: &str) -> Vec<u8> {
    let candidates = store.candidates(&origin(), path).unwrap();
    candidates
        .iter()
        .map(|token| token.preimage.expose()[0])
        .collect()
}

fn token(tag: u8, path: &str, bought_at: u64) -> StoredToken {
    StoredToken {
        origin: origin(),
        path: path.to_owned(),
        scheme: SchemeName::L402,
        token: Token::from_bytes(vec![2, tag]),
        preimage: Preimage::new([tag; 32]),
        price: Msat::from_msat(10_000),
        fee: Msat::from_msat(3),
        bought_at: UnixSeconds::new(bought_at),
        standing: Standing::default(),
    }
}
