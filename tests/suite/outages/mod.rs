//! Whatever dies and comes back under users who are busy, nothing is lost, nothing doubled, and nothing needs a person.

mod controlplane;
mod families;
mod journal;
mod judge;
mod kills;
mod old_view;
mod relay;
mod stale;
mod town;
mod users;

/// The seed of a run: `OUTAGES_SEED`, or any. Printed, so that a failure can be run again.
fn seed() -> u64 {
    let given = std::env::var("OUTAGES_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("OUTAGES_SEED={seed}");
    seed
}
