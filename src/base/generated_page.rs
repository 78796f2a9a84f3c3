//! Pages under `docs/` that are generated from the source; a test compares each with the committed
//! one.

/// Panics unless `docs/NAME` has this content; if `RINGGATE_BLESS` is 1, writes it first. `filter`
/// is the argument of `cargo test` that runs the calling test.
pub fn assert_page_is_current(name: &str, made: &str, filter: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var("RINGGATE_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, made).expect("docs/ can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let first = made.lines().zip(committed.lines()).find(|(made, committed)| made != committed);
    assert!(
        committed == made,
        "docs/{name} is out of date; run RINGGATE_BLESS=1 cargo test {filter}\n{first:?}"
    );
}
