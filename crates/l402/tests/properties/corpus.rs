//! The seeds and finds of the fuzz targets, run through the same code.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::fuzz::TARGETS;

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{target}: {error}"));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_input_of_every_corpus_still_passes() {
    for (target, run) in TARGETS {
        let inputs = corpus(target);
        assert!(inputs.len() >= 5, "{target} has {} inputs", inputs.len());
        for input in inputs {
            println!("{}", input.display());
            run(&fs::read(&input).unwrap());
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_panic_no_parser(data: Vec<u8>) {
        for (_, run) in TARGETS {
            run(&data);
        }
    }

    /// Random bytes seldom get past the first check; texts of the right characters do.
    #[test]
    fn random_texts_panic_no_parser(text in r#"(L402|LSAT|[ ,:="\\\n]|macaroon|invoice|[0-9a-f]{2}|[A-Za-z+/_-]|[^x]){0,40}"#) {
        for (_, run) in TARGETS {
            run(text.as_bytes());
        }
    }
}
