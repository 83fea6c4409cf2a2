//! What a build was cut off in is never taken for finished: programs, image layers, image archives.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Folder, Story, build_images, cache, checkout, cluster, run, script};
use crate::refusals::names_in;

fn truncate(file: &Path) {
    let length = fs::metadata(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).len();
    let handle = fs::OpenOptions::new().write(true).open(file).expect("the file can be written");
    handle.set_len(length / 2).expect("the file is cut");
}

#[test]
fn a_damaged_program_is_built_again() {
    const NAME: &str = "local-path-provisioner";
    let _story = Story::begin();
    cluster(&["programs"]).expect_success();
    let whole = fs::canonicalize(cache().join("bin").join(NAME)).expect("programs links every program");
    let entry = whole.parent().and_then(Path::file_name).expect("a folder for each program");

    // A cache in which all others are the real ones: only this one is built.
    let copy = Folder::new("cache");
    let programs = copy.join("programs");
    fs::create_dir(&programs).expect("a new folder");
    for name in names_in(&cache().join("programs")).iter().filter(|name| !name.starts_with('.')) {
        symlink(cache().join("programs").join(name), programs.join(name)).expect("a new link");
    }
    let folder = programs.join(entry);
    fs::remove_file(&folder).expect("the link is there");
    run(Command::new("cp").arg("-r").arg(whole.parent().expect("a folder")).arg(&folder)).expect_success();
    truncate(&folder.join(NAME));
    // What a build that was cut off leaves.
    let left = programs.join(".new-left");
    run(Command::new("cp").arg("-r").arg(&folder).arg(&left)).expect_success();

    let built = run(script(&["programs"]).env("SOFA_CACHE", copy.path()));
    let line = format!("cluster: {} is incomplete or damaged: building it again", folder.display());
    assert_eq!(built.stderr.lines().filter(|l| *l == line).count(), 1, "it said: {}", built.stderr);
    built.expect_success();
    assert_eq!(fs::read_link(copy.join("bin").join(NAME)).ok(), Some(folder.join(NAME)));
    run(Command::new("sha256sum").args(["--quiet", "-c", "SHA256"]).current_dir(&folder)).expect_success();
    assert_eq!(
        fs::metadata(folder.join(NAME)).map(|m| m.len()).ok(),
        fs::metadata(&whole).map(|m| m.len()).ok()
    );
    assert!(!left.exists(), "what a build left stays for ever: {:?}", names_in(&programs));

    let again = run(script(&["programs"]).env("SOFA_CACHE", copy.path()));
    assert_eq!(again.stderr, "", "a second run builds nothing");
    again.expect_success();
}

#[test]
fn a_damaged_image_is_built_again() {
    let _story = Story::begin();
    let builder = checkout().join("images/build.py");
    let copy = Folder::new("images");
    let build = || {
        let built = build_images(&builder, copy.path(), &["pause"]);
        (built.stderr.clone(), PathBuf::from(built.expect_success().trim()))
    };
    let folder = copy.join("images");
    let left = folder.join(".new-left");
    fs::create_dir_all(&left).expect("a new folder");
    let (_, archive) = build();
    assert!(!left.exists(), "what a build left stays for ever: {:?}", names_in(&folder));
    let facts = fs::metadata(&archive).expect("the archive is there").len();
    assert_eq!(build(), (String::new(), archive.clone()), "a second run builds nothing");

    let entries = names_in(&folder);
    for damaged in
        entries.iter().filter(|name| Path::new(name).extension().is_some_and(|e| e == "tar" || e == "json"))
    {
        truncate(&folder.join(damaged));
        let (said, again) = build();
        let stem = Path::new(damaged).file_stem().expect("a name").to_string_lossy();
        let line = format!("images: {stem}.tar in the cache is incomplete: building it again");
        assert_eq!(said.lines().filter(|l| *l == line).count(), 1, "after {damaged} was cut it said: {said}");
        assert_eq!((&again, fs::metadata(&again).expect("the archive is there").len()), (&archive, facts));
        assert_eq!(names_in(&folder), entries);
    }

    let before = names_in(&folder);
    let line = build_images(&builder, copy.path(), &["nobody-knows-it"]).expect_refusal();
    assert!(line.starts_with("images: there is no image nobody-knows-it: there are base:1, "), "{line}");
    assert_eq!(names_in(&folder), before);
}

#[test]
fn a_version_that_does_not_exist_is_named() {
    const VERSION: &str = "5.4.3-does-not-exist";
    let _story = Story::begin();
    let copy = Folder::new("pom");
    run(Command::new("cp").arg("-r").arg(checkout().join("images")).arg(copy.path())).expect_success();
    let images = copy.join("images");
    let pom = images.join("sofa-registry/pom-5.4.3.xml");
    let text = fs::read_to_string(&pom).expect("the pom is there");
    let right = "<artifactId>registry-server-meta</artifactId><version>5.4.3</version>";
    assert!(text.contains(right), "the pom has another form: change this test");
    fs::write(&pom, text.replace(right, &right.replace("5.4.3", VERSION))).expect("the pom is written");
    // An image of this one layer: the layers below it would be built first, which takes minutes.
    let dockerfile = "# image: wrong:1
FROM scratch AS servers
RUN /src/images/sofa-registry/stage.sh /out 5.4.3
FROM scratch
COPY --from=servers /out/ /
";
    fs::create_dir(images.join("wrong")).expect("a new folder");
    fs::write(images.join("wrong/Dockerfile"), dockerfile).expect("the Dockerfile is written");

    let cache = copy.join("cache");
    let line = build_images(&images.join("build.py"), &cache, &["wrong"]).expect_refusal();
    // Maven notes what it did not find.
    if let Some(home) = env::var_os("HOME") {
        let noted =
            Path::new(&home).join(".m2/repository/com/alipay/sofa/registry-server-meta").join(VERSION);
        let _ = fs::remove_dir_all(noted);
    }
    assert!(
        line.starts_with("images: images/sofa-registry/stage.sh 5.4.3 failed: pom-5.4.3.xml: "),
        "{line}"
    );
    assert!(line.contains(&format!("registry-server-meta:jar:{VERSION}")), "{line}");
    assert!(line.contains("check the version in the pom") && line.ends_with("; nothing was kept"), "{line}");
    assert_eq!(names_in(&cache.join("images")), [".lock"], "something was kept");
}
