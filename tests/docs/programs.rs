//! Programs of the guide: those that the libraries show, which are compiled.

use crate::{documents, page, read};

#[test]
fn every_program_of_the_guide_is_one_that_is_compiled() {
    let compiled: String = documents()
        .iter()
        .filter(|path| path.starts_with("crates") && path.ends_with("README.md"))
        .map(|path| read(path))
        .collect();
    let page = page("embedding");
    let programs: Vec<&str> = page
        .split("```rust,no_run\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(programs.len() > 1, "the programs are not found");
    for program in programs {
        assert!(compiled.contains(program), "in no README:\n{program}");
    }
}
