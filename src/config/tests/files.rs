//! The choice of the file, and the errors of a file that cannot be read.

use std::fs;
use std::path::Path;

use crate::config::{load, load_or};
use crate::core::model::{LogFormat, Settings};
use crate::error::Exit;

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let absent = path("absent.toml");
    assert_eq!(load_or(None, &absent).unwrap(), (Settings::default(), None));
    let error = load(Some(&absent)).unwrap_err();
    assert_eq!(error.exit, Exit::Usage);
    assert!(error.why.contains("absent.toml: No such file"), "{error}");
    assert!(load_or(None, directory.path()).is_err(), "a directory is not an absent file");

    fs::write(path("good.toml"), "[log]\nformat = 'text'\n").unwrap();
    for read in [load(Some(&path("good.toml"))), load_or(None, &path("good.toml"))] {
        let (settings, from) = read.unwrap();
        assert_eq!((settings.log.format, from), (LogFormat::Text, Some(path("good.toml"))));
    }
    fs::write(path("bad.toml"), "[log]\nformat = 1\n").unwrap();
    assert!(load(Some(&path("bad.toml"))).unwrap_err().why.contains("bad.toml:2:10: "));
    fs::write(path("latin1.toml"), b"# a\n# \xe9\n").unwrap();
    assert!(load(Some(&path("latin1.toml"))).unwrap_err().why.contains("latin1.toml:2:3: not UTF-8"));
    assert!(load(Some(Path::new("/dev/zero"))).unwrap_err().why.contains("larger than"));
}
