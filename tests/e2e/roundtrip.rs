//! Files go out to three providers and come back, whichever of them is lost.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{World, files, stderr, text};

const SIZES: [usize; 7] = [0, 1, 4_095, 32_767, 32_768, 32_769, 10 * 1024 * 1024];

#[test]
fn every_size_comes_back_whichever_provider_is_lost() {
    let mut world = World::start(3);
    for size in SIZES {
        let file = world.file(&format!("in/{size}.bin"), size, size as u64);
        let put = world.json(&["put", "--encrypt", "--spread", "3", text(&file)]);
        assert_eq!(put["bytes"], size);
        assert_eq!(put["providers"].as_array().unwrap().len(), 3);
    }
    for lost in 0..3 {
        let kept = world.path("kept");
        world.kill(lost);
        fs::rename(&world.providers[lost].store, &kept).unwrap();
        for size in SIZES {
            let out = world.path(&format!("out-{lost}/{size}.bin"));
            let got = world.json(&["get", &format!("{size}.bin"), "-o", text(&out)]);
            assert_eq!(got["verified"], true);
            assert_eq!(fs::read(&out).unwrap(), fs::read(world.path(&format!("in/{size}.bin"))).unwrap());
        }
        fs::rename(&kept, &world.providers[lost].store).unwrap();
        world.revive(lost);
    }
}

#[test]
fn a_gibibyte_comes_back_if_asked_for() {
    if std::env::var_os("BLOBDVM_LARGE").is_none() {
        eprintln!("skipped: set BLOBDVM_LARGE=1 to put and get 1 GiB");
        return;
    }
    let mut world = World::start(3);
    let file = world.file("large.bin", 1024 * 1024 * 1024, 7);
    world.json(&["put", text(&file)]);
    world.destroy(1);
    let out = world.path("out.bin");
    world.json(&["get", "large.bin", "-o", text(&out)]);
    assert!(fs::read(&out).unwrap() == fs::read(&file).unwrap());
}

#[test]
fn two_of_three_lost_is_an_error_with_numbers_and_no_file() {
    let mut world = World::start(3);
    let file = world.file("photo.raw", 3_000_000, 1);
    world.json(&["put", text(&file)]);
    world.destroy(0);
    world.destroy(2);
    let out = world.path("out");
    let start = Instant::now();
    let got = world.run(&["--timeout", "5s", "get", "photo.raw", "-o", text(&out.join("photo.raw"))]);
    assert_eq!(got.status.code(), Some(5), "{}", stderr(&got));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let said = stderr(&got);
    assert!(said.contains("pack ") && said.contains("1 of 2 shards"), "{said}");
    assert_eq!(files(&out), Vec::<std::path::PathBuf>::new());
}

#[test]
fn one_file_of_a_folder_goes_to_standard_output() {
    let world = World::start(3);
    world.file("album/2026/cat.jpg", 50_000, 1);
    world.file("album/dog.jpg", 70_000, 2);
    world.json(&["put", text(&world.path("album"))]);
    let got = world.run(&["get", "album", "album/2026/cat.jpg", "-o", "-"]);
    assert!(got.status.success(), "{}", stderr(&got));
    assert_eq!(got.stdout, fs::read(world.path("album/2026/cat.jpg")).unwrap());
    let whole = world.path("restored");
    world.json(&["get", "album", "-o", text(&whole)]);
    for name in ["album/2026/cat.jpg", "album/dog.jpg"] {
        assert_eq!(fs::read(whole.join(name)).unwrap(), fs::read(world.path(name)).unwrap());
    }
    let rows = world.json(&["ls", "album"]);
    assert_eq!(rows.as_array().unwrap().len(), 4);
}

#[test]
fn what_is_not_there_is_said_with_its_exit_code() {
    let world = World::start(3);
    let file = world.file("a.bin", 10, 1);
    world.json(&["put", text(&file)]);
    for (args, code) in [
        (&["get", "nothing"][..], 3),
        (&["get", "a.bin", "no/such/path"][..], 3),
        (&["put", "/no/such/file"][..], 1),
        (&["put", "--spread", "3", "--need", "4", text(&file)][..], 2),
        (&["put", "--spread", "0", text(&file)][..], 2),
        (&["get", "a.bin", "-o", "-", "--json"][..], 2),
    ] {
        let output = world.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    let nowhere = world.run_in("other", &["ls"]);
    assert_eq!(nowhere.status.code(), Some(8), "{}", stderr(&nowhere));
}
