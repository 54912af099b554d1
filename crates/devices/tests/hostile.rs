//! Devices against a driver that means harm: some thousand random ones, the same each time.
#[path = "../../../fuzz/entries/virtqueues.rs"]
mod virtqueues;

/// Runs of each kind, and bytes of one.
const RUNS: u64 = 500;
const LEN: usize = 400;

#[test]
fn a_hostile_driver_harms_nobody_but_itself() {
    let mut seed = 1_u64;
    for kind in 0..16 {
        for run in 0..RUNS {
            let mut bytes = vec![kind];
            bytes.extend((0..run as usize % LEN).map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) as u8
            }));
            virtqueues::run(&bytes);
        }
    }
}
