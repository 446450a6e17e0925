//! Memory is bounded by windows, not by the size of the file.

use crate::support::{World, cpu_seconds, peak_mib, text};

/// Resident memory that nobody may exceed.
const PEAK_MIB_MAX: u64 = 150;

#[test]
fn client_and_providers_stay_under_150_mib() {
    let mib = if std::env::var_os("BLOBDVM_LARGE").is_some() { 1_024 } else { 96 };
    let world = World::start(3);
    let file = world.file("large.bin", mib * 1024 * 1024, 3);
    let put = world.watch(&["put", text(&file)]);
    let get = world.watch(&["get", "large.bin", "-o", text(&world.path("out.bin"))]);
    assert!(put.peak_mib < PEAK_MIB_MAX, "put: {} MiB", put.peak_mib);
    assert!(get.peak_mib < PEAK_MIB_MAX, "get: {} MiB", get.peak_mib);
    assert!(put.cpu_seconds > 0.0 && get.seconds > 0.0, "the client was watched");
    for (name, pid) in world.servers() {
        let peak = peak_mib(pid).expect("the process runs");
        assert!(peak < PEAK_MIB_MAX, "{name}: {peak} MiB");
        assert!(cpu_seconds(pid).is_some());
    }
}
