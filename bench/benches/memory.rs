//! What a question costs in memory: the delta of the process by entries that can be found by meaning,
//! less that by the same entries without.
//!
//! `MIMALLOC_ALLOW_THP=0 cargo bench -p bench --bench memory`: without huge pages, as the gateway runs.
//! Needs no model: vectors are made up, questions have eleven words.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ringgate::base::IdSource;
use ringgate::cache::profile::Profile;
use ringgate::cache::{Cache, CacheLimits, Entry, EntryLabels, Question, Vector};
use ringgate::inference::DIMENSIONS;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENTRIES: u32 = 100_000;

/// Entries that are put before the keeper is waited for: its queue is short.
const STEP: u32 = 100;

fn main() -> Result<()> {
    let limits = CacheLimits { bytes_max: 1 << 32, folder: None };
    let mut grown = Vec::new();
    for with_questions in [false, true] {
        let before = resident_bytes()?;
        let (cache, keeper) = Cache::start(&limits, [0; 32])?;
        fill(&cache, with_questions)?;
        settle();
        grown.push(resident_bytes()?.saturating_sub(before) / u64::from(ENTRIES));
        // Both stay, so that the second takes no memory of the first.
        std::mem::forget((cache, keeper));
    }
    let (without, with) = (grown[0], grown[1]);
    println!("{ENTRIES} entries of 16 bytes: {without} bytes each, with questions {with}");
    println!("a question: {} bytes", with.saturating_sub(without));
    Ok(())
}

fn fill(cache: &Cache, with_questions: bool) -> Result<()> {
    let mut ids = IdSource::from_seed(1);
    let partition = cache.key().part(b"partition").finish();
    for number in 0..ENTRIES {
        let key = cache.key().part(&number.to_le_bytes()).finish();
        let question = with_questions.then(|| {
            let text = format!("How do I renew the lease of flat number {number} in Lisbon?");
            let vector = Vector::of(&vector(number));
            Box::new(Question { partition, vector, profile: Profile::of(&text) })
        });
        let entry = Entry {
            id: ids.next_id(),
            body: vec![b'x'; 16],
            id_at: None,
            labels: EntryLabels::default(),
            stored_at: Duration::ZERO,
            expires_at: Duration::MAX,
            wording: 0,
            partition: with_questions.then_some(partition),
        };
        if !cache.put(key, entry, question) {
            bail!("an entry was not taken");
        }
        while with_questions
            && (number + 1).is_multiple_of(STEP)
            && cache.stats().questions <= u64::from(number)
        {
            std::thread::yield_now();
        }
    }
    Ok(())
}

/// Lets the allocator give back what tables have outgrown, which it does a second later and while it is
/// used.
fn settle() {
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        std::hint::black_box(vec![1_u8; 1 << 20]);
    }
}

/// A direction of its own.
fn vector(number: u32) -> [f32; DIMENSIONS] {
    let mut state = u64::from(number) + 1;
    let mut made = [0.0; DIMENSIONS];
    for slot in &mut made {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *slot = ((state >> 40) as f32 / 16_777_216.0 - 0.5) * 0.18;
    }
    made
}

/// Memory of this process, from Linux.
fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.and_then(|it| it.split_whitespace().next()).context("no VmRSS")?.parse()?;
    Ok(kib * 1024)
}
